public import Primitives
public import Sealing

/// What an end of the tunnel sends with: the keys both files share.
public struct TransportSettings: Hashable, Sendable {
    /// `congestion` and its `rate`.
    public enum Congestion: Hashable, Sendable {
        case auto, bbr, cubic
        case fixed(bitsPerSecond: UInt64)
    }

    public var congestion = Congestion.auto
    public var redundancy = Redundancy.auto
    public var cipher = CipherPreference.auto
    public var postQuantum = PostQuantumPolicy.prefer
    /// The largest UDP payload to send, in bytes; `nil` probes for it.
    public var maximumPacketSize: Int?
    /// The number of worker threads.
    ///
    /// A client serves one network: one session suffices, and more would only keep more alive.
    public var workers = 1
    public var connectTimeout = Instant.Interval.seconds(10)

    public init() {}
}

/// `fec`: how much redundancy may be spent against loss.
public enum Redundancy: String, CaseIterable, Sendable {
    case auto, off, low, high
}

/// What travels inside a forward or a service.
public enum ForwardedProtocol: String, CaseIterable, Sendable {
    case tcp, udp
}

/// Memory and count limits, all per process unless said otherwise.
public struct Limits: Hashable, Sendable {
    /// Bytes a stream may hold in each direction.
    public var streamBuffer = 8 << 20
    /// Bytes a session may hold.
    public var sessionBuffer = 64 << 20
    public var maximumSessions = 1024
    public var maximumStreams = 65_536
    public var maximumFlows = 65_536

    public init() {}
}

/// How a PROXY v2 header rides on UDP.
public enum DatagramDialect: String, CaseIterable, Sendable {
    /// In front of every datagram.
    case every
    /// In front of the first datagram of a flow.
    case first
    /// As a first datagram of its own, without payload.
    case firstAlone = "first-alone"
    /// Whatever arrives; for receiving only.
    case any
}

/// Where `fairlead status` finds the process.
public enum ControlSocket: Hashable, Sendable {
    /// The usual places: ``ControlSocket/defaultPaths(role:runtimeFolder:)``.
    case automatic
    case path(String)
    case off

    /// `/run/fairlead/ROLE.sock`, then `/run/fairlead-ROLE/ROLE.sock`, in the folder of a service's
    /// own user, then `$XDG_RUNTIME_DIR/fairlead-ROLE.sock`.
    public static func defaultPaths(role: String, runtimeFolder: String?) -> [String] {
        ["/run/fairlead/\(role).sock", "/run/fairlead-\(role)/\(role).sock"]
            + (runtimeFolder.map { ["\($0)/fairlead-\(role).sock"] } ?? [])
    }
}
