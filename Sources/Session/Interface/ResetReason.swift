/// Why a stream or flow ended before its time; one byte in a RESET frame.
public enum ResetReason: UInt8, Sendable, CaseIterable {
    case aborted = 1
    case backendRefused
    case backendTimeout
    case backendUnreachable
    case serviceUnknown
    case serviceForbidden
    case originForbidden
    case limit
    case sessionLost
    case connectTimeout
    case protocolViolation
    case compression
    case shutdown
    case idle
    case reload
    /// A datagram came for a flow this end does not know: open it again.
    case flowUnknown
    /// The peer's key has expired or is disabled.
    case keyExpired
    /// One end insists on post-quantum keys that there are not.
    case postQuantum
    /// Bytes waited longer than the stream's opener allows.
    case stalled

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
        }
    }
}

/// Why a client could not get a session.
public enum ConnectFailure: UInt8, Sendable {
    /// Nothing came back: no server there, or not the one the configured key belongs to.
    case serverSilent
    case unknownKey
    case noPermission
    case cipherMismatch
    case versionMismatch
    case limit
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
