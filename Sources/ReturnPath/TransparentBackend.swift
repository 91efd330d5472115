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

/// Datagrams that servers of a kind answer, to ask whether a reply comes back.
public enum HealthQuestion {
    /// A2S_INFO of Valve's server queries; a server may answer it with a challenge.
    public static let a2s: [UInt8] =
        [0xFF, 0xFF, 0xFF, 0xFF, 0x54] + Array("Source Engine Query".utf8) + [0]

    /// RakNet's unconnected ping: time, magic, the asker's number.
    public static let raknet: [UInt8] =
        [0x01] + Array(repeating: 0, count: 8)
        + [0x00, 0xFF, 0xFF, 0x00, 0xFE, 0xFE, 0xFE, 0xFE, 0xFD, 0xFD, 0xFD, 0xFD]
        + [0x12, 0x34, 0x56, 0x78] + Array(repeating: 0, count: 8)

    /// Who serves the root zone (RFC 1035 §4.1).
    public static let dns: [UInt8] = [
        0x46, 0x4C, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1,
    ]
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
