/// Sharing a bottleneck with those who fill its queue.
///
/// Others that fill the queue whatever the delay would leave a delay-guarded flow nothing: while
/// the queue never empties, it competes as CUBIC does; or as BBR, where losses come round after
/// round, because then nobody else heeds them.
///
/// Every few seconds it yields for a moment, and follows when another one seems to yield: if the
/// queue empties then, it was our own doing, or that of our like, and the guard takes over again.
/// Times are nanoseconds, rates bytes a second.
struct CompetitionGuard: Sendable {
    /// More than CUBIC keeps, to make up for the times when the guard or a question gives way.
    private static let rivalBeta = 0.8

    private(set) var isCompeting = false
    private(set) var isYielding = false
    /// Competes as BBR does, because the rival does not mind loss.
    private(set) var isBlind = false

    private var lowQueueAt: UInt64
    /// When the queue was last about as short as it is wanted, and the bandwidth then.
    private var clearQueueAt: UInt64
    private var clearBandwidth = 0.0
    private var lossAt: UInt64 = 0
    private var endedAt: UInt64 = 0
    /// How often the queue came back soon after it had been emptied.
    private var returns = 0
    /// The highest queue seen lately.
    private var queueLevel = 0.0
    private var yieldedAt: UInt64 = 0
    private var drainedAt: UInt64 = 0
    /// The queue stayed when we yielded.
    private var hasFought = false

    private var rival: Cubic
    private var blind: BottleneckModel
    private var blindSince: UInt64 = 0
    /// When competing last cost packets, and the mean time between such losses.
    private var rivalLossAt: UInt64 = 0
    private var lossInterval = 0.0
    private var rivalLosses = 0

    init(packetSize: Int, at now: UInt64) {
        self.rival = Cubic(packetSize: packetSize)
        self.blind = BottleneckModel(packetSize: packetSize, at: now)
        self.lowQueueAt = now
        self.clearQueueAt = now
    }

    /// Bytes, and bytes a second, of the rival that is imitated.
    var window: Int { self.isBlind ? self.blind.window : self.rival.window }
    var pacingRate: Double { self.isBlind ? self.blind.pacingRate : self.rival.pacingRate }

    /// Nothing was seen of the queue while nothing was sent.
    mutating func rested(at now: UInt64) {
        self.lowQueueAt = now
        self.clearQueueAt = now
    }

    mutating func noteLoss(at now: UInt64) { self.lossAt = now }

    /// Sees how long the queue is, by one round trip.
    mutating func sample(roundTrip sample: UInt64, _ path: PathModel, at now: UInt64) {
        if sample <= path.minimum + path.foreignQueue { self.lowQueueAt = now }
        if sample <= path.minimum + path.target * 3 / 2 {
            self.clearQueueAt = now
            if !self.isCompeting { self.clearBandwidth = path.bandwidth }
        }
    }

    /// Begins to compete, yields, fights; true when the guard takes over again.
    mutating func update(
        _ event: AckEvent,
        _ path: PathModel,
        _ round: RoundSums,
        isCruising: Bool
    ) -> Bool {
        let now = event.now
        guard self.isCompeting else {
            // The guard would have emptied a queue of our making by then.
            let isForeign = now.less(self.lowQueueAt) > max(5 * path.minimum, 300_000_000)
            let patience = min(max(16 * path.minimum, 1_000_000_000), 2_000_000_000)
            let isStanding = now.less(self.clearQueueAt) > patience
            if isCruising, isForeign || isStanding {
                let isKnown = isForeign && self.returns >= 2 && self.isRecent(now)
                self.start(event, path, hasYielded: isKnown)
            }
            return false
        }
        self.feedRivals(event, path, round)
        if self.isYielding { return self.yield(event, path) }
        if now.less(self.yieldedAt) > self.yieldInterval || self.seesYield(event, path) {
            self.isYielding = true
            self.yieldedAt = now
            self.drainedAt = now
        }
        return false
    }

    /// First sees whether the queue is not our own, unless that is known: because it comes back
    /// again and again, or because it outlived the drain.
    mutating func start(_ event: AckEvent, _ path: PathModel, hasYielded: Bool) {
        let now = event.now
        self.isCompeting = true
        self.yieldedAt = now
        self.drainedAt = now
        self.hasFought = false
        if !self.isRecent(now) { self.returns = 0 }
        self.isYielding = true
        if hasYielded { self.fight(event, path) }
    }

    /// The more often the queue stayed or came back, the rarer the question whose it is.
    private var yieldInterval: UInt64 { 2_000_000_000 << UInt64(max(0, min(self.returns, 4) - 1)) }

    private func isRecent(_ now: UInt64) -> Bool {
        self.endedAt > 0 && now.less(self.endedAt) < 6_000_000_000
    }

    /// Waits for the queue to empty; true if it did.
    private mutating func yield(_ event: AckEvent, _ path: PathModel) -> Bool {
        let now = event.now
        if event.roundTrip > 0, event.roundTrip <= path.minimum + path.foreignQueue / 2 {
            self.isCompeting = false
            self.isYielding = false
            self.endedAt = now
            self.lowQueueAt = now
            self.clearQueueAt = now
            return true
        }
        if Double(event.inFlight) > 0.6 * path.product,
            now.less(self.yieldedAt) < 3 * path.response
        {
            self.drainedAt = now
        } else if now.less(self.drainedAt) > 3 * path.response {
            self.fight(event, path)
        }
        return false
    }

    /// The queue is somebody else's: ends yielding, for the first time or again.
    private mutating func fight(_ event: AckEvent, _ path: PathModel) {
        self.isYielding = false
        self.queueLevel = 0
        let isNew = self.returns == 0
        self.returns += 1
        guard !self.hasFought else { return }
        self.hasFought = true
        if isNew {
            self.isBlind = false
            self.rivalLosses = 0
        }
        // What the guard has given way to since is taken back. Who came later than the queue never
        // had its share and has to find it.
        let round = Double(max(event.smoothedRoundTrip, path.minimum)) * 1e-9
        let known = max(path.bandwidth, self.clearBandwidth)
        self.rival = Cubic(
            packetSize: event.packetSize,
            window: known * round,
            searching: isNew && self.clearBandwidth < 1.6 * path.bandwidth,
            beta: Self.rivalBeta
        )
        self.blind.resume(bandwidth: known, minimum: path.minimum, at: event.now)
    }

    /// The queue fell by more than a loss-based flow's reduction explains.
    private mutating func seesYield(_ event: AckEvent, _ path: PathModel) -> Bool {
        guard event.roundTrip > 0, !self.isBlind, event.now.less(self.lossAt) > 3 * path.response
        else { return false }
        let queue = Double(event.roundTrip.less(path.minimum))
        self.queueLevel = max(self.queueLevel * 0.999, queue)
        let floor = Double(path.minimum)
        let explained = 0.7 * (self.queueLevel + floor) - floor
        return queue < 0.8 * explained && event.now.less(self.yieldedAt) > 1_000_000_000
    }

    /// The path's own losses are none of CUBIC's business.
    private mutating func feedRivals(_ event: AckEvent, _ path: PathModel, _ round: RoundSums) {
        self.blind.update(event)
        guard !self.isYielding else { return }
        var event = event
        if path.base > 0.005 {
            let expected = path.congestionLoss * Double(max(round.sent, 64 * event.packetSize))
            if Double(round.lost) < expected { event.lost = 0 }
        }
        if event.lost > 0 { self.noteRivalLoss(event, path) }
        if self.isBlind, event.now.less(self.blindSince) > 15_000_000_000 {
            self.setBlind(false, event, path)
        }
        self.rival.update(event)
    }

    /// Losses much closer together than CUBIC's own growth would bring them are not of CUBIC's
    /// making: whoever else is there takes no notice of loss.
    private mutating func noteRivalLoss(_ event: AckEvent, _ path: PathModel) {
        let interval = event.now.less(self.rivalLossAt)
        guard interval > event.smoothedRoundTrip else { return }
        self.rivalLossAt = event.now
        self.rivalLosses += 1
        let weight = self.rivalLosses <= 2 ? 1 : 0.25
        self.lossInterval += (Double(interval) - self.lossInterval) * weight
        guard self.rivalLosses > 4, !self.isBlind else { return }
        let epoch = self.rival.epoch(roundTrip: event.smoothedRoundTrip)
        if self.lossInterval < 0.8 * Double(epoch) { self.setBlind(true, event, path) }
    }

    private mutating func setBlind(_ isBlind: Bool, _ event: AckEvent, _ path: PathModel) {
        self.isBlind = isBlind
        self.blindSince = event.now
        self.rivalLosses = 0
        let round = Double(max(event.smoothedRoundTrip, path.minimum)) * 1e-9
        self.rival = Cubic(
            packetSize: event.packetSize,
            window: path.bandwidth * round,
            beta: Self.rivalBeta
        )
    }
}
