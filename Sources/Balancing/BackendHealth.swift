public import Primitives

/// When a backend counts as up or down.
public struct HealthRules: Hashable, Sendable {
    /// Whether somebody probes; without probes only refusals and silence speak.
    public var isProbed = false
    /// From one probe to the next.
    public var interval = Instant.Interval.seconds(2)
    /// After which a probe without an answer has failed.
    public var timeout = Instant.Interval.seconds(1)
    /// Successful probes in a row that bring a backend up.
    public var rise = 2
    /// Failed probes in a row that take it down.
    public var fall = 3
    /// Refused connections in a row that take it down, whoever noticed; 0: never.
    public var refusalLimit = 3
    /// Flows in a row without any answer that take it down; 0: never, for one-way traffic.
    public var silenceLimit = 0
    /// How long a backend that is not probed is left alone after going down; doubles each time.
    public var retryAfter = Instant.Interval.seconds(1)
    /// Where doubling ``retryAfter`` ends.
    public var longestRetry = Instant.Interval.seconds(30)
    /// How long a backend that came back takes to get its full share; zero: at once.
    public var slowStart = Instant.Interval.zero

    /// The defaults: nobody probes, three refusals in a row take a backend down.
    public init() {}
}

/// Whether one backend is up, and since when: a pure state machine.
///
/// A backend begins as up, because to serve is what it is there for, and the first probe decides
/// without waiting for ``HealthRules/rise`` or ``HealthRules/fall``.
struct BackendHealth {
    enum State: Equatable {
        /// No probe has said anything yet; counts as up.
        case unproven
        case up
        case down
        /// Down before, and trusted with new connections again: one refusal is enough.
        case trial
    }

    private(set) var state = State.unproven
    private var successes = 0
    private var failures = 0
    private var refusals = 0
    private var silences = 0
    private var backoff = Instant.Interval.zero
    /// When a backend that nobody probes may be tried again; ``Instant/never`` unless it is down.
    private(set) var retryAt = Instant.never
    private var rampStart: Instant?

    var isUp: Bool { self.state != .down }

    mutating func probed(_ isAlive: Bool, _ rules: HealthRules, at now: Instant) {
        self.successes = isAlive ? min(self.successes + 1, rules.rise) : 0
        self.failures = isAlive ? 0 : min(self.failures + 1, rules.fall)
        switch self.state {
        case .unproven:
            isAlive ? self.prove() : self.goDown(rules, at: now)
        case .up, .trial:
            if self.failures >= rules.fall { self.goDown(rules, at: now) }
        case .down:
            if self.successes >= rules.rise { self.comeUp(at: now) }
        }
    }

    mutating func refused(_ rules: HealthRules, at now: Instant) {
        self.refusals += 1
        let limit = self.state == .trial ? 1 : rules.refusalLimit
        if self.isUp, rules.refusalLimit > 0, self.refusals >= limit {
            self.goDown(rules, at: now)
        }
    }

    mutating func fellSilent(_ rules: HealthRules, at now: Instant) {
        self.silences += 1
        let limit = self.state == .trial ? 1 : rules.silenceLimit
        if self.isUp, rules.silenceLimit > 0, self.silences >= limit {
            self.goDown(rules, at: now)
        }
    }

    /// A connection was accepted or a datagram answered.
    mutating func answered(at now: Instant) {
        self.refusals = 0
        self.silences = 0
        switch self.state {
        case .trial: self.prove()
        // Nobody probes and there was no other: it was tried all the same, and it works.
        case .down where self.retryAt != .never: self.comeUp(at: now)
        case .down, .unproven, .up: break
        }
    }

    /// The backend has moved: a refusal of the past says nothing of where it is now.
    mutating func giveChance(at now: Instant) {
        self.refusals = 0
        self.silences = 0
        guard self.state == .down, self.retryAt != .never else { return }
        self.retryAt = now
        self.backoff = .zero
        _ = self.retry(at: now)
    }

    /// Time is up for a backend that nobody probes; true if it may be tried now.
    mutating func retry(at now: Instant) -> Bool {
        guard self.state == .down, now >= self.retryAt else { return false }
        self.state = .trial
        self.retryAt = .never
        self.rampStart = now
        self.refusals = 0
        self.silences = 0
        return true
    }

    /// What somebody else has found out: no counting.
    mutating func follow(isUp: Bool, _ rules: HealthRules, at now: Instant) {
        guard isUp != self.isUp else { return }
        isUp ? self.comeUp(at: now) : self.goDown(rules, at: now)
    }

    /// How much of its share a backend gets, in percent: 10...100.
    func share(_ rules: HealthRules, at now: Instant) -> Int {
        guard let start = self.rampStart, rules.slowStart > .zero else { return 100 }
        let elapsed = now.since(start)
        guard elapsed < rules.slowStart else { return 100 }
        // Microseconds, so that the product cannot overflow within ten thousand years.
        return 10 + Int(elapsed.microseconds * 90 / max(1, rules.slowStart.microseconds))
    }

    private mutating func prove() {
        self.state = .up
        self.backoff = .zero
    }

    private mutating func comeUp(at now: Instant) {
        self.prove()
        self.refusals = 0
        self.silences = 0
        self.retryAt = .never
        self.rampStart = now
    }

    private mutating func goDown(_ rules: HealthRules, at now: Instant) {
        self.state = .down
        self.successes = 0
        self.rampStart = nil
        let longer = self.backoff == .zero ? rules.retryAfter : self.backoff * 2
        self.backoff = min(longer, rules.longestRetry)
        self.retryAt = rules.isProbed ? .never : now + self.backoff
    }
}
