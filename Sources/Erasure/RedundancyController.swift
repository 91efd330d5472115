public import Primitives

/// Decides what one flow, in the direction this end sends, adds to its messages.
///
/// Nothing on a clean path, whatever the level: redundancy starts with a loss. It follows the
/// measured loss upward at once and downward only after ``hold``, stays within the flow's budget,
/// and ignores loss that comes with a queue (``LossMeter``).
///
/// Contract: ``update(_:traffic:roundTrip:at:)`` with every report, and about every 100 ms while
/// the flow sends; then follow ``plan``.
public struct RedundancyController: Sendable {
    /// How long a plan outlives its reason.
    public static let hold = Instant.Interval.seconds(10)
    /// The share of messages that may stay lost.
    static let target = 0.001
    /// Loss above this starts copies, below half of it ends them.
    static let copyThreshold = 0.0005
    static let repairThreshold = 0.003
    /// Where a retransmission comes as soon as a copy does, copies are for nothing.
    static let shortRoundTrip = Instant.Interval.milliseconds(12)
    /// Packets a rate needs before plans follow it.
    static let sampleMinimum = 200.0

    public let kind: RedundancyClass
    public let level: RedundancyLevel
    /// What redundancy may add to the flow, in bits per second on the wire.
    public let budget: UInt64
    /// Lost messages are sent again (`delivery` other than `datagram`).
    public let hasRetransmission: Bool
    public private(set) var plan = RedundancyPlan.off

    private var seenLosses: UInt64 = 0
    /// Until when the plan is the one for an unmeasured path.
    private var provisionalUntil = Instant(nanoseconds: 0)
    /// Since when something weaker would do.
    private var weakerSince: Instant?
    private var changedAt = Instant(nanoseconds: 0)
    private var usesRepairs = false

    public init(
        kind: RedundancyClass,
        level: RedundancyLevel = .auto,
        budget: UInt64,
        hasRetransmission: Bool = false
    ) {
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
        let isMeasured = report.sampleCount >= Self.sampleMinimum
        if hasNewLoss, self.plan == .off || !isMeasured {
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
            guard now.since(since) >= Self.hold else { return false }
            return self.adopt(wanted, at: now)
        }
    }

    private mutating func adopt(_ wanted: RedundancyPlan, at now: Instant) -> Bool {
        self.plan = wanted
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
            let before = old.copies * old.messages
            let after = new.copies * new.messages
            return after == before ? .alike : after > before ? .stronger : .weaker
        case (.repairs(let old), .repairs(let new)):
            if new.interval < old.interval || new.window > old.window * 2 { return .stronger }
            // A quarter rarer is not worth a change.
            return new.interval * 4 > old.interval * 5 ? .weaker : .alike
        }
    }

    // MARK: Plans

    /// Copies for small, slow messages, repairs for the others, without flapping at the border.
    private mutating func chooseCode(_ traffic: FlowTraffic) {
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
        let isMeasured = report.sampleCount >= Self.sampleMinimum
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
        return .copies(self.copies(report, traffic: traffic, isMeasured: isLossy && !isProvisional))
    }

    private func copies(
        _ report: LossReport,
        traffic: FlowTraffic,
        isMeasured: Bool
    ) -> CopyPlan {
        switch self.level {
        case .low, .off: return Self.copies(1, of: 2, at: 8, 8)
        case .high: return Self.copies(2, of: 3, at: 8, 16)
        case .auto: break
        }
        guard isMeasured else { return Self.copies(2, of: 2, at: 6, 12) }
        // A copy that comes `d` after a burst of mean length `b` began is lost with it with
        // probability exp(-d / b): the span to cover follows from rate and target.
        let doublings = Self.logarithm(report.rate / Self.target)
        let span = report.burstMilliseconds * max(0, doublings * 0.693)
        let gap = min(traffic.gapMilliseconds, 50)
        if report.rate <= 0.02, span <= 16 + gap {
            return Self.copies(1, of: 2, at: span - gap, 16)
        }
        if report.rate <= 0.05, span <= 12 + gap { return Self.copies(2, of: 2, at: 6, 12) }
        return Self.copies(2, of: 3, at: 8, max(16, span - 2 * gap))
    }

    /// Delays in milliseconds, brought to what makes sense for a game.
    private static func copies(
        _ copies: Int,
        of messages: Int,
        at first: Double,
        _ second: Double
    ) -> CopyPlan {
        CopyPlan(
            copies: copies,
            messages: messages,
            firstDelay: .milliseconds(UInt64(min(max(first, 6), 16))),
            secondDelay: .milliseconds(UInt64(min(max(second, 6), 40)))
        )
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
        var interval = 5.0
        if isMeasured { interval = Double(Int(min(max(1 / (2.2 * report.rate), 3), 20))) }
        switch self.level {
        case .low: interval = max(interval, 10)
        case .high: interval = 3
        case .auto, .off: break
        }
        var window = min(max(2.5 * interval * report.highBurstPackets, 16), 128)
        if !isMeasured || self.level == .high { window = max(window, 64) }
        if self.hasRetransmission {
            // What is older than a round trip, retransmission brings.
            let roundTripSeconds = Double(roundTrip.microseconds) / 1e6
            window = min(window, max(traffic.rate * roundTripSeconds, 2 * interval, 16))
        }
        return RepairPlan(interval: Int(interval), window: Int(window))
    }

    /// The binary logarithm within 0.09: linear between powers of two, no library asked.
    private static func logarithm(_ value: Double) -> Double {
        guard value > 0, value.isFinite else { return 0 }
        return Double(value.exponent) + value.significand - 1
    }
}
