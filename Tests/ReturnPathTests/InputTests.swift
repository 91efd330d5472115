import LinuxIO
import Primitives
import Testing

@testable import ReturnPath

/// What leads packets to transparent listeners.
@Suite struct InputTests {
    private func listener(
        _ text: String,
        _ lastPort: UInt16,
        _ transport: TransparentBackend.Transport = .udp,
        isDualStack: Bool = true
    ) throws -> TransparentInput.Listener {
        TransparentInput.Listener(
            transport,
            first: try #require(SocketAddress(text)),
            lastPort: lastPort,
            isDualStack: isDualStack
        )
    }

    private func rules(_ listeners: [TransparentInput.Listener]) -> [String] {
        TransparentInput.commands(for: listeners).filter { $0.contains("tproxy") }
            .map { String($0.drop { $0 == " " }) }
    }

    private let tail = " meta mark set 0x464c accept"

    @Test func everyKindOfListenerHasItsRule() throws {
        let cases = [
            (try self.listener("[::]:20000", 20100), "udp dport 20000-20100 tproxy to :20000"),
            (
                try self.listener("[::]:80", 80, .tcp, isDualStack: false),
                "meta nfproto ipv6 tcp dport 80 tproxy ip6 to :80"
            ),
            (
                try self.listener("0.0.0.0:80", 81, .tcp),
                "meta nfproto ipv4 tcp dport 80-81 tproxy ip to :80"
            ),
            (
                try self.listener("192.0.2.1:80", 80),
                "ip daddr 192.0.2.1 udp dport 80 tproxy ip to 192.0.2.1:80"
            ),
            (
                try self.listener("[2001:db8::1]:80", 80),
                "ip6 daddr 2001:db8::1 udp dport 80 tproxy ip6 to [2001:db8::1]:80"
            ),
        ]
        for (listener, rule) in cases { #expect(self.rules([listener]) == [rule + self.tail]) }
        #expect(self.rules(cases.map(\.0)).count == cases.count)
    }

    @Test func onlyTheFamiliesThatAreHeardAreRouted() throws {
        let families = { (listener: TransparentInput.Listener) in
            TransparentInput.commands(for: [listener]).filter { $0.contains("rule add") }
                .map { $0.hasPrefix("ip -6") }
        }
        #expect(families(try self.listener("[::]:80", 80)) == [false, true])
        #expect(families(try self.listener("[::]:80", 80, isDualStack: false)) == [true])
        #expect(families(try self.listener("0.0.0.0:80", 80)) == [false])
        #expect(families(try self.listener("[2001:db8::1]:80", 80)) == [true])
        #expect(TransparentInput.commands(for: []).isEmpty)
    }

    /// What is installed beforehand is never taken for a dead process's.
    @Test func standingTablesAreNobodysSlot() {
        for table in [UInt32(46_000), 46_899, 46_900] {
            #expect(RuleNumbering.slot(ofTable: table) == nil)
        }
        #expect(RuleNumbering.isPrinted(table: RuleNumbering.printed.table(0)))
        #expect(!RuleNumbering.isPrinted(table: 46_900))
        #expect(!RuleNumbering.isPrinted(table: RuleNumbering(slot: 0).table(0)))
        var rule = RoutingRule(isIPv6: false)
        rule.owner = RuleNumbering.owner
        rule.priority = RuleNumbering.printed.narrowPriority
        rule.table = RuleNumbering.printed.table(3)
        #expect(RuleNumbering.isPrinted(rule))
        // A running server of slot 0 has the same priorities, and somebody's 70 is not ours.
        rule.table = RuleNumbering(slot: 0).table(0)
        #expect(!RuleNumbering.isPrinted(rule))
        rule.table = 46_900
        rule.priority = 690
        #expect(!RuleNumbering.isPrinted(rule))
    }
}
