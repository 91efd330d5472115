import Primitives
import Testing

@testable import LinuxIO

/// Claims on flows, and what may be a player's address.
@Suite struct TransparentTests {
    private let player = SocketAddress(ipv4: 0xC000_0201, port: 5000)
    private let backend = SocketAddress(ipv4: 0x7F00_0001, port: 6000)

    @Test func aPairBelongsToOnePeerAtATime() throws {
        let flows = TransparentFlows(limit: 10)
        let first = try flows.claim(player: self.player, backend: self.backend, owner: 1)
        #expect(!first.isTakeOver)
        #expect(throws: TransparentFailure.self) {
            try flows.claim(player: self.player, backend: self.backend, owner: 2)
        }
        flows.release(first)
        _ = try flows.claim(player: self.player, backend: self.backend, owner: 2)
        #expect(flows.count == 1)
    }

    @Test func theSamePeerTakesOverAndTheOldClaimReleasesNothing() throws {
        let flows = TransparentFlows(limit: 1)
        let old = try flows.claim(player: self.player, backend: self.backend, owner: 1)
        let new = try flows.claim(player: self.player, backend: self.backend, owner: 1)
        #expect(new.isTakeOver && flows.isStale(old) && !flows.isStale(new))
        flows.release(old)
        #expect(flows.count == 1)
        flows.release(new)
        #expect(flows.count == 0)
    }

    @Test func theNumberOfFlowsIsBounded() throws {
        let flows = TransparentFlows(limit: 1)
        _ = try flows.claim(player: self.player, backend: self.backend, owner: 1)
        let failure = #expect(throws: TransparentFailure.self) {
            try flows.claim(player: self.player.with(port: 1), backend: self.backend, owner: 1)
        }
        #expect(failure?.cause == .limit)
    }

    @Test(arguments: [
        "0.0.0.0:1", "127.0.0.9:1", "224.0.0.5:1", "255.255.255.255:1", "192.0.2.1:0", "[::]:1",
        "[::1]:1", "[ff02::1]:1", "[fe80::1]:1",
    ])
    func noPlayerHasSuchAnAddress(text: String) throws {
        let address = try #require(SocketAddress(text))
        #expect(!TransparentSocket.isPossibleOrigin(address))
    }

    @Test(arguments: ["192.0.2.1:1", "10.0.0.1:1", "240.0.0.1:1", "[2001:db8::1]:1", "[fd80::2]:9"])
    func playersMayHaveSuchAnAddress(text: String) throws {
        let address = try #require(SocketAddress(text))
        #expect(TransparentSocket.isPossibleOrigin(address))
    }

    @Test func anUnknownFamilyPairIsNamed() {
        let failure = #expect(throws: TransparentFailure.self) {
            let player = SocketAddress(high: 0x2001_0DB8 << 32, low: 1, port: 1)
            _ = try TransparentSocket.connectTCP(from: player, to: self.backend, port: .keep)
        }
        #expect(failure?.cause == .familyMismatch)
    }

    @Test(arguments: [.lookup, .goTo(1103), .pass] as [RoutingRule.Action])
    func rulesSurviveTheirWayThroughTheKernelsFormat(action: RoutingRule.Action) throws {
        var rule = RoutingRule(isIPv6: true)
        rule.action = action
        rule.priority = 700
        rule.source = SocketAddress(high: 0xFD77 << 48, low: 2, port: 0)
        rule.device = "veth1"
        rule.ipProtocol = 17
        rule.sourcePort = action == .lookup ? 5000 : 0
        rule.wantsPorts = action != .lookup
        rule.destinationPort = 260
        rule.table = 0x4600_0001
        rule.owner = 70
        let bytes = rule.request(RouteConstant.newRule, flags: 0, sequence: 9).finished
        let replies = RouteReply.parse(bytes[...])
        #expect(replies.count == 1)
        #expect(replies.first.flatMap { RoutingRule($0) } == rule)
    }

    @Test func theKernelTellsItsRulesAndRoutesToAnybody() throws {
        let socket = try RouteSocket()
        let rules = try socket.rules(isIPv6: false)
        #expect(rules.contains { $0.table == 255 && $0.priority == 0 })
        let loopback = RouteQuestion(destination: SocketAddress(ipv4: 0x7F00_0001, port: 0))
        let answer = try socket.answer(to: loopback)
        #expect(answer.kind == .local)
    }

    @Test func everyPrefixOfAMessageIsReadWithoutATrap() {
        var rule = RoutingRule(isIPv6: false)
        rule.source = self.player.with(port: 0)
        let bytes = rule.request(RouteConstant.newRule, flags: 0, sequence: 1).finished
        for end in bytes.indices {
            for reply in RouteReply.parse(bytes[..<end]) { _ = RoutingRule(reply) }
            // The same with a length that claims to be whole.
            let body = bytes[..<end].dropFirst(RouteConstant.headerSize)
            let reply = RouteReply(type: RouteConstant.newRule, sequence: 1, payload: body)
            _ = RoutingRule(reply)
            _ = RouteAnswer(reply)
        }
    }

    /// Loopback addresses are this machine's own, so no right is needed but IP_TRANSPARENT itself.
    @Test(.enabled(if: TransparentSocket.obstacle(family: 2) == nil))
    func replySocketsAreBoundedAndKept() throws {
        let replies = ReplySockets(limit: 4)
        let address = { (index: Int) in
            SocketAddress(ipv4: 0x7F00_0100 + UInt32(index), port: 40_000)
        }
        // Everybody remembers where theirs was, however often it has moved since.
        var places = [Int32](repeating: -1, count: 100)
        let first = try replies.socket(from: address(0), place: &places[0])
        #expect(try replies.socket(from: address(0), place: &places[0]) === first)
        var elsewhere = Int32(7)
        #expect(try replies.socket(from: address(0), place: &elsewhere) === first)
        #expect(elsewhere == places[0])
        var random = SeededGenerator(seed: 1)
        for _ in 0..<1_000 {
            let index = Int(random.next() % 100)
            let socket = try replies.socket(from: address(index), place: &places[index])
            #expect(socket.localAddress == address(index))
            #expect(replies.count <= 4)
        }
        replies.removeAll()
        #expect(replies.count == 0)
        #expect(try replies.socket(from: address(3), place: &places[3]).localAddress == address(3))
    }

    @Test(.enabled(if: TransparentSocket.obstacle(family: 2) == nil))
    func aTransparentSocketTellsWhereADatagramWasSentTo() throws {
        var options = UDPOptions()
        options.isTransparent = true
        let listener = try UDPSocket(binding: .anyIPv6(port: 0), options: options)
        #expect(listener.reportsDestination)
        for host in [
            SocketAddress(ipv4: 0x7F00_0007, port: 0), SocketAddress(high: 0, low: 1, port: 0),
        ] {
            let target = host.with(port: listener.localAddress.port)
            let sender = try UDPSocket(connectingTo: target, options: UDPOptions())
            let batch = SendBatch()
            let isQueued = [1, 2, 3].withUnsafeBytes { batch.append($0, to: target, from: nil) }
            #expect(isQueued && sender.send(batch) == .done)
            let received = ReceiveBatch()
            #expect(listener.receive(into: received) == 1)
            let packet = received.next()
            #expect(packet?.destination == target)
            #expect(packet?.source == sender.localAddress)
        }
    }
}
