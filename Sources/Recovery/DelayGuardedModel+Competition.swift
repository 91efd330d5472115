/// Sharing a bottleneck with those who fill its queue.
extension DelayGuardedModel {
    /// More than CUBIC keeps, to make up for the times when the guard or a question gives way.
    private static let rivalBeta = 0.8

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
            // The guard would have emptied a queue of our making by then.
            let isForeign = now.less(self.lowQueueAt) > max(5 * self.minimum, 300_000_000)
            let patience = min(max(16 * self.minimum, 1_000_000_000), 2_000_000_000)
            let isStanding = now.less(self.clearQueueAt) > patience
            if self.phase == .cruise, isForeign || isStanding {
                let isKnown = isForeign && self.returns >= 2 && self.isRecent(now)
                self.startCompeting(event, hasYielded: isKnown)
            }
            return
        }
        self.minimumAt = now
        self.feedRivals(event)
        if self.isYielding {
            self.yield(event)
        } else if now.less(self.yieldedAt) > self.yieldInterval || self.seesYield(event) {
            self.isYielding = true
            self.yieldedAt = now
            self.drainedAt = now
        }
    }

    /// The more often the queue stayed or came back, the rarer the question whose it is.
    private var yieldInterval: UInt64 { 2_000_000_000 << UInt64(max(0, min(self.returns, 4) - 1)) }

    private mutating func yield(_ event: AckEvent) {
        let now = event.now
        if event.roundTrip > 0, event.roundTrip <= self.minimum + self.foreignQueue / 2 {
            self.isCompeting = false
            self.isYielding = false
            self.competeEndedAt = now
            self.lowQueueAt = now
            self.clearQueueAt = now
            self.enter(.cruise, at: now)
            // A queue that comes back now must not be of our making.
            self.cruiseRounds += 12
        } else if Double(event.inFlight) > 0.6 * self.product,
            now.less(self.yieldedAt) < 3 * self.response
        {
            self.drainedAt = now
        } else if now.less(self.drainedAt) > 3 * self.response {
            self.fight(event)
        }
    }

    private func isRecent(_ now: UInt64) -> Bool {
        self.competeEndedAt > 0 && now.less(self.competeEndedAt) < 6_000_000_000
    }

    /// First sees whether the queue is not our own, unless that is known: because it comes back
    /// again and again, or because it outlived the drain.
    mutating func startCompeting(_ event: AckEvent, hasYielded: Bool) {
        let now = event.now
        self.isCompeting = true
        self.competeSince = now
        self.yieldedAt = now
        self.drainedAt = now
        self.hasFought = false
        if !self.isRecent(now) { self.returns = 0 }
        self.isYielding = true
        if hasYielded { self.fight(event) }
    }

    /// The queue is somebody else's: ends yielding, for the first time or again.
    private mutating func fight(_ event: AckEvent) {
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
        let round = Double(max(event.smoothedRoundTrip, self.minimum)) * 1e-9
        let known = max(self.bandwidth, self.clearBandwidth)
        self.rival = Cubic(
            packetSize: event.packetSize,
            window: known * round,
            searching: isNew && self.clearBandwidth < 1.6 * self.bandwidth,
            beta: Self.rivalBeta
        )
        self.blind.resume(bandwidth: known, minimum: self.minimum, at: event.now)
    }

    /// The queue fell by more than a loss-based flow's reduction explains.
    private mutating func seesYield(_ event: AckEvent) -> Bool {
        guard event.roundTrip > 0, !self.isBlind, event.now.less(self.lossAt) > 3 * self.response
        else { return false }
        let queue = Double(event.roundTrip.less(self.minimum))
        self.queueLevel = max(self.queueLevel * 0.999, queue)
        let floor = Double(self.minimum)
        let explained = 0.7 * (self.queueLevel + floor) - floor
        return queue < 0.8 * explained && event.now.less(self.yieldedAt) > 1_000_000_000
    }

    /// The path's own losses are none of CUBIC's business.
    private mutating func feedRivals(_ event: AckEvent) {
        self.blind.update(event)
        guard !self.isYielding else { return }
        var event = event
        if self.base > 0.005 {
            let sent = self.roundAcked + self.roundLost
            let expected = (1.5 * self.base + 0.02) * Double(max(sent, 64 * event.packetSize))
            if Double(self.roundLost) < expected { event.lost = 0 }
        }
        if event.lost > 0 { self.noteRivalLoss(event) }
        if self.isBlind, event.now.less(self.blindSince) > 15_000_000_000 {
            self.setBlind(false, event)
        }
        self.rival.update(event)
    }

    /// Losses much closer together than CUBIC's own growth would bring them are not of CUBIC's
    /// making: whoever else is there takes no notice of loss.
    private mutating func noteRivalLoss(_ event: AckEvent) {
        let interval = event.now.less(self.rivalLossAt)
        guard interval > event.smoothedRoundTrip else { return }
        self.rivalLossAt = event.now
        self.rivalLosses += 1
        let weight = self.rivalLosses <= 2 ? 1 : 0.25
        self.lossInterval += (Double(interval) - self.lossInterval) * weight
        guard self.rivalLosses > 4, !self.isBlind else { return }
        let epoch = self.rival.epoch(roundTrip: event.smoothedRoundTrip)
        if self.lossInterval < 0.8 * Double(epoch) { self.setBlind(true, event) }
    }

    private mutating func setBlind(_ isBlind: Bool, _ event: AckEvent) {
        self.isBlind = isBlind
        self.blindSince = event.now
        self.rivalLosses = 0
        let round = Double(max(event.smoothedRoundTrip, self.minimum)) * 1e-9
        self.rival = Cubic(
            packetSize: event.packetSize,
            window: self.bandwidth * round,
            beta: Self.rivalBeta
        )
    }

    var rivalWindow: Int { self.isBlind ? self.blind.window : self.rival.window }
    var rivalPacingRate: Double {
        self.isBlind ? self.blind.pacingRate : self.rival.pacingRate
    }
}
