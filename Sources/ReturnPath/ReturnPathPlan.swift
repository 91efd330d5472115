import LinuxIO
import Primitives

/// How rules and tables are numbered, so that several processes stay out of each other's way and
/// what a killed one left behind is known as its own.
struct RuleNumbering: Hashable, Sendable {
    /// The routing protocol's number that marks everything of ours (`ip rule flush protocol 70`).
    static let owner: UInt8 = 70

    /// Before every rule of an administrator's and behind the kernel's own, which is 0.
    ///
    /// wg-quick begins at 32764, Tailscale at 5210. Narrow rules of all processes come before wide
    /// ones of any.
    let narrowPriority: UInt32
    let widePriority: UInt32
    /// Fragments have no ports that a rule could ask for: what has some is led from the first of
    /// these past the second to the third.
    let portsPriority: UInt32
    let fragmentPriority: UInt32
    let endPriority: UInt32
    private let firstTable: UInt32

    init(slot: UInt32) {
        self.init(slot, firstTable: 0x4600_0000 | slot << 16)
    }

    /// Short numbers for people who type them.
    private init() { self.init(0, firstTable: 46000) }

    private init(_ slot: UInt32, firstTable: UInt32) {
        self.narrowPriority = 700 + slot
        self.widePriority = 800 + slot
        self.portsPriority = 900 + slot
        self.fragmentPriority = 1000 + slot
        self.endPriority = 1100 + slot
        self.firstTable = firstTable
    }

    static let printed = RuleNumbering()

    func table(_ index: Int) -> UInt32 { self.firstTable + UInt32(truncatingIfNeeded: index) }

    /// The slot a table belongs to; `nil` for other people's tables.
    static func slot(ofTable table: UInt32) -> UInt32? {
        let slot = table >> 16 & 0xFF
        return table >> 24 == 0x46 && slot < RouteSlot.count ? slot : nil
    }
}

/// The rules and routes that bring the replies to players back to this machine.
///
/// A reply is addressed to a player, so the ordinary tables send it away. Rules pick replies by
/// what only they have in common — the backend's address, protocol and port — and send them to a
/// table in which every address is this machine's own.
struct ReturnPathPlan: Hashable, Sendable {
    var rules: [RoutingRule] = []
    var routes: [LocalRoute] = []
    /// Wanted while backends are probed: whatever a remote one sends to a test address.
    var probeRules: [RoutingRule] = []

    /// `ownPorts` are the tunnel's own UDP ports, which no wide rule may catch.
    init(
        _ backends: [PlacedBackend],
        numbering: RuleNumbering,
        ownPorts: [UInt16],
        testAddresses: [SocketAddress]
    ) {
        for placed in backends {
            let address = placed.backend.address
            // A table for each address dialled, because the route says which one replies without a
            // source get; all remote backends share the first, for theirs have one.
            let dialled = placed.placement.isRemote ? nil : address.with(port: 0)
            let table = self.table(for: dialled, isIPv6: !address.isIPv4, numbering)
            var rule = RoutingRule(isIPv6: !address.isIPv4)
            rule.owner = RuleNumbering.owner
            rule.table = table
            rule.priority = numbering.narrowPriority
            rule.source = address.with(port: 0)
            switch placed.placement {
            case .loopback, .local:
                self.addLocal(placed, rule, numbering, ownPorts)
            case .remote(let device, _, _):
                rule.device = device
                self.addRemote(placed.backend, rule, numbering, testAddresses)
            }
        }
    }

    private mutating func table(
        for dialled: SocketAddress?,
        isIPv6: Bool,
        _ numbering: RuleNumbering
    ) -> UInt32 {
        let known = self.routes.first { $0.isIPv6 == isIPv6 && $0.source == dialled }
        if let known { return known.table }
        let table = numbering.table(self.routes.count)
        self.routes.append(
            LocalRoute(
                isIPv6: isIPv6,
                table: table,
                source: dialled,
                owner: RuleNumbering.owner
            )
        )
        return table
    }

    private mutating func addLocal(
        _ placed: PlacedBackend,
        _ base: RoutingRule,
        _ numbering: RuleNumbering,
        _ ownPorts: [UInt16]
    ) {
        let backend = placed.backend
        var rule = base
        rule.device = "lo"
        if placed.placement == .loopback {
            // Nothing from a loopback address has business outside, so one rule takes it all.
            self.add(rule)
        } else {
            rule.ipProtocol = backend.transport.number
            rule.sourcePort = backend.address.port
            self.add(rule)
            if backend.transport == .udp { self.add(Self.unreachable(base)) }
        }
        guard backend.transport == .udp, !ownPorts.contains(backend.address.port) else { return }
        // A socket bound to every address asks for the way before it has a source address.
        var wide = RoutingRule(isIPv6: base.isIPv6)
        wide.owner = base.owner
        wide.table = base.table
        wide.priority = numbering.widePriority
        wide.device = "lo"
        wide.ipProtocol = backend.transport.number
        wide.sourcePort = backend.address.port
        self.add(wide)
    }

    /// "Port unreachable", which the kernel sends when the backend is down: on its own it would
    /// travel to the player and show the backend's address.
    ///
    /// The routing code keeps type and code where ports have their destination.
    private static func unreachable(_ base: RoutingRule) -> RoutingRule {
        var rule = base
        rule.device = "lo"
        rule.ipProtocol = base.isIPv6 ? 58 : 1
        rule.destinationPort = base.isIPv6 ? 1 << 8 | 4 : 3 << 8 | 3
        return rule
    }

    private mutating func addRemote(
        _ backend: TransparentBackend,
        _ base: RoutingRule,
        _ numbering: RuleNumbering,
        _ testAddresses: [SocketAddress]
    ) {
        var rule = base
        rule.ipProtocol = backend.transport.number
        rule.sourcePort = backend.address.port
        self.add(rule)
        // What the backend's machine has to say of a player's packets, "port unreachable" mostly:
        // from outside all of ICMP looks the same to a rule.
        rule.ipProtocol = base.isIPv6 ? 58 : 1
        rule.sourcePort = 0
        self.add(rule)
        guard backend.transport == .udp else { return }
        self.addFragments(base, numbering)
        for test in testAddresses where test.isIPv4 == backend.address.isIPv4 {
            var probe = base
            probe.destination = test.with(port: 0)
            if !self.probeRules.contains(probe) { self.probeRules.append(probe) }
        }
    }

    /// Replies in fragments, wherever they go; a backend's other datagrams keep their ordinary way.
    private mutating func addFragments(_ base: RoutingRule, _ numbering: RuleNumbering) {
        var end = RoutingRule(isIPv6: base.isIPv6)
        end.owner = base.owner
        end.table = base.table
        end.priority = numbering.endPriority
        end.action = .pass
        self.add(end)
        var whole = base
        whole.ipProtocol = TransparentBackend.Transport.udp.number
        whole.priority = numbering.portsPriority
        whole.wantsPorts = true
        whole.action = .goTo(numbering.endPriority)
        self.add(whole)
        var fragment = whole
        fragment.priority = numbering.fragmentPriority
        fragment.wantsPorts = false
        fragment.action = .lookup
        self.add(fragment)
    }

    private mutating func add(_ rule: RoutingRule) {
        if !self.rules.contains(rule) { self.rules.append(rule) }
    }

    /// The same as commands for a shell.
    var commands: [String] {
        self.routes.map { "ip\($0.isIPv6 ? " -6" : "") route add \($0.commandArguments)" }
            + (self.rules + self.probeRules).map {
                "ip\($0.isIPv6 ? " -6" : "") rule add \($0.commandArguments)"
            }
    }
}

extension TransparentBackend.Transport {
    /// Its number in the IP header.
    var number: UInt8 { self == .tcp ? 6 : 17 }
}

extension PlacedBackend {
    /// A reply as the kernel would have to route it.
    struct Reply {
        var question: RouteQuestion
        /// The source address it must get, where it has none yet.
        var source: SocketAddress?
        var label: String
    }

    /// The replies to `player` that must come back, in each form the backend may send them.
    func replies(to player: SocketAddress, ownPorts: [UInt16]) -> [Reply] {
        let backend = self.backend
        var question = RouteQuestion(destination: player)
        question.source = backend.address.with(port: 0)
        question.ipProtocol = backend.transport.number
        question.sourcePort = backend.address.port
        question.destinationPort = player.port
        if case .remote(_, let index, _) = self.placement {
            question.inputInterface = index
            return [Reply(question: question, label: "a reply of \(backend)")]
        }
        var replies = [Reply(question: question, label: "a reply of \(backend)")]
        if backend.transport == .udp, !ownPorts.contains(backend.address.port) {
            question.source = nil
            let any = backend.address.isIPv4 ? "0.0.0.0" : "[::]"
            let label = "a reply of \(backend), bound to \(any),"
            replies.append(
                Reply(question: question, source: backend.address.with(port: 0), label: label)
            )
        }
        return replies
    }
}
