/// Why something a peer or a local sender gave us was thrown away.
///
/// One case, one counter, one line in the metrics page: the network makes these happen, so they are
/// weather and not errors.
public enum DropReason: UInt8, CaseIterable, Sendable {
    case malformed
    case unauthentic
    case replayed
    case unknownSession
    case handshakeRefused
    case handshakeLimited
    case protocolViolation
    case unknownFlow
    case unknownStream
    case flowQueueFull
    case flowQueueStale
    case inboxFull
    case reassemblyFull
    case reassemblyStale
    case datagramTooLarge
    case flowLimit
    case flowEvicted
    case streamLimit
    case pathUnvalidated
    /// A segment or repair for which its session has no memory left.
    case sessionMemory
    /// A repair whose flow has used up the work it has a right to.
    case repairBudget
    /// A stream that gave way to one of a peer who holds less.
    case streamEvicted
    /// A packet above the rate its peer may send at.
    case rateLimited
    /// Something deflated for a service that forbids compression.
    case compressionForbidden
    /// A stream or flow whose bytes unfold to more than their share.
    case inflationBudget
    /// Something of a post-quantum exchange that nobody waits for, that came again, or that is
    /// none.
    case ratchet
    /// A stream, with what waited in it for longer than its opener allows.
    case stalled

    /// The value of the `reason` label in `fairlead_drops_total`.
    public var label: String {
        switch self {
        case .malformed: "malformed"
        case .unauthentic: "unauthentic"
        case .replayed: "replayed"
        case .unknownSession: "unknown-session"
        case .handshakeRefused: "handshake-refused"
        case .handshakeLimited: "handshake-limited"
        case .protocolViolation: "protocol-violation"
        case .unknownFlow: "unknown-flow"
        case .unknownStream: "unknown-stream"
        case .flowQueueFull: "flow-queue-full"
        case .flowQueueStale: "flow-queue-stale"
        case .inboxFull: "inbox-full"
        case .reassemblyFull: "reassembly-full"
        case .reassemblyStale: "reassembly-stale"
        case .datagramTooLarge: "datagram-too-large"
        case .flowLimit: "flow-limit"
        case .flowEvicted: "flow-evicted"
        case .streamLimit: "stream-limit"
        case .pathUnvalidated: "path-unvalidated"
        case .sessionMemory: "session-memory"
        case .repairBudget: "repair-budget"
        case .streamEvicted: "stream-evicted"
        case .rateLimited: "rate-limited"
        case .compressionForbidden: "compression-forbidden"
        case .inflationBudget: "inflation-budget"
        case .ratchet: "ratchet"
        case .stalled: "stalled"
        }
    }
}

/// Counts instead of throwing: a hostile network can make each of these happen a million times a
/// second.
public struct DropCounters: Sendable {
    private var counts = [UInt64](repeating: 0, count: DropReason.allCases.count)

    /// Nothing thrown away yet.
    public init() {}

    /// Adds one to the count of `reason`; it wraps at 2^64 and never traps.
    public mutating func count(_ reason: DropReason) { self.counts[Int(reason.rawValue)] &+= 1 }

    /// How often something was thrown away for `reason`.
    public subscript(reason: DropReason) -> UInt64 { self.counts[Int(reason.rawValue)] }

    /// How often something was thrown away, for whatever reason.
    public var total: UInt64 { self.counts.reduce(0, &+) }
}
