public import Primitives

/// Decides what one flow, in the direction this end sends, adds to its messages.
///
/// Nothing on a clean path, whatever the level: redundancy starts with a loss. It follows the
/// measured loss upward at once and downward only after ``hold``, stays within the flow's budget.
///
/// Contract: ``update(_:traffic:roundTrip:at:)`` with every report, and about every 100 ms while
/// the flow sends; then follow ``plan``.
public struct RedundancyController: Sendable {
    /// How long a plan outlives its reason.
    public static let hold = Instant.Interval.seconds(10)
    /// How long one does that was made before there was a measurement, once there is one.
    static let guessHold = Instant.Interval.seconds(2)
    /// The share of messages for which no copy may come in time.
    static let lateShare = 0.004
    /// Loss above this starts copies, below half of it ends them.
    static let copyThreshold = 0.0005
    static let repairThreshold = 0.003
    /// Where a retransmission comes as soon as a copy does, copies are for nothing.
    static let shortRoundTrip = Instant.Interval.milliseconds(12)
    /// Packets a rate needs before plans follow it.
    static let sampleMinimum = 200.0

    /// What the flow's messages need: decides which codes come into question.
    public let kind: RedundancyClass
    /// How much the operator allows; `off` adds nothing, whatever the loss.
    public let level: RedundancyLevel
    /// What redundancy may add to the flow, in bits per second on the wire.
    public let budget: UInt64
    /// Lost messages are sent again (`delivery` other than `datagram`).
    public let hasRetransmission: Bool
    /// A message that is late keeps those after it waiting.
    public let isOrdered: Bool
    /// Until when a question and its answer are of use, if somebody said so.
    public let maximumAge: Instant.Interval?
    /// What to add from now on, until ``update(_:traffic:roundTrip:at:)`` says that it changed.
    public private(set) var plan = RedundancyPlan.off

    private var seenLosses: UInt64 = 0
    /// Until when the plan is the one for an unmeasured path.
    private var provisionalUntil = Instant(nanoseconds: 0)
    /// Since when something weaker would do.
    private var weakerSince: Instant?
    private var changedAt = Instant(nanoseconds: 0)
    private var usesRepairs = false
    private var isMeasured = false
    /// When ``plan`` was adopted.
    private var wasMeasured = false

    /// A controller that adds nothing yet; `budget` is in bits a second on the wire.
    public init(
        kind: RedundancyClass,
        level: RedundancyLevel = .auto,
        budget: UInt64,
        hasRetransmission: Bool = false,
        isOrdered: Bool = false,
        maximumAge: Instant.Interval? = nil
    ) {
        self.isOrdered = isOrdered
        self.maximumAge = maximumAge
        self.kind = kind
        self.level = level
        self.budget = budget
        self.hasRetransmission = hasRetransmission
    }

    /// Looks at the newest report; true if ``plan`` changed.
    @discardableResult
    public mutating func update(
        _ report: LossReport,
        traffic: FlowTraffic,
        roundTrip: Instant.Interval,
        at now: Instant
    ) -> Bool {
        guard self.kind != .bulk, self.level != .off else { return false }
        self.chooseCode(traffic)
        let hasNewLoss = report.lossCount > self.seenLosses
        self.seenLosses = report.lossCount
        self.isMeasured = report.sampleCount >= Self.sampleMinimum
        if hasNewLoss, self.plan == .off || !self.isMeasured {
            self.provisionalUntil = now + Self.hold
        }
        var wanted = self.wanted(report, traffic: traffic, roundTrip: roundTrip, at: now)
        wanted = wanted.fitted(to: self.budget, of: traffic)
        return self.approach(wanted, at: now)
    }

    // MARK: Hysteresis

    private mutating func approach(_ wanted: RedundancyPlan, at now: Instant) -> Bool {
        guard wanted != self.plan else {
            self.weakerSince = nil
            return false
        }
        switch Self.compare(self.plan, wanted) {
        case .stronger:
            return self.adopt(wanted, at: now)
        case .alike:
            // Only its details move: once a second is enough.
            self.weakerSince = nil
            guard now.since(self.changedAt) >= .seconds(1) else { return false }
            return self.adopt(wanted, at: now)
        case .weaker:
            let since = self.weakerSince ?? now
            self.weakerSince = since
            guard now.since(since) >= (self.wasMeasured ? Self.hold : Self.guessHold) else {
                return false
            }
            return self.adopt(wanted, at: now)
        }
    }

    private mutating func adopt(_ wanted: RedundancyPlan, at now: Instant) -> Bool {
        self.plan = wanted
        self.wasMeasured = self.isMeasured
        self.changedAt = now
        self.weakerSince = nil
        return true
    }

    private enum Change {
        case stronger, alike, weaker
    }

    private static func compare(_ old: RedundancyPlan, _ new: RedundancyPlan) -> Change {
        switch (old, new) {
        case (.off, _), (.copies, .repairs), (.repairs, .copies):
            return .stronger
        case (_, .off):
            return .weaker
        case (.copies(let old), .copies(let new)):
            if new.copies != old.copies { return new.copies > old.copies ? .stronger : .weaker }
            // A copy that rides instead of travelling alone is cheaper, and later.
            let isLater = new.latest(0) > old.latest(0) + .milliseconds(4)
            return isLater && new.slack > .milliseconds(8) ? .weaker : .alike
        case (.repairs(let old), .repairs(let new)):
            if new.interval < old.interval || new.window > old.window * 2 { return .stronger }
            // A quarter rarer is not worth a change.
            return new.interval * 4 > old.interval * 5 ? .weaker : .alike
        }
    }

    // MARK: Plans

    /// Copies for small, slow messages, repairs for the others, without flapping at the border.
    private mutating func chooseCode(_ traffic: FlowTraffic) {
        // Streams have no repairs, and theirs is the rate of all together.
        guard !self.isOrdered else { return }
        let limit = Double(CopySchedule.messageByteLimit)
        let size = traffic.messageByteCount
        if self.usesRepairs {
            self.usesRepairs = size > limit * 0.85 || traffic.rate > 90
        } else {
            self.usesRepairs = size > limit || traffic.rate > 110
        }
    }

    private func wanted(
        _ report: LossReport,
        traffic: FlowTraffic,
        roundTrip: Instant.Interval,
        at now: Instant
    ) -> RedundancyPlan {
        let isProvisional = now < self.provisionalUntil
        if self.hasRetransmission, roundTrip < Self.shortRoundTrip { return .off }
        let threshold = self.usesRepairs ? Self.repairThreshold : Self.copyThreshold
        let isMeasured = self.isMeasured
        let isLossy = isMeasured && report.rate >= (self.plan == .off ? threshold : threshold / 2)
        if self.usesRepairs {
            // Fast flows are measured within a second: a stray loss is no reason.
            guard isLossy || (isProvisional && !isMeasured) else { return .off }
            return .repairs(
                self.repairs(
                    report,
                    traffic: traffic,
                    roundTrip: roundTrip,
                    isMeasured: isMeasured
                )
            )
        }
        guard isLossy || isProvisional else { return .off }
        return .copies(self.copies(report, traffic: traffic, roundTrip: roundTrip))
    }

    private func copies(
        _ report: LossReport,
        traffic: FlowTraffic,
        roundTrip: Instant.Interval
    ) -> CopyPlan {
        let gap = traffic.gapMilliseconds
        let burst = report.burstMilliseconds
        let delay = Self.patience(roundTrip)
        switch self.level {
        case .low, .off:
            // In the next message's packet, unless that is long in coming.
            return Self.copy(
                at: min(max(gap * 1.3, 8), 40),
                from: min(max(2 * burst, 2), gap * 0.9)
            )
        case .high:
            let step = max(8, min(burst, 40))
            return Self.copy(at: 8, from: 4, then: 8 + step, 8 + 2 * step)
        case .auto:
            break
        }
        let rate = self.guarded(report)
        // Where sending again comes too late, or others wait for it, copies have to do it all.
        let isTight = self.maximumAge.map { $0 < roundTrip * 2 + .milliseconds(20) } ?? false
        // What bursts take, they take from neighbours at once: their share varies more.
        let share = burst > 4 ? Self.lateShare * 0.75 : Self.lateShare
        let target = self.isOrdered || isTight ? share / 5 : share
        /// The share of messages that are lost together with what leaves so much later.
        func residue(_ distance: Double) -> Double {
            rate + (1 - rate) * BurstMeter.decay(distance, burst)
        }
        // Beside fast streams copies cost next to nothing, and their queue makes them later.
        let isBusy = report.sampleCount > 300 * max(traffic.rate, 5)
        if isBusy, rate * residue(delay / 3) > target {
            let third = delay / 3
            return Self.copy(at: third, from: third - 2, then: 2 * third, 3 * third)
        }
        var nearest = 2.0
        while nearest <= delay, rate * residue(nearest) > target { nearest += 1 }
        if nearest <= delay {
            // With the next message if that comes in time, else alone and early.
            let ride = gap * 1.3
            let isRider = nearest <= gap && ride <= delay
            let latest = max(nearest + 1, isRider ? ride : min(delay, 8))
            return Self.copy(at: latest, from: nearest)
        }
        var half = 4.0
        while 2 * half < delay, rate * residue(half) * residue(half) > target { half += 0.5 }
        if rate * residue(half) * residue(half) <= target {
            return Self.copy(at: half, from: half - 2, then: 2 * half)
        }
        // Nothing in time would do: the last ones come late, but outlive the silence.
        let step = min(max(half, burst * 0.8), 45)
        return Self.copy(at: half, from: half - 2, then: half + step, half + 2 * step)
    }

    /// What is not measured yet might be worse than it looks, and one bad second is not the rule.
    private func guarded(_ report: LossReport) -> Double {
        let rate = max(report.longTerm, report.shortTerm / 2)
        return min(self.isMeasured ? rate : max(rate, 0.02), 0.5)
    }

    /// Milliseconds within which a copy is almost as good as the message.
    private static func patience(_ roundTrip: Instant.Interval) -> Double {
        min(max(Double(roundTrip.microseconds) / 1000 * 0.4, 6), 24)
    }

    /// Milliseconds after the message: when the first copy leaves at the latest, from when on it
    /// rides along, and when the others leave.
    private static func copy(
        at latest: Double,
        from earliest: Double,
        then second: Double? = nil,
        _ third: Double? = nil
    ) -> CopyPlan {
        var plan = CopyPlan(
            at: .microseconds(UInt64(latest * 1000)),
            slack: .microseconds(UInt64(max(0, latest - earliest) * 1000))
        )
        if let second { plan.add(at: .microseconds(UInt64(second * 1000))) }
        if let third { plan.add(at: .microseconds(UInt64(third * 1000))) }
        return plan
    }

    private func repairs(
        _ report: LossReport,
        traffic: FlowTraffic,
        roundTrip: Instant.Interval,
        isMeasured: Bool
    ) -> RepairPlan {
        // A slow flow of large messages has no time to collect a window.
        if self.kind == .interactive, traffic.rate <= 90 {
            return self.level == .low
                ? RepairPlan(interval: 2, window: 8) : RepairPlan(interval: 1, window: 6)
        }
        // What comes much later than its siblings is of no use.
        let roundTripSeconds = Double(roundTrip.microseconds) / 1e6
        let reach = max(traffic.rate * max(1.5 * roundTripSeconds, 0.15), 16)
        var interval = 5.0
        if isMeasured {
            interval = min(max(1 / (2.2 * report.rate), 3), 20)
            // A burst needs as many repairs as it took messages, while those are of use.
            interval = min(interval, max(reach / (report.highBurstPackets + 1), 5))
            interval = Double(Int(interval))
        }
        switch self.level {
        case .low: interval = max(interval, 10)
        case .high: interval = 3
        case .auto, .off: break
        }
        var window = min(max(2.5 * interval * report.highBurstPackets, 16), 128)
        if !isMeasured || self.level == .high { window = max(window, 64) }
        window = min(window, reach)
        if self.hasRetransmission {
            // What is older than a round trip, retransmission brings.
            window = min(window, max(traffic.rate * roundTripSeconds, 2 * interval, 16))
        }
        return RepairPlan(interval: Int(interval), window: Int(window))
    }
}
