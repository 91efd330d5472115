/// Sharing a bottleneck with those who fill its queue.
extension DelayGuardedModel {
    /// Others that fill the queue whatever the delay would leave a delay-guarded flow nothing:
    /// while the queue never empties, compete as CUBIC does; or as BBR, where losses come round
    /// after round, because then nobody else heeds them.
    ///
    /// Every few seconds yield for a moment, and follow when another one seems to yield: if the
    /// queue empties then, it was our own doing, or that of our like, and the guard takes over
    /// again.
    mutating func updateCompetition(_ event: AckEvent) {
        let now = event.now
        guard self.isCompeting else {
            if self.phase == .cruise,
                now &- self.lowQueueAt > max(5 * self.minimum, 300_000_000)
            {
                self.startCompeting(event)
            }
            return
        }
        self.minimumAt = now
        self.feedRivals(event)
        if self.isYielding {
            self.yield(event)
        } else if now &- self.yieldedAt > self.yieldInterval || self.seesYield(event) {
            self.isYielding = true
            self.yieldedAt = now
            self.drainedAt = now
        }
    }

    /// The more often the queue came back, the rarer the question whose it is.
    private var yieldInterval: UInt64 { 3_000_000_000 << UInt64(min(self.returns, 2)) }

    private mutating func yield(_ event: AckEvent) {
        let now = event.now
        if event.roundTrip > 0, event.roundTrip <= self.minimum + self.foreignQueue / 2 {
            self.isCompeting = false
            self.isYielding = false
            self.competeEndedAt = now
            self.lowQueueAt = now
            self.enter(.cruise, at: now)
            // A queue that comes back now must not be of our making.
            self.cruiseRounds += 12
        } else if Double(event.inFlight) > 0.6 * self.product,
            now &- self.yieldedAt < 3 * self.response
        {
            self.drainedAt = now
        } else if now &- self.drainedAt > 3 * self.response {
            self.isYielding = false
            self.queueLevel = 0
        }
    }

    private mutating func startCompeting(_ event: AckEvent) {
        let now = event.now
        self.isCompeting = true
        self.competeSince = now
        // First see whether the queue is not our own; but not again and again, when it comes back.
        self.returns = now &- self.competeEndedAt < 6_000_000_000 ? self.returns + 1 : 0
        self.isYielding = self.returns < 2
        self.yieldedAt = now
        self.drainedAt = now
        self.queueLevel = 0
        if self.returns == 0 {
            self.lossyRounds = 0
            self.isBlind = false
        }
        let window = self.bandwidth * Double(max(event.smoothedRoundTrip, self.minimum)) * 1e-9
        self.rival = Cubic(packetSize: event.packetSize, window: window)
        self.blind.resume(bandwidth: self.bandwidth, minimum: self.minimum, at: now)
    }

    /// The queue fell by more than a loss-based flow's reduction explains.
    private mutating func seesYield(_ event: AckEvent) -> Bool {
        guard event.roundTrip > 0, !self.isBlind else { return false }
        let queue = Double(event.roundTrip - self.minimum)
        self.queueLevel = max(self.queueLevel * 0.999, queue)
        let floor = Double(self.minimum)
        let explained = 0.7 * (self.queueLevel + floor) - floor
        return queue < 0.8 * explained && event.now &- self.yieldedAt > 1_000_000_000
    }

    /// The path's own losses are none of CUBIC's business.
    private mutating func feedRivals(_ event: AckEvent) {
        self.blind.update(event)
        if self.isBlind ? self.lossyRounds < 0.2 : self.lossyRounds > 0.6 {
            self.isBlind.toggle()
            let round = Double(max(event.smoothedRoundTrip, self.minimum)) * 1e-9
            let window = self.bandwidth * round
            self.rival = Cubic(packetSize: event.packetSize, window: window)
        }
        guard !self.isYielding else { return }
        var event = event
        if self.base > 0.005 {
            let sent = self.roundAcked + self.roundLost
            let expected = (1.5 * self.base + 0.02) * Double(max(sent, 64 * event.packetSize))
            if Double(self.roundLost) < expected { event.lost = 0 }
        }
        self.rival.update(event)
    }

    var rivalWindow: Int { self.isBlind ? self.blind.window : self.rival.window }
    var rivalPacingRate: Double {
        self.isBlind ? self.blind.pacingRate : self.rival.pacingRate
    }
}
