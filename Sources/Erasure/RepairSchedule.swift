public import Primitives

/// How a flow is protected by the sliding window.
@frozen
public struct RepairPlan: Hashable, Sendable {
    /// Messages for each repair.
    public var interval: Int
    /// Messages a repair covers.
    public var window: Int

    /// A plan; traps where a number is not positive or the window exceeds 128.
    public init(interval: Int, window: Int) {
        precondition(interval > 0 && window > 0 && window <= RepairHeader.windowLimit)
        self.interval = interval
        self.window = window
    }
}

/// When the repairs of one flow go out: after every `interval` messages, and once after the last
/// one of a burst, so that its end is not left without protection.
@frozen
public struct RepairSchedule: Sendable {
    /// The longest wait for a message that may not come.
    public static let flushLimit = Instant.Interval.milliseconds(10)

    /// What is followed now; `nil` sends no repairs.
    public var plan: RepairPlan?
    private var unprotected = 0
    private var lastSentAt = Instant(nanoseconds: 0)
    /// Mean distance of messages; `nil` before the second one.
    private var gap: Instant.Interval?
    private var isStarted = false

    /// A schedule without a plan, for a flow that has sent nothing.
    public init() {}

    /// A message went out.
    public mutating func sent(at now: Instant) {
        if self.isStarted {
            let gap = min(now.since(self.lastSentAt), .seconds(1))
            self.gap = self.gap.map { ($0 * 7 + gap) / 8 } ?? gap
        }
        self.isStarted = true
        self.lastSentAt = now
        self.unprotected += 1
    }

    /// When a repair is due though no further message went out.
    public var deadline: Instant {
        guard self.plan != nil, self.unprotected > 0 else { return .never }
        return self.lastSentAt + min((self.gap ?? Self.flushLimit) * 2, Self.flushLimit)
    }

    /// A repair is due now.
    public func isDue(at now: Instant) -> Bool {
        guard let plan = self.plan, self.unprotected > 0 else { return false }
        return self.unprotected >= plan.interval || self.deadline <= now
    }

    /// A repair went out, or was given up for want of budget.
    public mutating func repaired() { self.unprotected = 0 }
}
