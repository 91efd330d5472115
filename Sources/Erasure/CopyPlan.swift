public import Primitives

/// How messages of a small interactive flow are repeated.
///
/// After every message follow up to four copies of it, each after its own delay and only while
/// none has been acknowledged. What outlives a burst is the distance in time, not the number. The
/// first may leave up to ``slack`` earlier in a packet that goes anyway, where it costs its bytes
/// and no headers; only if there is none in time, it gets a packet of its own.
@frozen
public struct CopyPlan: Hashable, Sendable {
    /// Most copies of one message that a plan has.
    public static let copyLimit = 4
    /// What the later copies may leave early.
    static let tolerance = Instant.Interval.milliseconds(2)

    /// At least one.
    public private(set) var copies = 1
    /// How much earlier than its latest moment a first copy may ride in another packet.
    public let slack: Instant.Interval
    /// In nanoseconds.
    private var delays: SIMD4<UInt64>

    /// One copy, at the latest `delay` after the message.
    public init(at delay: Instant.Interval, slack: Instant.Interval = .zero) {
        self.delays = SIMD4(delay.nanoseconds, 0, 0, 0)
        self.slack = min(slack, delay)
    }

    /// Adds a copy, not before the last one; at ``copyLimit`` nothing happens.
    public mutating func add(at delay: Instant.Interval) {
        guard self.copies < Self.copyLimit else { return }
        self.delays[self.copies] = max(delay.nanoseconds, self.delays[self.copies - 1])
        self.copies += 1
        assert(self.delays[self.copies - 1] >= self.delays[self.copies - 2], "out of order")
    }

    /// Takes the last copy but the first away.
    mutating func removeLast() {
        self.copies = max(1, self.copies - 1)
        self.delays[self.copies] = 0
    }

    /// From the message to its copy at the latest.
    public func latest(_ copy: Int) -> Instant.Interval { .init(nanoseconds: self.delays[copy]) }

    /// From the message to when its copy may ride along.
    public func earliest(_ copy: Int) -> Instant.Interval {
        let latest = self.latest(copy)
        return latest - (copy == 0 ? self.slack : min(latest, Self.tolerance))
    }
}
