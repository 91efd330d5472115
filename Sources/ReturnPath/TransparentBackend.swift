import LinuxIO
public import Primitives

/// A backend that is to be dialled with the addresses of players.
public struct TransparentBackend: Hashable, Sendable, CustomStringConvertible {
    /// Over what the backend is dialled; a port may be proven for one and not for the other.
    public enum Transport: Hashable, Sendable {
        /// A connection for each stream, or a connected socket for each flow.
        case tcp, udp
    }

    /// Where it is dialled, never a wildcard.
    public var address: SocketAddress
    /// Whether it is dialled over TCP or UDP.
    public var transport: Transport
    /// A datagram that makes the backend answer, such as the query of its health check.
    ///
    /// Empty if nobody knows one; for UDP only.
    public var question: [UInt8] = []

    /// `0.0.0.0` and `[::]` mean this machine, as they do for connect(2).
    public init(_ address: SocketAddress, _ transport: Transport) {
        self.address = Self.dialled(address)
        self.transport = transport
    }

    public var description: String {
        "\(self.address)/\(self.transport == .tcp ? "tcp" : "udp")"
    }

    static func dialled(_ address: SocketAddress) -> SocketAddress {
        guard address.isWildcard else { return address }
        return address.isIPv4
            ? SocketAddress(ipv4: 0x7F00_0001, port: address.port)
            : SocketAddress(high: 0, low: 1, port: address.port)
    }
}

/// Whether a backend may be served, and if not, why.
public struct ReturnPathVerdict: Hashable, Sendable {
    /// What the keeper has found out.
    public enum State: Hashable, Sendable {
        /// Replies to players come back through this process; `note` is worth logging.
        case ready(note: String?)
        /// They do not, or nobody can tell. One line of cause, one of cure.
        case refused(reason: String, cure: String)
    }

    /// The backend that was judged.
    public var backend: TransparentBackend
    /// What is true of it now; it may change with every ``ReturnPathKeeper/check()``.
    public var state: State

    /// Whether players may be led to the backend.
    public var isReady: Bool {
        if case .ready = self.state { true } else { false }
    }
}

/// Where a backend is, as the routing tables tell.
enum Placement: Hashable, Sendable {
    /// 127.0.0.0/8 or ::1.
    case loopback
    /// Another address of this machine.
    case local
    /// Behind an interface; `source` is this machine's address on the way there.
    case remote(device: String, index: UInt32, source: SocketAddress?)

    var isRemote: Bool {
        if case .remote = self { true } else { false }
    }
}

/// A backend and where it is.
struct PlacedBackend: Hashable, Sendable {
    var backend: TransparentBackend
    var placement: Placement
}
