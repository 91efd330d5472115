public import Primitives

/// How long things last.
///
/// Whoever drives the handshakes keeps these times; this module keeps no timers but the
/// retransmission of an initiation.
public enum KeyLifetime {
    /// Start a new handshake when a key has been in use this long, or has sealed this many packets.
    public static let rekeyAfter = Instant.Interval.seconds(120)
    /// Packets that a key seals before a new handshake starts, far below every cipher's limit.
    public static let rekeyAfterPackets: UInt64 = 1 << 26
    /// Neither send nor accept under a key that is older: it is let go of, which wipes it.
    public static let rejectAfter = Instant.Interval.seconds(180)
    /// A responder's keys that no data packet has confirmed.
    public static let pendingLifetime = Instant.Interval.seconds(10)
    /// Unconfirmed keys that a server keeps for one client key; then the oldest go.
    public static let pendingPerClient = 4
    /// Unconfirmed keys that a server engine keeps in all; then the oldest go.
    public static let pendingTotal = 4096
    /// A cookie is good for at least this long, at most twice.
    public static let cookieLifetime = Instant.Interval.seconds(120)
    /// How long an accepted initiation is remembered.
    public static let replayMemory = Instant.Interval.seconds(180)
}
