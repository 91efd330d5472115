/// Why a stream or flow ended before its time; one byte in a RESET frame.
public enum ResetReason: UInt8, Sendable, CaseIterable {
    /// The local connection failed, or the program behind it reset it.
    case aborted = 1
    /// The backend refused the connection.
    case backendRefused
    /// The backend did not answer in time.
    case backendTimeout
    /// No way led to the backend, or no backend was up.
    case backendUnreachable
    /// The server has no service of that name and protocol.
    case serviceUnknown
    /// The peer may not use the service.
    case serviceForbidden
    /// The peer may not speak for that player.
    case originForbidden
    /// One limit or another was reached, at the server or of the peer.
    case limit
    /// The session ended, or the server has forgotten it.
    case sessionLost
    /// The client's own: there was no session in time; operators read `server-silent`.
    case connectTimeout
    /// The peer broke the rules of the stream.
    case protocolViolation
    /// What came does not inflate, or may not be deflated, or unfolds to too much.
    case compression
    /// The process at one end ends.
    case shutdown
    /// A flow was silent for its idle time.
    case idle
    /// What it belonged to has changed in the configuration.
    case reload
    /// A datagram came for a flow this end does not know: open it again.
    case flowUnknown
    /// The peer's key has expired or is disabled.
    case keyExpired
    /// One end insists on post-quantum keys that there are not.
    case postQuantum
    /// Bytes waited longer than the stream's opener allows.
    case stalled
    /// The client's forward and the service have different numbers of ports.
    case portRange

    /// The word operators see as `reason=`.
    public var label: String {
        switch self {
        case .aborted: "aborted"
        case .backendRefused: "backend-refused"
        case .backendTimeout: "backend-timeout"
        case .backendUnreachable: "backend-unreachable"
        case .serviceUnknown: "service-unknown"
        case .serviceForbidden: "service-forbidden"
        case .originForbidden: "origin-forbidden"
        case .limit: "limit"
        case .sessionLost: "session-lost"
        case .connectTimeout: "server-silent"
        case .protocolViolation: "protocol-violation"
        case .compression: "compression"
        case .shutdown: "shutdown"
        case .idle: "idle"
        case .reload: "reload"
        case .flowUnknown: "flow-unknown"
        case .keyExpired: "key-expired"
        case .postQuantum: "post-quantum"
        case .stalled: "stalled"
        case .portRange: "port-range"
        }
    }
}

/// Why a client could not get a session.
public enum ConnectFailure: UInt8, Sendable, CaseIterable {
    /// Nothing came back: no server there, or not the one the configured key belongs to.
    case serverSilent
    /// The server does not know this client's public key.
    case unknownKey
    /// The server knows the key, and it may use no service.
    case noPermission
    /// The ends allow no cipher in common.
    case cipherMismatch
    /// The ends speak no version of the protocol in common.
    case versionMismatch
    /// The server, or this client's quota there, is full.
    case limit
    /// The server knows the key, and it is past its time or disabled.
    case keyExpired
    /// An answer came that does not open: one end has another preshared key, or none.
    case presharedKey
    /// One end insists on the post-quantum exchange that the other does not do.
    case postQuantum

    /// The word operators see as `reason=` of `connect-failed`.
    public var label: String {
        switch self {
        case .serverSilent: "server-silent"
        case .unknownKey: "unknown-key"
        case .noPermission: "service-forbidden"
        case .cipherMismatch: "cipher-mismatch"
        case .versionMismatch: "version-mismatch"
        case .limit: "limit"
        case .keyExpired: "key-expired"
        case .presharedKey: "preshared-key"
        case .postQuantum: "post-quantum"
        }
    }
}
