public import Primitives

/// How messages of a small interactive flow are repeated.
///
/// After every message follow `copies` copies of it, the first after ``firstDelay``, each further
/// one a ``step`` later. What outlives a burst is the distance in time, not the number. A copy may
/// leave up to ``slack`` earlier in a packet that goes anyway, where it costs its bytes and no
/// headers; only if there is none in time, it gets a packet of its own.
@frozen
public struct CopyPlan: Hashable, Sendable {
    public static let copyLimit = 4

    /// 1 to ``copyLimit``.
    public var copies: Int
    /// From the message to its first copy at the latest.
    public var firstDelay: Instant.Interval
    /// From one copy to the next; not zero.
    public var step: Instant.Interval
    /// Not longer than the first delay.
    public var slack: Instant.Interval

    public init(
        copies: Int,
        firstDelay: Instant.Interval,
        step: Instant.Interval = .milliseconds(8),
        slack: Instant.Interval = .zero
    ) {
        precondition(copies > 0 && copies <= Self.copyLimit)
        self.copies = copies
        self.firstDelay = firstDelay
        self.step = step
        self.slack = min(slack, firstDelay)
    }

    /// From the message to its copy at the latest.
    public func latest(_ copy: Int) -> Instant.Interval { self.firstDelay + self.step * UInt64(copy) }

    /// From the message to when its copy may ride along.
    public func earliest(_ copy: Int) -> Instant.Interval { self.latest(copy) - self.slack }
}
