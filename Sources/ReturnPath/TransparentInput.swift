public import LinuxIO
public import Primitives

/// The rules that lead players' packets to a client's transparent listeners, whatever address and
/// port they are for.
///
/// The packet filter gives each packet to the listener and marks it (TPROXY, kernel
/// `Documentation/networking/tproxy.rst`); a routing rule keeps what is marked on this machine.
public enum TransparentInput {
    /// One listener, and what is led to it.
    public struct Listener: Hashable, Sendable {
        /// Whether connections or datagrams are led to it.
        public var transport: TransparentBackend.Transport
        /// Where it is bound, with the first of its ports.
        public var first: SocketAddress
        /// The last of its ports; the same as the first for a single one.
        public var lastPort: UInt16
        /// Whether one bound to `[::]` hears IPv4 too.
        public var isDualStack: Bool

        /// A listener as the client's file describes it.
        public init(
            _ transport: TransparentBackend.Transport,
            first: SocketAddress,
            lastPort: UInt16,
            isDualStack: Bool
        ) {
            self.transport = transport
            self.first = first
            self.lastPort = lastPort
            self.isDualStack = isDualStack
        }

        /// Whether IPv4 packets are to be led to it.
        public var hearsIPv4: Bool {
            self.first.isIPv4 || (self.first.isWildcard && self.isDualStack)
        }
        /// Whether IPv6 packets are to be led to it.
        public var hearsIPv6: Bool { !self.first.isIPv4 }
    }

    /// The table of the packet filter, family `inet`.
    public static let filterTable = "fairlead_client"
    /// "FL"; what the packet filter puts on packets.
    static let mark: UInt32 = 0x464C
    private static let priority = 690
    private static let table = 46_900

    /// What makes it all work, for a shell run by root; it may be run again and again.
    public static func commands(for listeners: [Listener]) -> [String] {
        guard !listeners.isEmpty else { return [] }
        var lines = ["nft -f - <<'END'"] + Self.filter(listeners) + ["END"]
        let families = [
            ("ip", listeners.contains(where: \.hearsIPv4)),
            ("ip -6", listeners.contains(where: \.hearsIPv6)),
        ]
        for (command, isWanted) in families where isWanted {
            let rule = "pref \(Self.priority) fwmark 0x\(String(Self.mark, radix: 16))"
            let route = "local default dev lo table \(Self.table)"
            lines.append("\(command) rule del \(rule) lookup \(Self.table) 2>/dev/null || true")
            lines.append("\(command) rule add \(rule) lookup \(Self.table) protocol 70")
            lines.append("\(command) route replace \(route) proto 70")
        }
        return lines
    }

    private static func filter(_ listeners: [Listener]) -> [String] {
        let name = "table inet \(Self.filterTable)"
        // An empty table first, so that there is always one to delete.
        return [
            "\(name) {}", "delete \(name)", "\(name) {", "  chain prerouting {",
            "    type filter hook prerouting priority mangle; policy accept;",
            "    iifname \"lo\" return",
            // This machine's own programs keep their ports, and the tunnel its answers.
            "    socket transparent 0 return",
        ] + listeners.map { "    " + Self.rule($0) } + ["  }", "}"]
    }

    private static func rule(_ listener: Listener) -> String {
        let first = listener.first
        let transport = listener.transport == .tcp ? "tcp" : "udp"
        let ports =
            first.port == listener.lastPort ? "\(first.port)" : "\(first.port)-\(listener.lastPort)"
        let family = first.isIPv4 ? "ip" : "ip6"
        let match: String
        let target: String
        if !first.isWildcard {
            match = "\(family) daddr \(first.hostText) "
            target = "\(family) to \(first)"
        } else if listener.hearsIPv4, listener.hearsIPv6 {
            match = ""
            target = "to :\(first.port)"
        } else {
            match = "meta nfproto \(first.isIPv4 ? "ipv4" : "ipv6") "
            target = "\(family) to :\(first.port)"
        }
        return "\(match)\(transport) dport \(ports) tproxy \(target)"
            + " meta mark set 0x\(String(Self.mark, radix: 16)) accept"
    }

    /// Whether this machine keeps what is marked; needs no rights.
    public static func isRouted(isIPv6: Bool) throws(IOError) -> Bool {
        let player = ReturnPathKeeper.testAddresses[isIPv6 ? 1 : 0]
        var question = RouteQuestion(destination: player)
        question.mark = Self.mark
        let socket = try RouteSocket()
        // No route at all is an answer too.
        let answer = try? socket.answer(to: question)
        return answer?.kind == .local
    }
}
