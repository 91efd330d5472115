/// The default controller: a BBR-like model of the path that guards the standing queue and takes
/// loss for congestion only where it comes together with delay.
///
/// ``PathModel`` learns, ``StartWatch`` ends the start, ``CompetitionGuard`` sees whether others
/// fill the queue, and the phases here decide what is sent. docs/CONGESTION.md explains all of it.
/// Times are nanoseconds, rates bytes a second.
struct DelayGuardedModel: Sendable {
    enum Phase: Sendable { case startup, drain, cruise, up, down, probeRTT }

    /// Doubling a round trip; more would only make the queue longer that ends it.
    static let startupGain = 2.0

    private(set) var phase = Phase.startup
    private(set) var window: Int
    private(set) var pacingRate: Double
    private(set) var path: PathModel
    private(set) var competition: CompetitionGuard
    private var round: RoundSums

    private var packetSize: Double
    private var variance: UInt64 = 0
    /// Rounds for which cruising must not press, because the last time cost packets.
    private var calmRounds = 0

    private var phaseStartedAt: UInt64
    private var phaseRounds = 0
    private var cruiseRounds = 4
    /// The bandwidth when the present step of growth began.
    private var stepBandwidth = 0.0
    private var stepRounds = 0
    private var excess = 0.1
    private var probeMinimum: UInt64 = .max

    private var start = StartWatch()
    private var isRestarting = false
    private var dice: UInt64 = 0x9E37_79B9_7F4A_7C15

    init(packetSize: Int, at now: UInt64) {
        self.packetSize = Double(packetSize)
        self.path = PathModel(at: now)
        self.competition = CompetitionGuard(packetSize: packetSize, at: now)
        self.round = RoundSums(at: now)
        self.window = packetSize * 32
        self.pacingRate = Double(packetSize) * 32 / 0.02
        self.phaseStartedAt = now
    }

    /// Draining, or sending a good deal less than the path was seen to take.
    var isGentle: Bool {
        switch self.phase {
        case .down, .drain: !self.competition.isCompeting
        case .startup, .cruise, .up, .probeRTT: false
        }
    }

    mutating func update(_ event: AckEvent) {
        self.packetSize = Double(event.packetSize)
        self.variance = event.roundTripVariance
        if event.roundTrip > 0 { self.sampleRoundTrip(event.roundTrip, at: event.now) }
        let isGuarded = !self.competition.isCompeting && self.phase != .startup
        self.path.watchRate(event, isGuarded: isGuarded)
        self.path.learnBase(acked: event.gentleAcked, lost: event.gentleLost)
        self.round.add(event)
        if event.lost > 0 { self.competition.noteLoss(at: event.now) }
        if self.path.sample(bandwidth: event.bandwidth, isAppLimited: event.isAppLimited) {
            self.round.sample(bandwidth: event.bandwidth)
        }
        if self.round.isOver(event) { self.endRound(event) }
        guard self.path.isKnown else { return }
        self.step(event)
        self.setRates()
    }

    mutating func spuriousLoss(_ bytes: Int) { self.round.takeBack(bytes) }

    mutating func restart(afterIdle idle: UInt64, at now: UInt64) {
        self.competition.rested(at: now)
        self.path.rested(for: idle, at: now)
        guard idle > 1_000_000_000, self.path.filter.value > 0 else { return }
        self.isRestarting = true
        self.window = min(self.window, Int(10 * self.packetSize))
    }

    private mutating func sampleRoundTrip(_ sample: UInt64, at now: UInt64) {
        self.round.sample(roundTrip: sample)
        self.path.sample(roundTrip: sample, at: now)
        if self.phase == .probeRTT { self.probeMinimum = min(self.probeMinimum, sample) }
        self.competition.sample(roundTrip: sample, self.path, at: now)
        if self.phase == .startup, self.start.sees(queueIn: sample, self.path) {
            self.enter(.drain, at: now)
        }
    }

    // MARK: The start

    private mutating func checkFull(_ event: AckEvent, isOverrun: Bool, isAppLimited: Bool) {
        if self.path.filter.value >= 1.25 * self.stepBandwidth {
            self.stepBandwidth = self.path.filter.value
            self.stepRounds = 0
            self.start.grew()
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
        if isAppLimited { return }
        if self.start.isFull(self.path) { self.enter(.drain, at: event.now) }
    }

    // MARK: Rounds and phases

    private mutating func endRound(_ event: AckEvent) {
        let ended = self.round
        self.path.endRound(ended, in: self.phase, event)
        self.calmRounds =
            ended.loss > self.path.base + 0.01 && ended.lost > 4 * event.packetSize
            ? 32 : max(0, self.calmRounds - 1)
        self.phaseRounds += 1
        self.stepRounds += 1
        self.round.begin(event)
        self.isRestarting = false
        if self.phase == .cruise, self.phaseRounds >= 3, self.start.leftQueue(self.path) {
            self.competition.start(event, self.path, hasYielded: false)
        }
        if self.phase == .startup {
            self.checkFull(
                event,
                isOverrun: ended.loss > 0.3 && ended.sent > 100_000,
                isAppLimited: ended.isAppLimited
            )
        }
    }

    private mutating func enter(_ phase: Phase, at now: UInt64) {
        self.phase = phase
        self.phaseStartedAt = now
        self.phaseRounds = 0
        self.stepRounds = 0
        self.stepBandwidth = self.path.bandwidth
        switch phase {
        case .up: self.excess = 0.1
        case .cruise:
            self.dice &*= 6_364_136_223_846_793_005  // bound: dice
            self.dice &+= 1_442_695_040_888_963_407  // bound: dice
            self.dice ^= self.path.filter.value.bitPattern
            self.cruiseRounds = 3 + Int(self.dice >> 33 & 3)
        case .probeRTT: self.probeMinimum = .max
        default: break
        }
    }

    private mutating func step(_ event: AckEvent) {
        let now = event.now
        let elapsed = now.less(self.phaseStartedAt)
        self.compete(event)
        switch self.phase {
        case .startup: break
        case .drain:
            if Double(event.inFlight) <= self.path.product || elapsed > 4 * self.path.response {
                self.enter(.cruise, at: now)
            }
        case .cruise:
            if !self.competition.isCompeting, self.path.mustProbe(at: now) {
                self.enter(.probeRTT, at: now)
            } else if self.phaseRounds >= self.cruiseRounds, self.path.queue <= self.path.target,
                !self.competition.isCompeting
            {
                self.enter(.up, at: now)
            }
        case .up:
            self.stepUp(event, elapsed: elapsed)
        case .down:
            if Double(event.inFlight) <= 0.98 * self.path.product
                || elapsed > 2 * self.path.response
            {
                self.enter(.cruise, at: now)
            }
        case .probeRTT:
            if elapsed > max(self.path.response, 50_000_000), self.probeMinimum != .max {
                self.path.adopt(minimum: self.probeMinimum, at: now)
                self.enter(.cruise, at: now)
            }
        }
    }

    private mutating func compete(_ event: AckEvent) {
        if self.competition.isCompeting { self.path.keepMinimum(at: event.now) }
        let isOver = self.competition.update(
            event,
            self.path,
            self.round,
            isCruising: self.phase == .cruise
        )
        guard isOver else { return }
        self.enter(.cruise, at: event.now)
        // A queue that comes back now must not be of our making.
        self.cruiseRounds += 12
    }

    private mutating func stepUp(_ event: AckEvent, elapsed: UInt64) {
        if self.path.cap < .infinity || self.path.queue > 2 * self.path.target {
            self.enter(.down, at: event.now)
            return
        }
        guard elapsed > self.path.response * 3 / 2 else { return }
        // Much less than was tried for is only taken from others.
        let goal = 1 + max(0.02, 0.4 * self.excess)
        if self.path.bandwidth > goal * self.stepBandwidth, self.path.queue <= self.path.target {
            let excess = min(self.excess * 2, 1)
            self.enter(.up, at: event.now)
            self.excess = excess
        } else {
            self.enter(.down, at: event.now)
        }
    }

    // MARK: What is sent

    private var gain: Double {
        if self.competition.isCompeting {
            return self.competition.isYielding ? 0.5 : 1.1
        }
        switch self.phase {
        case .startup: return Self.startupGain
        case .drain: return 0.4
        case .up: return 1 + self.excess
        case .down: return 0.85
        case .probeRTT: return 0.9
        case .cruise:
            let (queue, target) = (self.path.queue, self.path.target)
            guard queue > target else {
                return self.path.minimum < 3_000_000 && self.calmRounds == 0 ? 1.1 : 0.99
            }
            let over = Double(queue - target) / Double(max(self.path.minimum, 1))
            return max(0.8, 0.95 - 0.5 * over)
        }
    }

    /// Bytes a round trip by which probing grows besides its gain: five packets, more where round
    /// trips are long and therefore few, less on a slow path, where that would be a queue.
    private var additiveStep: Double {
        let packets = 5 * min(max(Double(self.path.minimum) / 40_000_000, 1), 4)
        let step = max(self.path.product / 8, 3 * self.packetSize)
        return min(step, packets * self.packetSize, self.path.product / 5)
    }

    /// Room in the window for ACKs that come late or in clumps; all of it becomes queue when the
    /// path slows.
    private var slack: Double {
        let minimum = self.path.minimum
        let least = max(minimum / 3, min(minimum / 2, 10_000_000))
        let most = max(minimum / 2, min(minimum, 20_000_000))
        let patience = min(max(4 * self.variance, least), most)
        return self.path.sending * Double(max(patience, RoundSums.shortest)) * 1e-9
    }

    private mutating func setRates() {
        self.setPacingRate()
        var window: Double
        if self.competition.isCompeting {
            let isYielding = self.competition.isYielding
            window = isYielding ? 0.5 * self.path.product : Double(self.competition.window)
            if !isYielding { self.pacingRate = self.competition.pacingRate }
        } else {
            window = self.guardedWindow
        }
        window += 4 * self.packetSize
        if self.path.minimum < 1_000_000 { window = max(window, 64 * self.packetSize) }
        if self.isRestarting { window = min(window, 10 * self.packetSize) }
        self.window = Int(min(window, 1e9))
    }

    private mutating func setPacingRate() {
        self.pacingRate = max(self.gain * self.path.sending, self.packetSize * 10)
        if self.phase == .up {
            // The same for all, large or small: together with the guard's cuts, which are in
            // proportion, this draws shares together (Chiu and Jain, 1989).
            self.pacingRate += self.additiveStep * 1e9 / Double(self.path.response)
        }
        if self.phase == .startup {
            // What little an idle application sent says nothing about the path.
            let first = 32 * self.packetSize * 1e9 / Double(max(self.path.minimum, 1_000_000))
            self.pacingRate = max(self.pacingRate, first)
        }
    }

    private var guardedWindow: Double {
        let (product, slack) = (self.path.product, self.slack)
        switch self.phase {
        case .startup: return max(Self.startupGain * product, 32 * self.packetSize) + slack
        case .probeRTT: return 0.5 * product + 4 * self.packetSize
        case .up:
            return max(product + slack, (1.25 + self.excess) * product) + self.additiveStep
        case .drain: return product
        case .cruise, .down: return product + slack
        }
    }
}
