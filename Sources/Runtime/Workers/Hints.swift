import Sealing
import Session

extension ConnectFailure {
    /// What to do about it, for the operator of the client; `key` is the client's own.
    func hint(about key: PublicKey?) -> String {
        switch self {
        case .serverSilent: ServerReach.Finding.silence.hint
        case .presharedKey:
            "the answer does not open: the two ends have different preshared keys, or one has none;"
                + " compare preshared_key here and in the server's [[peer]]"
        case .unknownKey:
            "the server has no [[peer]] with this client's public key, which is"
                + " \(key?.description ?? "in its key file")"
        case .noPermission: "the server's [[peer]] entry lists no service that exists"
        case .cipherMismatch: "the two ends allow no cipher in common: compare cipher"
        case .versionMismatch:
            "the two ends speak different protocol versions: update the older one"
        case .limit:
            "the server has as many sessions, in all or with this key, as max_sessions allows"
        case .postQuantum:
            "one end has post_quantum = \"require\" and the other \"off\", or is an older release"
        case .keyExpired:
            "the server's [[peer]] entry for this key has expired or is disabled"
        }
    }
}

extension RefusalReason {
    /// What to do about it, for the operator of the server; `key` is the client's.
    func hint(about key: PublicKey) -> String {
        switch self {
        case .unknownKey:
            "to let it in, add to the server's file: [[peer]] name = \"NAME\"; public_key ="
                + " \"\(key)\"; services = [\"SERVICE\"] (a line each), then reload"
        case .noPermission: "the [[peer]] entry lists no service"
        case .cipherMismatch: "the two ends allow no cipher in common: compare cipher"
        case .versionMismatch:
            "the two ends speak different protocol versions: update the older one"
        case .limit: "raise max_sessions of the [[peer]] or of the server"
        case .keyExpired: "the [[peer]] is past expires, or enabled is false"
        case .postQuantum:
            "one end has post_quantum = \"require\" and the other \"off\", or is an older release"
        }
    }
}

extension ResetReason {
    /// What to do where a server turns down an opening for it, for the server's operator; `nil`
    /// where it never does.
    var openingHint: String? {
        switch self {
        case .serviceUnknown:
            "no [[service]] has this name and protocol: correct service in the client's forward, or"
                + " add the [[service]]"
        case .serviceForbidden: "services of the [[peer]] does not list it"
        case .originForbidden:
            "origins of the [[peer]] does not hold the player's address, or no player can have it"
        case .limit:
            "raise max_streams or max_flows of the [[peer]], max_flows of the server, or the limit"
                + " of open files"
        case .compression: "the service has compression = \"never\": turn it off in the forward"
        case .keyExpired: "the [[peer]] is past expires, or enabled is false"
        case .postQuantum: "the session has no post-quantum keys yet: compare post_quantum"
        case .portRange: "listen of the forward and backends of the [[service]] differ in length"
        case .aborted, .backendRefused, .backendTimeout, .backendUnreachable, .sessionLost,
            .connectTimeout, .protocolViolation, .shutdown, .idle, .reload, .flowUnknown,
            .stalled:
            nil
        }
    }
}
