import Primitives
import Testing

@testable import Names

@Suite struct ServerOrderTests {
    private func v4(_ last: UInt32) -> SocketAddress { SocketAddress(ipv4: last, port: 1) }
    private func v6(_ last: UInt64) -> SocketAddress {
        SocketAddress(high: 0x2001 << 48, low: last, port: 1)
    }

    @Test func familiesTakeTurnsFromThePreferredOneOn() {
        let (a, b, c) = (self.v4(1), self.v4(2), self.v4(3))
        let (x, y) = (self.v6(1), self.v6(2))
        #expect(NameAnswer([x, y, a, b, c]).servers { 0 } == [[x, a, y, b, c]])
        #expect(NameAnswer([a, b, x]).servers { 0 } == [[a, x, b]])
        #expect(NameAnswer([]).servers { 0 }.isEmpty)
    }

    @Test func aTargetsAddressesAreOneServer() {
        let (a, b, x) = (self.v4(1), self.v4(2), self.v6(1))
        let answer = NameAnswer([
            .init(b, target: "b", priority: 2), .init(x, target: "a", priority: 1),
            .init(a, target: "a", priority: 1),
        ])
        #expect(answer.servers { 0 } == [[x, a], [b]])
    }

    @Test func prioritiesDecideAndWeightsShare() {
        let answer = NameAnswer([
            .init(self.v4(1), target: "backup", priority: 9, weight: 65_535),
            .init(self.v4(2), target: "small", priority: 1, weight: 1),
            .init(self.v4(3), target: "large", priority: 1, weight: 3),
            .init(self.v4(4), target: "none", priority: 1, weight: 0),
        ])
        var generator = SeededGenerator(seed: 11)
        var firsts: [SocketAddress: Int] = [:]
        for _ in 0..<10_000 {
            let servers = answer.servers { generator.next() }
            #expect(servers.count == 4)
            #expect(servers.last == [self.v4(1)])
            firsts[servers[0][0], default: 0] += 1
        }
        // Of the numbers 0 to 4 (RFC 2782) one is for none, one for small, three for large.
        #expect((1_800...2_200).contains(firsts[self.v4(2)] ?? 0))
        #expect((5_700...6_300).contains(firsts[self.v4(3)] ?? 0))
        #expect((1_800...2_200).contains(firsts[self.v4(4)] ?? 0))
    }

    @Test func whatIsMissingStaysAsItWas() {
        let old = NameAnswer([
            .init(self.v4(1), target: "a", priority: 1, weight: 1),
            .init(self.v4(2), target: "b", priority: 1, weight: 1),
        ])
        let record = ServiceRecord(priority: 4, weight: 5, port: 1, target: "b")
        let new = NameAnswer(
            [.init(self.v4(3), target: "a", priority: 1, weight: 1)],
            missing: [record]
        )
        #expect(
            new.completed(from: old).places == new.places + [
                .init(self.v4(2), target: "b", priority: 4, weight: 5)
            ]
        )
        #expect(new.completed(from: nil) == new)
    }
}
