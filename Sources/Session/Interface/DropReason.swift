/// Why something a peer or a local sender gave us was thrown away.
///
/// One case, one counter, one line in the metrics page: the network makes these happen, so they are
/// weather and not errors.
public enum DropReason: UInt8, CaseIterable, Sendable {
    /// A packet or frame that no release of this protocol writes.
    case malformed
    /// A packet whose seal does not fit: damaged, forged, or of other keys.
    case unauthentic
    /// A packet that came a second time, or too late to tell.
    case replayed
    /// A packet of a session that is over or was never here.
    case unknownSession
    /// A handshake that is damaged, copied, or not meant for this server.
    case handshakeRefused
    /// A handshake of a source or a key that asks too often.
    case handshakeLimited
    /// A frame that an honest peer does not send.
    case protocolViolation
    /// A datagram of a flow that is over or was never opened.
    case unknownFlow
    /// A segment of a stream that is over or was never opened.
    case unknownStream
    /// A datagram that waited in a flow's queue when it was full: the oldest goes.
    case flowQueueFull
    /// A datagram that waited in a flow's queue until it was of no use.
    case flowQueueStale
    /// A datagram that the driver did not take in time, the newest one.
    case inboxFull
    /// An incomplete datagram that made room for a later one.
    case reassemblyFull
    /// An incomplete datagram whose missing parts never came.
    case reassemblyStale
    /// A datagram that no longer fits into one, as after compression.
    case datagramTooLarge
    /// A flow beyond a limit, this engine's or its peer's.
    case flowLimit
    /// A flow that made room for another.
    case flowEvicted
    /// A stream beyond a limit, this engine's or its peer's.
    case streamLimit
    /// A packet to an address that has not proved to be the peer's: its budget is spent.
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
