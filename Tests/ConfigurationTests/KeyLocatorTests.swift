import Glibc
import Primitives
import Testing

@testable import Configuration

@Suite struct KeyLocatorTests {
    private func line(_ text: String, _ steps: KeyLocator.Step...) -> Int? {
        KeyLocator(text)[steps]
    }

    @Test func findsPlainAndDottedAndQuotedKeys() {
        let text = """
            a = 1 # b = 2
            # c = 3
            d.e . f = 4
            "g.h" = 5
            'i"' = "\\"x = 1\\n"
            "j\\u0041" = [ ]
            """
        #expect(self.line(text, .key("a")) == 1)
        #expect(self.line(text, .key("b")) == nil)
        #expect(self.line(text, .key("c")) == nil)
        #expect(self.line(text, .key("d")) == 3)
        #expect(self.line(text, .key("d"), .key("e"), .key("f")) == 3)
        #expect(self.line(text, .key("g.h")) == 4)
        #expect(self.line(text, .key("i\"")) == 5)
        #expect(self.line(text, .key("jA")) == 6)
    }

    @Test func findsElementsOfArraysOfTables() {
        let text = """
            [[peer]]
            name = "a"

            [[ peer ]] # second
            name = "b"
            [peer.limits]
            rate = 1
            [[peer.path]]
            x = 1
            [[peer.path]]
            x = 2
            [[peer]]
            name = "c"
            """
        #expect(self.line(text, .key("peer"), .index(0), .key("name")) == 2)
        #expect(self.line(text, .key("peer"), .index(1)) == 4)
        #expect(self.line(text, .key("peer"), .index(1), .key("limits"), .key("rate")) == 7)
        #expect(
            self.line(text, .key("peer"), .index(1), .key("path"), .index(1), .key("x")) == 11
        )
        #expect(self.line(text, .key("peer"), .index(2), .key("name")) == 13)
        #expect(self.line(text, .key("peer"), .index(3)) == nil)
    }

    @Test func findsWhatIsInsideListsAndInlineTables() {
        let text = """
            list = [
              1, # one ] }
              "two ]",

              { a = 1, b.c = [ 2,
                3 ] },
            ]
            x = { y = { z = 'q' } }
            """
        #expect(self.line(text, .key("list"), .index(1)) == 3)
        #expect(self.line(text, .key("list"), .index(2)) == 5)
        #expect(self.line(text, .key("list"), .index(2), .key("b"), .key("c"), .index(1)) == 6)
        #expect(self.line(text, .key("x"), .key("y"), .key("z")) == 8)
    }

    @Test func stepsOverLongStrings() {
        let text = """
            a = \"\"\"
            b = 1
            \\\"\"\" still \"\"\"\"\"
            c = '''
            [[d]]
            '\\'''
            e = 2
            """
        #expect(self.line(text, .key("b")) == nil)
        #expect(self.line(text, .key("c")) == 4)
        #expect(self.line(text, .key("d")) == nil)
        #expect(self.line(text, .key("e")) == 7)
    }

    @Test func countsLinesThatEndInCarriageReturns() {
        let text = "a = 1\r\n\r\n[t]\r\nb = [\r\n1,\r\n2]\r\nc = 2020-01-01 10:00:00\r\nd = 1"
        #expect(self.line(text, .key("t"), .key("b"), .index(1)) == 6)
        #expect(self.line(text, .key("t"), .key("c")) == 7)
        #expect(self.line(text, .key("t"), .key("d")) == 8)
    }

    /// Pieces of TOML, good and bad, out of which random texts are made.
    private static let pieces = [
        "a", "b", "=", "[", "]", "{", "}", ",", "\"", "'", "#", "\\", "\n", "\r\n", "\r", " ", "\t",
        "0", "1", "9", "_", "+", "-", ".", "e", "x", "o", "T", ":", "Z", "true", "false", "inf",
        "nan", "\"\"\"", "'''", "2020-01-01", "10:00:00", "[[", "]]", "ä", "\u{FEFF}", "\u{1}",
        "\u{7F}", "u0000", "U0010FFFF", "a = ", "\u{2028}", "[a]\n", "b = 1\n", "c = \"d\"\n",
        "e = [1, 2]\n",
    ]

    /// Nonsense is refused or read, but it must not end the process.
    ///
    /// `TEXTS=1000000` tries that many.
    @Test func endsOnAnyText() {
        var random = SeededGenerator(seed: 7)
        let count = getenv("TEXTS").flatMap { Int(String(cString: $0)) } ?? 3000
        for _ in 0..<count {
            let length = 1 + Int(random.next() % 25)
            let text = (0..<length).reduce(into: "") { text, _ in
                text += Self.pieces[Int(random.next() % UInt64(Self.pieces.count))]
            }
            _ = KeyLocator(text)
            #expect(!Samples.clientErrors(text).isEmpty)
        }
    }

    @Test func asksForQuotes() {
        let form = "expected a string in quotes, a number, true, false, a list or a table"
        let cases = [
            ("server = a:1", "server: got a:1 without quotes"),
            ("server = 192.0.2.1:80 # x", "server: got 192.0.2.1:80 without quotes"),
            ("server = [1, }", "server: got nothing"),
            ("server = [\n2020-01]", "server: got 2020-01 without quotes"),
            ("server = { a.b = 10:00:00 }", "b: got 10:00:00 without quotes"),
            ("server =", "server: got nothing"),
        ]
        for (text, got) in cases {
            let line = text.contains("\n") ? 3 : 2
            #expect(Samples.clientErrors("\n" + text) == ["c:\(line): \(got), \(form)"])
        }
    }

    @Test(arguments: [
        "1", "+1_000", "-0x_F", "0b1", "1.5", "1e-5", "1.5E+3", "-inf", "nan", "true",
    ])
    func knowsNumbersAndBooleans(word: String) {
        #expect(BareWord.isKnown(Array(word.utf8)[...]))
        #expect(!BareWord.isKnown(Array((word + ":").utf8)[...]))
    }

    /// Headers on which the parser would end the process, and where they are complained about.
    @Test(arguments: ["[=]", "[ #", "[[,]]", "[\r\na]", "[ä]", "[{}]", "[.a]"])
    func refusesHeadersTheParserDiesOf(header: String) {
        let error = "c:3: syntax: got a table header without a name, expected TOML 1.0"
        #expect(Samples.clientErrors("a = 1\nb = '#['\n\(header)\nc = 1") == [error])
        // A mistake further up is what to tell.
        let first = Samples.clientErrors("a = 1 b = 2\n\(header)").first
        #expect(first?.hasPrefix("c:1: ") == true)
    }

    @Test func stepsOverByteOrderMarks() {
        #expect(Samples.clientErrors("\u{FEFF}" + Samples.client()).isEmpty)
        #expect(Samples.clientErrors("\u{FEFF}\u{FEFF}[=]").first?.hasPrefix("c:1: ") == true)
    }

    @Test func refusesTablesTooDeepToWalk() {
        let keys = Array(repeating: "a", count: 100_000).joined(separator: ".")
        for text in ["\(keys) = 1", "[\(keys)]", "[[\(keys)]]"] {
            #expect(
                Samples.clientErrors("\n" + text) == [
                    "c:2: syntax: got tables too deep in each other, expected TOML 1.0"
                ]
            )
        }
    }

    @Test func survivesDeepNesting() {
        let text = "a = " + String(repeating: "[", count: 100_000)
        #expect(KeyLocator(text)[[.key("a")]] == 1)
        #expect(Samples.clientErrors(text).count == 1)
    }
}
