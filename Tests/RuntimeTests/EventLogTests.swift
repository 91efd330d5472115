import Primitives
import Testing

@testable import Runtime

@Suite struct EventLogTests {
    @Test func writesTextThatAProgramCanSplit() throws {
        let book = LogBook()
        let log = book.log(level: .info)
        log.debug("quiet")
        log.info("ready", ["listen": "127.0.0.1:1,[::1]:2", "note": "a \"b\"=c", "none": ""])
        let line = try #require(book.line(with: ["ready"], within: 0))
        let stamp = line.prefix(24)
        #expect(stamp.count == 24 && stamp.last == "Z" && stamp.dropFirst(10).first == "T")
        let rest = #" INFO ready listen=127.0.0.1:1,[::1]:2 note="a \"b\"=c" none="""#
        #expect(line.dropFirst(24) == rest + "\n")
        #expect(!book.text.contains("quiet"))
    }

    @Test func writesJSONThatNoPeerCanBreak() {
        let line = LogLine.json("T", "info", "open-refused", [("service", "a\"\\\n\u{1}\u{7F}é")])
        let escaped = #""service":"a\"\\\n\u0001\u007fé"}"#
        #expect(line == #"{"time":"T","level":"info","event":"open-refused","# + escaped + "\n")
    }

    @Test func aPeerCannotForgeALine() {
        let text = LogLine.text("T", "info", "x", [("service", "a\nT INFO session-up peer=evil")])
        #expect(text.filter { $0 == "\n" }.count == 1)
    }

    @Test(arguments: ["\u{9B}2J", "\u{85}", "\u{202E}gpj", "\u{2028}", "é", "\u{1B}c", "\u{AD}"])
    func textIsASCIIWhateverAPeerSays(value: String) {
        let text = LogLine.text("T", "info", "x", [("service", value), ("next", "1")])
        #expect(text.utf8.dropLast().allSatisfy { (32..<127).contains($0) })
        #expect(text.contains(" service=\"\\u"))
        #expect(text.hasSuffix("\" next=1\n"))
    }

    @Test func jsonHoldsNothingThatATerminalObeys() {
        let value = "\u{9B}\u{202E}\u{2028}\u{2029}\u{200F}\u{1F600}"
        let line = LogLine.json("T", "info", "x", [("service", value)])
        #expect(line.contains(#""service":"\u009b\u202e\u2028\u2029\u200f😀"}"#))
    }

    @Test func repeatsAreCountedNotWritten() {
        var limiter = LineLimiter()
        for _ in 0..<5 {
            #expect(limiter.admit("a", "e", second: 100) == .write(suppressed: 0))
        }
        for _ in 0..<7 { #expect(limiter.admit("a", "e", second: 105) == .drop) }
        #expect(limiter.admit("b", "e", second: 105) == .write(suppressed: 0))
        #expect(limiter.admit("a", "e", second: 110) == .write(suppressed: 7))
    }

    @Test func oneEventHasALimitWhateverItSays() {
        var limiter = LineLimiter()
        let written = (0..<10_000).filter { number in
            limiter.admit("line \(number)", "e", second: 1) != .drop
        }
        #expect(written.count == 100)
        #expect(limiter.admit("other", "f", second: 1) == .write(suppressed: 0))
    }
}
