import LinuxIO
public import Primitives

/// A backend that is to be dialled with the addresses of players.
public struct TransparentBackend: Hashable, Sendable, CustomStringConvertible {
    public enum Transport: Hashable, Sendable {
        case tcp, udp
    }

    public var address: SocketAddress
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
    public enum State: Hashable, Sendable {
        /// Replies to players come back through this process; `note` is worth logging.
        case ready(note: String?)
        /// They do not, or nobody can tell. One line of cause, one of cure.
        case refused(reason: String, cure: String)
    }

    public var backend: TransparentBackend
    public var state: State

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
