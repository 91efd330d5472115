import LinuxIO
import Primitives

/// Listeners whose address this machine does not have yet, such as that of a modem or a VPN.
///
/// Their sockets are bound already and hear what comes from the moment the address is there; this
/// tells people about both moments.
struct AwaitedAddresses {
    private var waiting: [(kind: String, address: SocketAddress)] = []

    /// `kind`: `tcp` or `udp`.
    mutating func add(_ kind: String, _ address: SocketAddress, log: EventLog) {
        self.waiting.append((kind, address))
        log.warning(
            "waiting-for-address",
            [
                "protocol": kind, "address": "\(address)",
                "cause": "this machine does not have the address yet",
                "cure": "nothing if it comes with a modem or a VPN; else use an address of this"
                    + " machine, or a wildcard",
            ]
        )
    }

    /// Tells of those that have come.
    mutating func arrived(_ own: [SocketAddress], log: EventLog) {
        self.waiting.removeAll { kind, address in
            guard own.contains(where: { $0.isSameHost(as: address) }) else { return false }
            log.info("listening", ["protocol": kind, "address": "\(address)"])
            return true
        }
    }

    /// Forgets listeners that are closed.
    mutating func keep(where isOpen: (String, SocketAddress) -> Bool) {
        self.waiting.removeAll { !isOpen($0.kind, $0.address) }
    }
}

extension EventLog {
    /// A listener of a family that the kernel lacks, beside others that it has.
    func skipped(_ address: SocketAddress, _ kind: String) {
        self.warning(
            "listener-skipped",
            [
                "protocol": kind, "address": "\(address)",
                "cause": "this machine has no \(address.isIPv4 ? "IPv4" : "IPv6")",
            ]
        )
    }
}
