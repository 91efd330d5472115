/// The default controller: a BBR-like model of the path that guards the standing queue and takes
/// loss for congestion only where it comes together with delay.
///
/// `bandwidth` is what arrives; `base` is the loss rate of the path itself, learned while the
/// queue is short, by which the sending rate is raised so that the link stays full. Times are
/// nanoseconds, rates bytes a second.
struct DelayGuardedModel: Sendable {
    enum Phase: Sendable { case startup, drain, cruise, up, down, probeRTT }

    /// Rounds and silences shorter than this carry no information: schedulers stall for longer.
    static let shortestRound: UInt64 = 5_000_000
    static let filterRounds = 10
    /// Doubling a round trip; more would only make the queue longer that ends it.
    static let startupGain = 2.0
    static let minimumWindow: UInt64 = 10_000_000_000

    private(set) var phase = Phase.startup
    private(set) var window: Int
    private(set) var pacingRate: Double
    /// The path's own loss rate: what gentle packets lose, and never more than all do on average.
    var base: Double { min(self.gentleLoss, self.overallLoss) }
    private var gentleLoss = 0.0
    private var overallLoss = 0.0
    /// The least round trip of the last round above the path's minimum.
    private(set) var queue: UInt64 = 0
    var isCompeting = false

    /// How many gentle packets `base` rests on.
    private var gentlePackets = 0.0
    /// Rounds for which cruising must not press, because the last time cost packets.
    private var calmRounds = 0
    private var packetSize: Double
    private var filter = MaximumFilter()
    /// A ceiling on the bandwidth after congestion loss.
    private var cap = Double.infinity
    var minimum: UInt64 = 0
    var minimumAt: UInt64 = 0
    private var variance: UInt64 = 0

    private var round = 0
    private var roundEnd: UInt64 = 0
    private var roundStartedAt: UInt64
    private var roundMinimum: UInt64 = .max
    var roundAcked = 0
    var roundLost = 0
    private var roundBest = 0.0
    private var previousBest = 0.0
    /// Some of the round's packets left when the application had no more.
    private var roundIsAppLimited = false
    /// Rounds that say something about the path, which is what the bandwidth filter ages by.
    private var tellingRounds = 0
    /// Telling rounds of startup in which the bandwidth did not grow.
    private var flatRounds = 0

    private var phaseStartedAt: UInt64
    private var phaseRounds = 0
    var cruiseRounds = 4
    /// The bandwidth when the present step of growth began.
    private var stepBandwidth = 0.0
    private var stepRounds = 0
    private var excess = 0.1
    private var probeMinimum: UInt64 = .max

    /// The least of the newest round trips, eight at a time, and how many there were.
    private var recentMinimum: UInt64 = .max
    private var recentCount = 0
    /// Bytes acknowledged, and the least round trip, since ``spanStartedAt``.
    private var spanAcked = 0
    private var spanMinimum: UInt64 = .max
    private var spanStartedAt: UInt64 = 0
    /// Spans in a row in which less arrived than the model believes, behind a standing queue, and
    /// the most of any of them.
    private var slowSpans = 0
    private var slowBest = 0.0

    var lowQueueAt: UInt64
    /// When the queue was last about as short as the guard wants it, and the bandwidth then.
    var clearQueueAt: UInt64
    var clearBandwidth = 0.0
    var lossAt: UInt64 = 0
    var competeSince: UInt64 = 0
    var competeEndedAt: UInt64 = 0
    /// How often the queue came back soon after it had been emptied.
    var returns = 0
    var isYielding = false
    /// The highest queue seen lately.
    var queueLevel = 0.0
    var rival: Cubic
    var yieldedAt: UInt64 = 0
    var drainedAt: UInt64 = 0
    private var isRestarting = false
    /// Competes as BBR does, because the rival does not mind loss.
    var isBlind = false
    var blind: BottleneckModel
    var blindSince: UInt64 = 0
    /// When competing last cost packets, and the mean time between such losses.
    var rivalLossAt: UInt64 = 0
    var lossInterval = 0.0
    var rivalLosses = 0
    /// The queue stayed when we yielded.
    var hasFought = false
    /// The queue that ended startup may be somebody else's: then it is still there afterwards.
    private var isStartInDoubt = false
    private var dice: UInt64 = 0x9E37_79B9_7F4A_7C15

    init(packetSize: Int, at now: UInt64) {
        self.packetSize = Double(packetSize)
        self.rival = Cubic(packetSize: packetSize)
        self.blind = BottleneckModel(packetSize: packetSize, at: now)
        self.window = packetSize * 32
        self.pacingRate = Double(packetSize) * 32 / 0.02
        self.roundStartedAt = now
        self.phaseStartedAt = now
        self.lowQueueAt = now
        self.clearQueueAt = now
        self.minimumAt = now
    }

    /// What the path delivers, as far as we know.
    var bandwidth: Double { min(self.filter.value, self.cap) }

    /// The standing queue aimed at.
    private var target: UInt64 { min(max(self.minimum / 10, 3_000_000), 12_000_000) }
    /// A queue which others must be filling.
    var foreignQueue: UInt64 { min(max(15_000_000, self.minimum / 4), 25_000_000) }
    /// The bytes in flight that fill the path without a queue, lost ones included.
    var product: Double {
        self.bandwidth / (1 - self.base) * Double(self.minimum) * 1e-9
    }

    mutating func update(_ event: AckEvent) {
        self.packetSize = Double(event.packetSize)
        self.variance = event.roundTripVariance
        if event.roundTrip > 0 { self.sampleRoundTrip(event.roundTrip, at: event.now) }
        self.watchRate(event)
        self.learnBase(event)
        self.roundAcked += event.acked
        self.roundLost += event.lost
        if event.lost > 0 { self.lossAt = event.now }
        self.roundIsAppLimited = self.roundIsAppLimited || event.isAppLimited
        if event.bandwidth > 0, !event.isAppLimited || event.bandwidth >= self.filter.value {
            self.filter.update(
                event.bandwidth,
                round: self.tellingRounds,
                window: Self.filterRounds
            )
            self.roundBest = max(self.roundBest, event.bandwidth)
        }
        if event.priorDelivered >= self.roundEnd,
            event.now.less(self.roundStartedAt) >= Self.shortestRound || self.round == 0
        {
            self.endRound(event)
        }
        guard self.filter.value > 0, self.minimum > 0 else { return }
        self.step(event)
        self.setRates()
    }

    mutating func spuriousLoss(_ bytes: Int) {
        self.roundLost = max(0, self.roundLost - bytes)
    }

    mutating func restart(afterIdle idle: UInt64, at now: UInt64) {
        self.lowQueueAt = now
        self.clearQueueAt = now
        self.minimumAt = min(now, self.minimumAt.plus(idle))
        guard idle > 1_000_000_000, self.filter.value > 0 else { return }
        self.isRestarting = true
        self.window = min(self.window, Int(10 * self.packetSize))
    }

    private mutating func sampleRoundTrip(_ sample: UInt64, at now: UInt64) {
        self.roundMinimum = min(self.roundMinimum, sample)
        if self.minimum == 0 || sample <= self.minimum + self.minimum / 20 {
            if self.minimum == 0 || sample < self.minimum { self.minimum = sample }
            self.minimumAt = now
        }
        if self.phase == .probeRTT { self.probeMinimum = min(self.probeMinimum, sample) }
        if sample <= self.minimum + self.foreignQueue { self.lowQueueAt = now }
        if sample <= self.minimum + self.target * 3 / 2 {
            self.clearQueueAt = now
            if !self.isCompeting { self.clearBandwidth = self.bandwidth }
        }
        if self.phase == .startup { self.watchStart(sample, at: now) }
    }

    /// Leaves startup as soon as eight round trips in a row show a queue (the idea of RFC 9406),
    /// not a round later: by then it would have grown by as much again.
    private mutating func watchStart(_ sample: UInt64, at now: UInt64) {
        self.recentMinimum = min(self.recentMinimum, sample)
        self.recentCount += 1
        guard self.recentCount >= 8 else { return }
        if self.minimum >= 3_000_000, self.recentMinimum > self.minimum + self.startRise,
            self.filter.value > 0
        {
            self.isStartInDoubt = true
            self.enter(.drain, at: now)
        }
        self.recentMinimum = .max
        self.recentCount = 0
    }

    /// How much of a queue ends startup.
    private var startRise: UInt64 { min(max(self.minimum / 20, 2_000_000), 8_000_000) }

    /// Notices within a round trip or two that the path has become slower: what arrives falls
    /// behind while a queue stands.
    ///
    /// The filter alone would believe the old rate for ten rounds, each as long as the queue that
    /// this builds.
    private mutating func watchRate(_ event: AckEvent) {
        self.spanAcked += event.acked
        if event.roundTrip > 0 { self.spanMinimum = min(self.spanMinimum, event.roundTrip) }
        let span = event.now.less(self.spanStartedAt)
        guard span >= max(self.minimum / 3, 20_000_000) else { return }
        let rate = Double(self.spanAcked) * 1e9 / Double(span)
        let isSlow =
            self.spanMinimum != .max && self.spanMinimum > self.minimum + 2 * self.target
            && rate < 0.8 * self.filter.value && span < 100_000_000 + self.minimum
            && !event.isAppLimited && !self.isCompeting && self.phase != .startup
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

    /// The path's own loss shows in packets that left at a rate below its capacity.
    ///
    /// Taken from all packets, the losses of a short queue or of a policer would raise the rate
    /// that causes them.
    private mutating func learnBase(_ event: AckEvent) {
        let count = Double(event.gentleAcked + event.gentleLost)
        guard count > 0 else { return }
        self.gentlePackets = min(self.gentlePackets + count, 600)
        let weight = min(count / (self.gentlePackets + 60), 1)
        self.gentleLoss += (Double(event.gentleLost) / count - self.gentleLoss) * weight
    }

    /// Draining, or sending a good deal less than the path was seen to take.
    var isGentle: Bool {
        switch self.phase {
        case .down, .drain: !self.isCompeting
        case .startup, .cruise, .up, .probeRTT: false
        }
    }

    private mutating func endRound(_ event: AckEvent) {
        if self.roundMinimum != .max { self.queue = self.roundMinimum.less(self.minimum) }
        let sent = self.roundAcked + self.roundLost
        let loss = sent > 0 ? Double(self.roundLost) / Double(sent) : 0
        self.overallLoss += (min(loss, 0.3) - self.overallLoss) / 16
        if self.queue < self.target {
            if self.phase == .up, loss > self.base + 0.05, self.roundLost > 3 * event.packetSize {
                self.cap = 0.95 * self.bandwidth
            }
        } else {
            // Loss that stays whatever we do becomes the path's own in the end.
            if loss > self.gentleLoss { self.gentleLoss += (loss - self.gentleLoss) / 40 }
            if loss > 1.5 * self.base + 0.02, self.phase != .startup {
                self.cap = max(0.85 * self.bandwidth, 0.5 * self.filter.value)
            }
        }
        if self.cap < .infinity, loss <= 1.5 * self.base + 0.02 {
            self.cap *= 1.05
            if self.cap >= self.filter.value { self.cap = .infinity }
        }
        if self.phase == .cruise, self.queue > 2 * self.target, !event.isAppLimited {
            let best = max(self.roundBest, self.previousBest)
            if best > 0, best < 0.8 * self.filter.value {
                self.filter.reset(to: best, round: self.tellingRounds)
            }
        }
        self.calmRounds =
            loss > self.base + 0.01 && self.roundLost > 4 * event.packetSize
            ? 32 : max(0, self.calmRounds - 1)
        self.round += 1
        if !self.roundIsAppLimited { self.tellingRounds += 1 }
        self.phaseRounds += 1
        self.stepRounds += 1
        self.roundEnd = event.delivered
        self.roundStartedAt = event.now
        self.roundMinimum = .max
        self.roundAcked = 0
        self.roundLost = 0
        self.previousBest = self.roundBest
        self.roundBest = 0
        self.isRestarting = false
        if self.isStartInDoubt, self.phase == .cruise, self.phaseRounds >= 3 {
            self.isStartInDoubt = false
            if self.queue > max(self.startRise, self.target) {
                self.startCompeting(event, hasYielded: false)
            }
        }
        if self.phase == .startup {
            self.checkFull(event, isOverrun: loss > 0.3 && sent > 100_000)
        }
        self.roundIsAppLimited = false
    }

    private mutating func checkFull(_ event: AckEvent, isOverrun: Bool) {
        if self.filter.value >= 1.25 * self.stepBandwidth {
            self.stepBandwidth = self.filter.value
            self.stepRounds = 0
            self.flatRounds = 0
            return
        }
        // That half of what is sent gets lost needs no more data to be believed: an overrun path
        // itself starves the stream, whose buffer waits for what was lost.
        if isOverrun, self.stepRounds >= 1 {
            self.enter(.drain, at: event.now)
            return
        }
        // What an application did not ask for says nothing about the path: messages that wait for a
        // moment behind a loss do not make it a full one.
        if self.roundIsAppLimited { return }
        self.flatRounds += 1
        let crowded = self.queue > 2 * self.target + self.minimum / 4
        if self.flatRounds >= 3 || (self.flatRounds >= 1 && crowded) {
            self.enter(.drain, at: event.now)
        }
    }

    mutating func enter(_ phase: Phase, at now: UInt64) {
        self.phase = phase
        self.phaseStartedAt = now
        self.phaseRounds = 0
        self.stepRounds = 0
        self.stepBandwidth = self.bandwidth
        switch phase {
        case .up: self.excess = 0.1
        case .cruise:
            self.dice &*= 6_364_136_223_846_793_005  // bound: dice
            self.dice &+= 1_442_695_040_888_963_407  // bound: dice
            self.dice ^= self.filter.value.bitPattern
            self.cruiseRounds = 3 + Int(self.dice >> 33 & 3)
        case .probeRTT: self.probeMinimum = .max
        default: break
        }
    }

    /// A time the path needs to answer.
    var response: UInt64 { max(self.minimum, Self.shortestRound) }

    private mutating func step(_ event: AckEvent) {
        let now = event.now
        let elapsed = now.less(self.phaseStartedAt)
        self.updateCompetition(event)
        switch self.phase {
        case .startup: break
        case .drain:
            if Double(event.inFlight) <= self.product || elapsed > 4 * self.response {
                self.enter(.cruise, at: now)
            }
        case .cruise:
            if !self.isCompeting, self.mustProbeRTT(at: now) {
                self.enter(.probeRTT, at: now)
            } else if self.phaseRounds >= self.cruiseRounds, self.queue <= self.target,
                !self.isCompeting
            {
                self.enter(.up, at: now)
            }
        case .up:
            self.stepUp(event, elapsed: elapsed)
        case .down:
            if Double(event.inFlight) <= 0.98 * self.product || elapsed > 2 * self.response {
                self.enter(.cruise, at: now)
            }
        case .probeRTT:
            if elapsed > max(self.response, 50_000_000), self.probeMinimum != .max {
                self.minimum = self.probeMinimum
                self.minimumAt = now
                self.enter(.cruise, at: now)
            }
        }
    }

    private mutating func stepUp(_ event: AckEvent, elapsed: UInt64) {
        if self.cap < .infinity || self.queue > 2 * self.target {
            self.enter(.down, at: event.now)
            return
        }
        guard elapsed > self.response * 3 / 2 else { return }
        // Much less than was tried for is only taken from others.
        let goal = 1 + max(0.02, 0.4 * self.excess)
        if self.bandwidth > goal * self.stepBandwidth, self.queue <= self.target {
            let excess = min(self.excess * 2, 1)
            self.enter(.up, at: event.now)
            self.excess = excess
        } else {
            self.enter(.down, at: event.now)
        }
    }

    private mutating func mustProbeRTT(at now: UInt64) -> Bool {
        guard now > self.minimumAt.plus(Self.minimumWindow) else { return false }
        guard self.minimum < 2_000_000 else { return true }
        // On a path this short the minimum drifts with the schedulers and matters little.
        self.minimum = min(self.minimum.plus(self.queue), 2_000_000)
        self.minimumAt = now
        return false
    }

    private var gain: Double {
        if self.isCompeting {
            return self.isYielding ? 0.5 : 1.1
        }
        switch self.phase {
        case .startup: return Self.startupGain
        case .drain: return 0.4
        case .up: return 1 + self.excess
        case .down: return 0.85
        case .probeRTT: return 0.9
        case .cruise:
            guard self.queue > self.target else {
                return self.minimum < 3_000_000 && self.calmRounds == 0 ? 1.1 : 0.99
            }
            let over = Double(self.queue - self.target) / Double(max(self.minimum, 1))
            return max(0.8, 0.95 - 0.5 * over)
        }
    }

    /// Bytes a round trip by which probing grows besides its gain: five packets, more where round
    /// trips are long and therefore few, less on a slow path, where that would be a queue.
    private var additiveStep: Double {
        let packets = 5 * min(max(Double(self.minimum) / 40_000_000, 1), 4)
        let step = max(self.product / 8, 3 * self.packetSize)
        return min(step, packets * self.packetSize, self.product / 5)
    }

    private mutating func setRates() {
        let sending = self.bandwidth / (1 - self.base)
        // Room for ACKs that come late or in clumps; all of it becomes queue when the path slows.
        let least = max(self.minimum / 3, min(self.minimum / 2, 10_000_000))
        let most = max(self.minimum / 2, min(self.minimum, 20_000_000))
        let patience = min(max(4 * self.variance, least), most)
        let slack = sending * Double(max(patience, Self.shortestRound)) * 1e-9
        let product = self.product
        self.pacingRate = max(self.gain * sending, self.packetSize * 10)
        if self.phase == .up {
            // The same for all, large or small: together with the guard's cuts, which are in
            // proportion, this draws shares together (Chiu and Jain, 1989).
            self.pacingRate += self.additiveStep * 1e9 / Double(self.response)
        }
        if self.phase == .startup {
            // What little an idle application sent says nothing about the path.
            let first = 32 * self.packetSize * 1e9 / Double(max(self.minimum, 1_000_000))
            self.pacingRate = max(self.pacingRate, first)
        }
        var window: Double
        switch self.phase {
        case .startup: window = max(Self.startupGain * product, 32 * self.packetSize) + slack
        case .probeRTT: window = 0.5 * product + 4 * self.packetSize
        case .up:
            window = max(product + slack, (1.25 + self.excess) * product)
            window += self.additiveStep
        case .drain: window = product
        case .cruise, .down: window = product + slack
        }
        if self.isCompeting {
            window = self.isYielding ? 0.5 * product : Double(self.rivalWindow)
            if !self.isYielding { self.pacingRate = self.rivalPacingRate }
        }
        window += 4 * self.packetSize
        if self.minimum < 1_000_000 { window = max(window, 64 * self.packetSize) }
        if self.isRestarting { window = min(window, 10 * self.packetSize) }
        self.window = Int(min(window, 1e9))
    }
}
