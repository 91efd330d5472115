import Primitives
import Testing

@testable import Runtime

@Suite struct RefusalLedgerTests {
    private let source = SocketAddress(ipv4: 0x7F00_0001, port: 1)

    @Test func countsOneKeyAndReasonInOnePlace() {
        var ledger = RefusalLedger()
        ledger.note("unknown-key", key: "a", peer: nil, from: self.source, at: 1)
        let later = SocketAddress(ipv4: 0x7F00_0002, port: 2)
        ledger.note("unknown-key", key: "a", peer: nil, from: later, at: 5)
        ledger.note("limit", key: "a", peer: "edge", from: self.source, at: 6)
        #expect(ledger.tallies.map(\.count) == [2, 1])
        #expect(ledger.tallies[0].from == later)
        #expect(ledger.tallies[0].last == 5)
        #expect(ledger.totals == ["unknown-key": 2, "limit": 1])
    }

    @Test func keepsTheLatestOfManyStrangers() {
        var ledger = RefusalLedger()
        for number in 0..<10_000 {
            ledger.note("unknown-key", key: "\(number)", peer: nil, from: self.source, at: number)
        }
        #expect(ledger.tallies.count == RefusalLedger.capacity)
        #expect(ledger.tallies.allSatisfy { $0.last >= 10_000 - RefusalLedger.capacity })
        #expect(ledger.totals["unknown-key"] == 10_000)
    }

    @Test func addsUpWhatSeveralWorkersSaw() {
        var first = RefusalLedger()
        var second = RefusalLedger()
        for number in 0..<RefusalLedger.capacity {
            first.note("unknown-key", key: "\(number)", peer: nil, from: self.source, at: 1)
            second.note("unknown-key", key: "\(number + 1)", peer: nil, from: self.source, at: 2)
        }
        first.add(second.tallies)
        #expect(first.tallies.count == RefusalLedger.capacity)
        #expect(first.tallies.allSatisfy { $0.last == 2 })
        #expect(first.tallies.filter { $0.count == 2 }.count == RefusalLedger.capacity - 1)
    }
}
