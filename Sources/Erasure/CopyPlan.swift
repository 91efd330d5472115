public import Primitives

/// How messages of a small interactive flow are repeated.
///
/// After every message follow `copies` packets, each after its own delay, and each carries that
/// message and the `messages - 1` before it. So a message travels up to `copies × messages` times
/// more, spread over the last delay and `messages - 1` gaps: what outlives a burst is the distance
/// in time, not the number.
@frozen
public struct CopyPlan: Hashable, Sendable {
    public static let copyLimit = 2
    public static let messageLimit = 3

    /// 1 or 2.
    public var copies: Int
    /// 1, 2 or 3.
    public var messages: Int
    public var firstDelay: Instant.Interval
    /// Of the second copy, if there is one; not shorter than the first.
    public var secondDelay: Instant.Interval

    public init(
        copies: Int,
        messages: Int,
        firstDelay: Instant.Interval,
        secondDelay: Instant.Interval
    ) {
        precondition(copies > 0 && copies <= Self.copyLimit)
        precondition(messages > 0 && messages <= Self.messageLimit)
        self.copies = copies
        self.messages = messages
        self.firstDelay = firstDelay
        self.secondDelay = max(firstDelay, secondDelay)
    }

    func delay(_ copy: Int) -> Instant.Interval { copy == 0 ? self.firstDelay : self.secondDelay }
}
