/// What the default controller knows of the path: how fast, how long, how lossy, how full.
///
/// It learns from everything that is acknowledged or lost and decides nothing; see
/// docs/CONGESTION.md. Times are nanoseconds, rates bytes a second.
struct PathModel: Sendable {
    static let filterRounds = 10
    static let minimumWindow: UInt64 = 10_000_000_000

    /// The least round trip; 0 before the first.
    private(set) var minimum: UInt64 = 0
    /// When that was seen last.
    private(set) var minimumAt: UInt64
    /// The least round trip of the last round above ``minimum``.
    private(set) var queue: UInt64 = 0
    /// The greatest delivery rate of the last rounds that say something.
    private(set) var filter = MaximumFilter()
    /// A ceiling on the bandwidth after congestion loss.
    private(set) var cap = Double.infinity

    private var gentleLoss = 0.0
    private var overallLoss = 0.0
    /// How many gentle packets ``base`` rests on.
    private var gentlePackets = 0.0
    /// Rounds that say something about the path, which is what the bandwidth filter ages by.
    private var tellingRounds = 0

    /// Bytes acknowledged, and the least round trip, since ``spanStartedAt``.
    private var spanAcked = 0
    private var spanMinimum: UInt64 = .max
    private var spanStartedAt: UInt64 = 0
    /// Spans in a row in which less arrived than the model believes, behind a standing queue, and
    /// the most of any of them.
    private var slowSpans = 0
    private var slowBest = 0.0

    init(at now: UInt64) { self.minimumAt = now }

    /// Whether there is enough to compute a rate from.
    var isKnown: Bool { self.filter.value > 0 && self.minimum > 0 }
    /// What the path delivers, as far as we know.
    var bandwidth: Double { min(self.filter.value, self.cap) }
    /// The path's own loss rate: what gentle packets lose, and never more than all do on average.
    var base: Double { min(self.gentleLoss, self.overallLoss) }
    /// What has to be sent so that ``bandwidth`` arrives.
    var sending: Double { self.bandwidth / (1 - self.base) }
    /// The bytes in flight that fill the path without a queue, lost ones included.
    var product: Double { self.sending * Double(self.minimum) * 1e-9 }
    /// The standing queue aimed at.
    var target: UInt64 { min(max(self.minimum / 10, 3_000_000), 12_000_000) }
    /// A queue which others must be filling.
    var foreignQueue: UInt64 { min(max(15_000_000, self.minimum / 4), 25_000_000) }
    /// A time the path needs to answer.
    var response: UInt64 { max(self.minimum, RoundSums.shortest) }
    /// A loss above this, behind a queue, is congestion.
    var congestionLoss: Double { 1.5 * self.base + 0.02 }

    // MARK: Round trips

    mutating func sample(roundTrip sample: UInt64, at now: UInt64) {
        guard self.minimum == 0 || sample <= self.minimum + self.minimum / 20 else { return }
        if self.minimum == 0 || sample < self.minimum { self.minimum = sample }
        self.minimumAt = now
    }

    /// What a probe found in place of a minimum that grew old.
    mutating func adopt(minimum: UInt64, at now: UInt64) {
        self.minimum = minimum
        self.minimumAt = now
    }

    /// A queue hides the minimum: it does not grow old meanwhile.
    mutating func keepMinimum(at now: UInt64) { self.minimumAt = now }

    /// Nothing was in flight for `idle`.
    mutating func rested(for idle: UInt64, at now: UInt64) {
        self.minimumAt = min(now, self.minimumAt.plus(idle))
    }

    /// Whether the minimum has to be probed.
    mutating func mustProbe(at now: UInt64) -> Bool {
        guard now > self.minimumAt.plus(Self.minimumWindow) else { return false }
        guard self.minimum < 2_000_000 else { return true }
        // On a path this short the minimum drifts with the schedulers and matters little.
        self.minimum = min(self.minimum.plus(self.queue), 2_000_000)
        self.minimumAt = now
        return false
    }

    // MARK: Rates

    /// Takes a delivery-rate sample; false if it says only what the application had.
    mutating func sample(bandwidth: Double, isAppLimited: Bool) -> Bool {
        guard bandwidth > 0, !isAppLimited || bandwidth >= self.filter.value else { return false }
        self.filter.update(bandwidth, round: self.tellingRounds, window: Self.filterRounds)
        return true
    }

    /// Notices within a round trip or two that the path has become slower: what arrives falls
    /// behind while a queue stands.
    ///
    /// The filter alone would believe the old rate for ten rounds, each as long as the queue that
    /// this builds. `isGuarded`: the sender neither starts nor competes, so that the queue is of
    /// its own making.
    mutating func watchRate(_ event: AckEvent, isGuarded: Bool) {
        self.spanAcked += event.acked
        if event.roundTrip > 0 { self.spanMinimum = min(self.spanMinimum, event.roundTrip) }
        let span = event.now.less(self.spanStartedAt)
        guard span >= max(self.minimum / 3, 20_000_000) else { return }
        let rate = Double(self.spanAcked) * 1e9 / Double(span)
        let isSlow =
            self.spanMinimum != .max && self.spanMinimum > self.minimum + 2 * self.target
            && rate < 0.8 * self.filter.value && span < 100_000_000 + self.minimum
            && !event.isAppLimited && isGuarded
        self.slowBest = isSlow ? max(self.slowBest, rate) : 0
        self.slowSpans = isSlow ? self.slowSpans + 1 : 0
        if self.slowSpans >= 3 {
            self.filter.reset(to: self.slowBest, round: self.tellingRounds)
            self.slowSpans = 0
            self.slowBest = 0
        }
        self.spanAcked = 0
        self.spanMinimum = .max
        self.spanStartedAt = event.now
    }

    // MARK: Losses

    /// The path's own loss shows in packets that left at a rate below its capacity.
    ///
    /// Taken from all packets, the losses of a short queue or of a policer would raise the rate
    /// that causes them.
    mutating func learnBase(acked: Int, lost: Int) {
        let count = Double(acked + lost)
        guard count > 0 else { return }
        self.gentlePackets = min(self.gentlePackets + count, 600)
        let weight = min(count / (self.gentlePackets + 60), 1)
        self.gentleLoss += (Double(lost) / count - self.gentleLoss) * weight
    }

    /// Draws the sum of a round that was sent in `phase`.
    mutating func endRound(
        _ round: RoundSums,
        in phase: DelayGuardedModel.Phase,
        _ event: AckEvent
    ) {
        if round.minimum != .max { self.queue = round.minimum.less(self.minimum) }
        let loss = round.loss
        self.overallLoss += (min(loss, 0.3) - self.overallLoss) / 16
        if self.queue < self.target {
            if phase == .up, loss > self.base + 0.05, round.lost > 3 * event.packetSize {
                self.cap = 0.95 * self.bandwidth
            }
        } else {
            // Loss that stays whatever we do becomes the path's own in the end.
            if loss > self.gentleLoss { self.gentleLoss += (loss - self.gentleLoss) / 40 }
            if loss > self.congestionLoss, phase != .startup {
                self.cap = max(0.85 * self.bandwidth, 0.5 * self.filter.value)
            }
        }
        if self.cap < .infinity, loss <= self.congestionLoss {
            self.cap *= 1.05
            if self.cap >= self.filter.value { self.cap = .infinity }
        }
        if phase == .cruise, self.queue > 2 * self.target, !event.isAppLimited {
            let best = max(round.best, round.previousBest)
            if best > 0, best < 0.8 * self.filter.value {
                self.filter.reset(to: best, round: self.tellingRounds)
            }
        }
        if !round.isAppLimited { self.tellingRounds += 1 }
    }
}

/// What happened in one round: from the leaving of a packet to its acknowledgement.
struct RoundSums: Sendable {
    /// Rounds and silences shorter than this carry no information: schedulers stall for longer.
    static let shortest: UInt64 = 5_000_000

    /// Rounds before this one.
    private(set) var count = 0
    private var end: UInt64 = 0
    private var startedAt: UInt64
    private(set) var minimum: UInt64 = .max
    private(set) var acked = 0
    private(set) var lost = 0
    /// The greatest delivery rate, and that of the round before.
    private(set) var best = 0.0
    private(set) var previousBest = 0.0
    /// Some of the round's packets left when the application had no more.
    private(set) var isAppLimited = false

    init(at now: UInt64) { self.startedAt = now }

    var sent: Int { self.acked + self.lost }
    /// Lost bytes as a share of ``sent``.
    var loss: Double { self.sent > 0 ? Double(self.lost) / Double(self.sent) : 0 }

    mutating func sample(roundTrip: UInt64) { self.minimum = min(self.minimum, roundTrip) }

    mutating func sample(bandwidth: Double) { self.best = max(self.best, bandwidth) }

    mutating func add(_ event: AckEvent) {
        self.acked += event.acked
        self.lost += event.lost
        self.isAppLimited = self.isAppLimited || event.isAppLimited
    }

    /// What counted as lost was only late.
    mutating func takeBack(_ bytes: Int) { self.lost = max(0, self.lost - bytes) }

    /// Whether `event` acknowledges what left in this round, and the round was long enough.
    func isOver(_ event: AckEvent) -> Bool {
        event.priorDelivered >= self.end
            && (event.now.less(self.startedAt) >= Self.shortest || self.count == 0)
    }

    /// Begins the next round.
    mutating func begin(_ event: AckEvent) {
        self.count += 1
        self.end = event.delivered
        self.startedAt = event.now
        self.minimum = .max
        self.acked = 0
        self.lost = 0
        self.previousBest = self.best
        self.best = 0
        self.isAppLimited = false
    }
}
