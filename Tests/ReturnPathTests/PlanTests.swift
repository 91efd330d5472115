import LinuxIO
import Primitives
import Testing

@testable import ReturnPath

/// Which rules a backend gets.
@Suite struct PlanTests {
    private let test = ReturnPathKeeper.testAddresses

    private func plan(
        _ backends: [(String, TransparentBackend.Transport, Placement)],
        slot: UInt32 = 3,
        ownPorts: [UInt16] = []
    ) throws -> ReturnPathPlan {
        let placed = try backends.map { text, transport, placement in
            let address = try #require(SocketAddress(text))
            return PlacedBackend(
                backend: TransparentBackend(address, transport),
                placement: placement
            )
        }
        return ReturnPathPlan(
            placed,
            numbering: RuleNumbering(slot: slot),
            ownPorts: ownPorts,
            testAddresses: self.test
        )
    }

    @Test func aLoopbackStreamNeedsOneRuleThatCutsNobodyOff() throws {
        let plan = try self.plan([("127.0.0.1:25565", .tcp, .loopback)])
        #expect(
            plan.rules.map(\.commandArguments) == [
                "pref 703 from 127.0.0.1 iif lo lookup 1174601728 protocol 70"
            ]
        )
        #expect(
            plan.routes.map(\.commandArguments) == [
                "local default dev lo src 127.0.0.1 table 1174601728 proto 70"
            ]
        )
    }

    @Test func datagramsAlsoNeedARuleForSocketsBoundToEveryAddress() throws {
        let plan = try self.plan([("[::1]:5003", .udp, .loopback)])
        #expect(
            plan.rules.map(\.commandArguments) == [
                "pref 703 from ::1 iif lo lookup 1174601728 protocol 70",
                "pref 803 iif lo ipproto udp sport 5003 lookup 1174601728 protocol 70",
            ]
        )
    }

    @Test func theTunnelsOwnPortIsNeverCaughtByAWideRule() throws {
        let plan = try self.plan([("10.77.0.2:4600", .udp, .local)], ownPorts: [4600])
        #expect(plan.rules.allSatisfy { $0.source != nil })
    }

    @Test func portUnreachableOfALocalAddressStaysInside() throws {
        let plan = try self.plan([
            ("10.77.0.2:5000", .udp, .local), ("[fd77::2]:5000", .udp, .local),
        ])
        let icmp = plan.rules.filter { $0.ipProtocol == 1 || $0.ipProtocol == 58 }
        #expect(icmp.map(\.destinationPort) == [771, 260])
    }

    @Test func aRemoteBackendKeepsItsOwnInternet() throws {
        let placement = Placement.remote(device: "veth1", index: 4, source: nil)
        let plan = try self.plan([("10.78.0.2:5000", .udp, placement)])
        #expect(
            plan.rules.map(\.commandArguments) == [
                "pref 703 from 10.78.0.2 iif veth1 ipproto udp sport 5000 lookup 1174601728"
                    + " protocol 70",
                "pref 703 from 10.78.0.2 iif veth1 ipproto icmp lookup 1174601728 protocol 70",
                // Of what else it sends only fragments are taken, for they have no ports.
                "pref 1103 nop protocol 70",
                "pref 903 from 10.78.0.2 iif veth1 ipproto udp sport 1-65534 goto 1103 protocol 70",
                "pref 1003 from 10.78.0.2 iif veth1 ipproto udp lookup 1174601728 protocol 70",
            ]
        )
        #expect(plan.probeRules.map(\.destination) == [self.test[0]])
    }

    @Test func addressesHaveTablesOfTheirOwnAndShareThemBetweenPorts() throws {
        let plan = try self.plan([
            ("127.0.0.1:1", .udp, .loopback), ("127.0.0.2:1", .udp, .loopback),
            ("127.0.0.1:2", .udp, .loopback),
        ])
        #expect(plan.routes.count == 2)
        #expect(plan.rules.count == 5)
    }

    @Test(arguments: [0, 1, 31] as [UInt32])
    func aTableTellsWhoseItIs(slot: UInt32) {
        let numbering = RuleNumbering(slot: slot)
        #expect(RuleNumbering.slot(ofTable: numbering.table(7)) == slot)
        #expect(RuleNumbering.slot(ofTable: 254) == nil)
        #expect(RuleNumbering.slot(ofTable: RuleNumbering.printed.table(0)) == nil)
    }
}
