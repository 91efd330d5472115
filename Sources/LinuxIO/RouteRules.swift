public import Primitives

/// A rule of the routing policy database that sends some packets to a table, see ip-rule(8).
///
/// Every field that is 0 or `nil` matches everything. Addresses match exactly, without a mask.
public struct RoutingRule: Hashable, Sendable {
    /// What becomes of a packet that matches.
    public enum Action: Hashable, Sendable {
        /// The rule's table is asked.
        case lookup
        /// The rules before this priority are passed over; the table only says whose rule it is.
        case goTo(UInt32)
        /// Nothing: a place to go to.
        case pass
    }

    /// Which of the kernel's two lists of rules it belongs to.
    public var isIPv6: Bool
    /// Rules are asked in ascending order.
    public var priority: UInt32 = 0
    /// Matches packets from this address, whose port is ignored.
    public var source: SocketAddress?
    /// Matches packets for this address, whose port is ignored.
    public var destination: SocketAddress?
    /// Where the packet came in; `lo`: it was made on this machine.
    public var device = ""
    /// Matches packets of this protocol: 6 is TCP, 17 UDP.
    public var ipProtocol: UInt8 = 0
    /// Matches packets from this port, for protocols that have ports.
    public var sourcePort: UInt16 = 0
    /// Matches every packet that has ports, which fragments have not.
    public var wantsPorts = false
    /// For ICMP made on this machine the kernel keeps type × 256 + code in this place.
    public var destinationPort: UInt16 = 0
    /// The table that is asked; above 255 for tables of our own.
    public var table: UInt32 = 0
    /// What becomes of a packet that matches.
    public var action = Action.lookup
    /// Who installed it: a routing protocol's number.
    public var owner: UInt8 = 0

    /// The kernel takes a range that ends at 65535 for a mistake.
    private static let lastPort: UInt16 = 65_534

    /// A rule that matches everything, with priority and table 0: set what it is to be.
    public init(isIPv6: Bool) { self.isIPv6 = isIPv6 }

    /// What follows `ip rule add`, or `ip -6 rule add`.
    public var commandArguments: String {
        var words = ["pref \(self.priority)"]
        if let source = self.source { words.append("from \(source.hostText)") }
        if let destination = self.destination { words.append("to \(destination.hostText)") }
        if !self.device.isEmpty { words.append("iif \(self.device)") }
        if self.ipProtocol != 0 { words.append("ipproto \(Self.name(self.ipProtocol))") }
        if self.sourcePort != 0 { words.append("sport \(self.sourcePort)") }
        if self.wantsPorts { words.append("sport 1-65534") }
        if self.destinationPort != 0 { words.append("dport \(self.destinationPort)") }
        switch self.action {
        case .lookup: words.append("lookup \(self.table)")
        case .goTo(let priority): words.append("goto \(priority)")
        case .pass: words.append("nop")
        }
        words.append("protocol \(self.owner)")
        return words.joined(separator: " ")
    }

    private static func name(_ ipProtocol: UInt8) -> String {
        switch ipProtocol {
        case 1: "icmp"
        case 6: "tcp"
        case 17: "udp"
        case 58: "ipv6-icmp"
        default: "\(ipProtocol)"
        }
    }
}

/// A route that takes every packet of its table for one of this machine's own.
public struct LocalRoute: Hashable, Sendable {
    /// Which family of packets it takes.
    public var isIPv6: Bool
    /// The table it stands in.
    public var table: UInt32
    /// The source address of packets that have none yet; `nil`: the kernel's choice.
    public var source: SocketAddress?
    /// Who installed it: a routing protocol's number, see ip-route(8).
    public var owner: UInt8

    /// A route out of its fields.
    public init(isIPv6: Bool, table: UInt32, source: SocketAddress?, owner: UInt8) {
        self.isIPv6 = isIPv6
        self.table = table
        self.source = source
        self.owner = owner
    }

    /// What follows `ip route add`, or `ip -6 route add`.
    public var commandArguments: String {
        let source = self.source.map { " src \($0.hostText)" } ?? ""
        return "local default dev lo\(source) table \(self.table) proto \(self.owner)"
    }
}

/// A packet whose way is asked for.
public struct RouteQuestion: Hashable, Sendable {
    /// Where the packet goes; its port is ignored.
    public var destination: SocketAddress
    /// Where it comes from; `nil` leaves the source to the kernel.
    public var source: SocketAddress?
    /// The interface it came in by, 0 for packets made here.
    public var inputInterface: UInt32 = 0
    /// Its protocol: 6 is TCP, 17 UDP; 0 for none in particular.
    public var ipProtocol: UInt8 = 0
    /// Its source port, 0 for none in particular.
    public var sourcePort: UInt16 = 0
    /// Its destination port, 0 for none in particular.
    public var destinationPort: UInt16 = 0
    /// What the packet filter would have put on it.
    public var mark: UInt32 = 0

    /// A packet made on this machine, of which nothing but the destination is known.
    public init(destination: SocketAddress) { self.destination = destination }
}

/// Where the kernel would send a packet.
public struct RouteAnswer: Hashable, Sendable {
    /// What kind of route it would take.
    public enum Kind: Hashable, Sendable {
        /// To this machine itself.
        case local
        /// To a neighbour or a gateway.
        case unicast
        /// Nowhere: a blackhole, a broadcast.
        case other
    }

    /// What kind of route the packet would take.
    public var kind: Kind
    /// The number of the interface it would leave by (if_nametoindex(3)).
    public var interface: UInt32
    /// The source address it gets if it has none.
    public var source: SocketAddress?
    /// The routing table in which that route stands.
    public var table: UInt32
}

extension RoutingRule {
    /// A `struct fib_rule_hdr` and its attributes.
    func request(_ type: UInt16, flags: UInt16, sequence: UInt32) -> RouteRequest {
        let bits = UInt8(self.isIPv6 ? 128 : 32)
        var body = [UInt8](repeating: 0, count: RouteConstant.bodySize)
        body[0] = self.isIPv6 ? 10 : 2
        body[1] = self.destination == nil ? 0 : bits
        body[2] = self.source == nil ? 0 : bits
        body[7] = self.actionNumber
        var request = RouteRequest(type: type, flags: flags, sequence: sequence, body: body)
        if case .goTo(let priority) = self.action { request.attribute(4, priority) }
        if let destination = self.destination { request.attribute(1, destination) }
        if let source = self.source { request.attribute(2, source) }
        if !self.device.isEmpty { request.attribute(3, Array(self.device.utf8) + [0]) }
        request.attribute(6, self.priority)
        request.attribute(15, self.table)
        request.attribute(21, self.owner)
        if self.ipProtocol != 0 { request.attribute(22, self.ipProtocol) }
        if self.sourcePort != 0 { request.attribute(23, Self.range(self.sourcePort)) }
        if self.wantsPorts { request.attribute(23, Self.range(1, Self.lastPort)) }
        if self.destinationPort != 0 { request.attribute(24, Self.range(self.destinationPort)) }
        return request
    }

    /// `FR_ACT_TO_TBL`, `FR_ACT_GOTO` and `FR_ACT_NOP`.
    private var actionNumber: UInt8 {
        switch self.action {
        case .lookup: RouteConstant.toTable
        case .goTo: 2
        case .pass: 3
        }
    }

    /// A `struct fib_rule_port_range`, of one port by default, in the machine's byte order.
    private static func range(_ port: UInt16, _ last: UInt16? = nil) -> [UInt8] {
        withUnsafeBytes(of: (port, last ?? port)) { Array($0) }
    }

    /// Reads one RTM_NEWRULE; `nil` for other families and shapes.
    init?(_ reply: RouteReply) {
        guard reply.type == RouteConstant.newRule, let body = reply.body, let family = body.first,
            family == 2 || family == 10
        else { return nil }
        self.init(isIPv6: family == 10)
        let attributes = reply.attributes
        self.destination = attributes[1].flatMap { SocketAddress(networkBytes: $0) }
        self.source = attributes[2].flatMap { SocketAddress(networkBytes: $0) }
        if let name = attributes[3] {
            self.device = String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)
        }
        self.priority = attributes[6]?.number(at: 0, as: UInt32.self) ?? 0
        let shortTable = UInt32(body.number(at: 4, as: UInt8.self))
        self.table = attributes[15]?.number(at: 0, as: UInt32.self) ?? shortTable
        self.owner = attributes[21]?.number(at: 0, as: UInt8.self) ?? 0
        self.ipProtocol = attributes[22]?.number(at: 0, as: UInt8.self) ?? 0
        self.sourcePort = attributes[23]?.number(at: 0, as: UInt16.self) ?? 0
        if self.sourcePort == 1, attributes[23]?.number(at: 2, as: UInt16.self) == Self.lastPort {
            self.sourcePort = 0
            self.wantsPorts = true
        }
        switch body.number(at: 7, as: UInt8.self) {
        case 2: self.action = .goTo(attributes[4]?.number(at: 0, as: UInt32.self) ?? 0)
        case 3: self.action = .pass
        default: self.action = .lookup
        }
        self.destinationPort = attributes[24]?.number(at: 0, as: UInt16.self) ?? 0
    }
}

extension LocalRoute {
    /// A `struct rtmsg` and its attributes.
    func request(
        _ type: UInt16,
        flags: UInt16,
        sequence: UInt32,
        loopback: UInt32
    ) -> RouteRequest {
        var body = [UInt8](repeating: 0, count: RouteConstant.bodySize)
        body[0] = self.isIPv6 ? 10 : 2
        body[5] = self.owner
        body[6] = self.isIPv6 ? 0 : RouteConstant.hostScope
        body[7] = RouteConstant.local
        var request = RouteRequest(type: type, flags: flags, sequence: sequence, body: body)
        request.attribute(4, loopback)
        if let source = self.source { request.attribute(7, source) }
        request.attribute(15, self.table)
        return request
    }

    /// Reads one RTM_NEWROUTE of this shape; `nil` for every other route.
    init?(_ reply: RouteReply) {
        guard reply.type == RouteConstant.newRoute, let body = reply.body, let family = body.first,
            family == 2 || family == 10, body.number(at: 1, as: UInt8.self) == 0,
            body.number(at: 7, as: UInt8.self) == RouteConstant.local
        else { return nil }
        let attributes = reply.attributes
        let shortTable = UInt32(body.number(at: 4, as: UInt8.self))
        self.init(
            isIPv6: family == 10,
            table: attributes[15]?.number(at: 0, as: UInt32.self) ?? shortTable,
            source: attributes[7].flatMap { SocketAddress(networkBytes: $0) },
            owner: body.number(at: 5, as: UInt8.self)
        )
    }
}

extension RouteQuestion {
    func request(sequence: UInt32) -> RouteRequest {
        let bits = UInt8(self.destination.isIPv4 ? 32 : 128)
        var body = [UInt8](repeating: 0, count: RouteConstant.bodySize)
        body[0] = self.destination.isIPv4 ? 2 : 10
        body[1] = bits
        body[2] = self.source == nil ? 0 : bits
        if self.destination.isIPv4 {
            // IPv6 always names the table, and refuses the flag.
            let flags = withUnsafeBytes(of: RouteConstant.lookupTable) { Array($0) }
            body.replaceSubrange(8..<12, with: flags)
        }
        var request = RouteRequest(
            type: RouteConstant.getRoute,
            flags: 0,
            sequence: sequence,
            body: body
        )
        request.attribute(1, self.destination)
        if let source = self.source { request.attribute(2, source) }
        if self.inputInterface != 0 { request.attribute(3, self.inputInterface) }
        if self.mark != 0 { request.attribute(16, self.mark) }
        if self.ipProtocol != 0 { request.attribute(27, self.ipProtocol) }
        if self.sourcePort != 0 { request.attribute(28, self.sourcePort.bigEndian) }
        if self.destinationPort != 0 { request.attribute(29, self.destinationPort.bigEndian) }
        return request
    }
}

extension RouteAnswer {
    init?(_ reply: RouteReply) {
        guard reply.type == RouteConstant.newRoute, let body = reply.body else { return nil }
        let attributes = reply.attributes
        switch body.number(at: 7, as: UInt8.self) {
        case RouteConstant.local: self.kind = .local
        case RouteConstant.unicast: self.kind = .unicast
        default: self.kind = .other
        }
        self.interface = attributes[4]?.number(at: 0, as: UInt32.self) ?? 0
        self.source = attributes[7].flatMap { SocketAddress(networkBytes: $0) }
        let shortTable = UInt32(body.number(at: 4, as: UInt8.self))
        self.table = attributes[15]?.number(at: 0, as: UInt32.self) ?? shortTable
    }
}
