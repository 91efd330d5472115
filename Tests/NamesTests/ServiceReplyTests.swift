import Primitives
import Testing

@testable import Names

@Suite struct ServiceReplyTests {
    private let question = encoded("_g._udp.example") + [0, 33, 0, 1]

    private func read(_ message: [UInt8]) -> ServiceReply? {
        message.withUnsafeBytes { ServiceReply($0) }
    }

    @Test func readsWhatIsThere() throws {
        let whole = message(
            [1, 2, 0x81, 0x80],
            self.question,
            [.a([1, 2, 3, 4]), .service(1, 2, 3, "T.example", seconds: 0x1_0002)]
        )
        let reply = try #require(self.read(whole))
        #expect(
            reply.records == [
                ServiceRecord(priority: 1, weight: 2, port: 3, target: "t.example")
            ]
        )
        #expect(reply.timeToLive == 0x1_0002)
    }

    @Test func whatIsCutOffIsNothing() {
        let whole = message([1, 2, 0x81, 0x80], self.question, [.service(1, 2, 3, "t.example")])
        #expect(self.read(whole) != nil)
        for count in 0..<whole.count { #expect(self.read(Array(whole[..<count])) == nil) }
    }

    @Test func noChangedByteIsFollowedBeyondTheEnd() {
        let whole = message(
            [1, 2, 0x81, 0x80],
            self.question,
            [.service(1, 2, 3, "t.example"), .service(1, 2, 4, "u.example")]
        )
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<20_000 {
            var changed = whole
            for _ in 0..<3 {
                let place = Int(generator.next() % UInt64(whole.count))
                changed[place] = UInt8(truncatingIfNeeded: generator.next())
            }
            #expect(self.read(changed)?.records.count ?? 0 <= 2)
        }
    }

    @Test func aTargetIsAHostOrNothing() throws {
        let whole = message(
            [1, 2, 0x81, 0x80],
            self.question,
            [.service(1, 2, 3, "a b\n.example"), .service(1, 2, 3, "ok.example")]
        )
        #expect(try #require(self.read(whole)).records.map(\.target) == ["ok.example"])
    }
}
