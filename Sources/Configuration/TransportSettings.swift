public import Erasure
public import Primitives
public import Recovery
public import Sealing

/// What an end of the tunnel sends with: the keys both files share.
public struct TransportSettings: Hashable, Sendable {
    /// `congestion` and its `rate`: how fast to send.
    public var congestion = CongestionChoice.auto
    /// `fec`: what forwards and services without a word of their own use.
    public var redundancy = RedundancyLevel.auto
    /// `cipher`: what this end offers or allows.
    public var cipher = CipherPreference.auto
    /// `post_quantum`: whether keys are strengthened by ML-KEM-768, and whether that is a must.
    public var postQuantum = PostQuantumPolicy.prefer
    /// The largest UDP payload to send, in bytes; `nil` probes for it.
    public var maximumPacketSize: Int?
    /// The number of worker threads.
    ///
    /// A client serves one network: one session suffices, and more would only keep more alive.
    public var workers = 1
    /// How long a client lets an accepted TCP connection wait for a session, then it is reset.
    public var connectTimeout = Instant.Interval.seconds(10)

    /// The defaults of all keys.
    public init() {}
}

/// What travels inside a forward or a service.
public enum ForwardedProtocol: String, CaseIterable, Sendable {
    /// Connections or datagrams.
    case tcp, udp
}

/// Memory and count limits, all per process unless said otherwise.
public struct Limits: Hashable, Sendable {
    /// Bytes a stream may hold in each direction.
    public var streamBuffer = 8 << 20
    /// Bytes a session may hold.
    public var sessionBuffer = 64 << 20
    /// `max_sessions`: sessions of each worker of a server.
    public var maximumSessions = 1024
    /// TCP connections of each worker; no key changes it.
    public var maximumStreams = 65_536
    /// `max_flows`: UDP flows of each worker; descriptors bound it as well.
    public var maximumFlows = 65_536

    /// The defaults of all keys.
    public init() {}
}

/// Where `fairlead status` finds the process.
public enum ControlSocket: Hashable, Sendable {
    /// The usual places: ``ControlSocket/defaultPaths(role:runtimeFolder:)``.
    case automatic
    /// A path of a Unix socket.
    case path(String)
    /// No socket: nobody can ask the process.
    case off

    /// `/run/fairlead/ROLE.sock`, then `/run/fairlead-ROLE/ROLE.sock`, in the folder of a service's
    /// own user, then `$XDG_RUNTIME_DIR/fairlead-ROLE.sock`.
    public static func defaultPaths(role: String, runtimeFolder: String?) -> [String] {
        ["/run/fairlead/\(role).sock", "/run/fairlead-\(role)/\(role).sock"]
            + (runtimeFolder.map { ["\($0)/fairlead-\(role).sock"] } ?? [])
    }
}
