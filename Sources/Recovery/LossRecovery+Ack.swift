public import Primitives

extension LossRecovery {
    /// What one ACK frame brought.
    struct AckResult {
        var event = AckEvent()
        /// Send index of the newest packet acknowledged now, plus one; 0 if there is none.
        var newest: UInt64 = 0
        var acknowledgedAny = false
        var lateness: UInt64 = 0
    }

    /// Takes the body of an ACK frame.
    ///
    /// False if it is malformed or acknowledges what was never sent; then nothing has changed but
    /// ``hasForgedAck``.
    public mutating func receivedAck(_ body: UnsafeRawBufferPointer, at now: Instant) -> Bool {
        guard let (count, delay) = AckBody.read(body, into: self.ranges),
            self.ranges[0].last < self.nextNumber
        else { return false }
        for index in 0..<count where !self.log.holdsAll(of: self.ranges[index]) {
            self.hasForgedAck = true
            return false
        }
        defer { self.check() }
        let time = now.nanoseconds
        var result = AckResult()
        result.event.now = time
        result.event.priorInFlight = self.bytesInFlight
        for index in 0..<count {
            guard self.log.head < self.log.tail,
                self.ranges[index].last >= self.log[self.log.head].number
            else { break }
            self.acknowledge(self.ranges[index], at: time, &result)
        }
        guard result.acknowledgedAny else { return true }
        self.sampleRoundTrip(&result, largest: self.ranges[0].last, delay: delay)
        self.sampleRate(&result)
        self.noteReordering(result.lateness, at: time)
        self.detectLosses(&result.event)
        self.finish(&result.event)
        self.probeCount = 0
        self.probesDue = 0
        self.acknowledgedAt = time
        if self.overdueTime != .never { self.watchAwaited() }
        return true
    }

    private mutating func acknowledge(
        _ range: NumberRange,
        at now: UInt64,
        _ result: inout AckResult
    ) {
        let end = self.log.index(ofNumber: range.last + 1)
        var index = self.log.nextOpen(from: self.log.index(ofNumber: range.first), to: end)
        while index < end {
            var packet = self.log[index]
            self.log.close(index)
            if packet.flags.contains(.countsInFlight) {
                self.delivered += UInt64(packet.byteCount)
                result.event.acked += Int(packet.byteCount)
            }
            self.totalAcknowledged += 1
            if packet.wasLost {
                self.noteSpurious(packet, at: now, &result)
            } else {
                if packet.flags.isDisjoint(with: .data) {
                    packet.frameCount = 0
                } else {
                    self.unaccount(packet)
                    if packet.isGentle { result.event.gentleAcked += 1 }
                    self.lossRate -= self.lossRate / 256
                }
                self.acknowledged.append(packet)
            }
            result.acknowledgedAny = true
            result.newest = max(result.newest, index + 1)
            index = self.log.nextOpen(from: index + 1, to: end)
        }
    }

    /// A packet given up for lost was only late.
    private mutating func noteSpurious(
        _ packet: SentPacket,
        at now: UInt64,
        _ result: inout AckResult
    ) {
        self.totalSpuriouslyLost += 1
        self.late.append(packet)
        if packet.flags.contains(.countsInFlight), !packet.flags.contains(.isProbe) {
            let bytes = UInt64(packet.byteCount)
            self.lostBytes -= min(self.lostBytes, bytes)
            self.lossRate = max(0, self.lossRate - 1 / 256)
            self.controller.spuriousLoss(Int(bytes), at: now)
        }
        let due = packet.sentAt.nanoseconds.plus(self.newestRoundTrip)
        result.lateness = max(result.lateness, now > due ? now - due : 1)
    }

    private mutating func sampleRoundTrip(
        _ result: inout AckResult,
        largest: UInt64,
        delay: UInt64
    ) {
        precondition(result.newest > 0, "nothing was acknowledged")
        let index = result.newest - 1
        let packet = self.log[index]
        let now = result.event.now
        let raw = max(now.less(packet.sentAt.nanoseconds), 1)
        if result.newest > self.newestAcked {
            self.newestAcked = result.newest
            self.newestSentAt = packet.sentAt.nanoseconds
            self.newestRoundTrip = raw
        }
        guard packet.number == largest, packet.flags.contains(.ackEliciting),
            index >= self.pathStart
        else { return }
        // RFC 9002 §5.3: no adjustment below the minimum, and none a peer has no excuse for.
        let allowed = min(delay, 100_000) * 1_000
        let adjusted = raw > allowed ? raw - allowed : raw
        let sample =
            self.roundTrip.hasSample && adjusted < self.roundTrip.minimum / 2 ? raw : adjusted
        self.roundTrip.update(sample, at: now)
        result.event.roundTrip = sample
    }

    private mutating func sampleRate(_ result: inout AckResult) {
        let packet = self.log[result.newest - 1]
        let now = result.event.now
        self.deliveredAt = now
        result.event.priorDelivered = packet.delivered
        result.event.isAppLimited = packet.isAppLimited
        if self.appLimitedUntil > 0, self.delivered > self.appLimitedUntil {
            self.appLimitedUntil = 0
        }
        guard packet.flags.contains(.countsInFlight), result.newest > self.pathStart else { return }
        let sentAt = packet.sentAt.nanoseconds
        if sentAt > self.flightStartedAt { self.flightStartedAt = sentAt }
        let sendTime = UInt64(packet.flightAge)
        let ackTime = now.less(sentAt.less(UInt64(packet.deliveryAge)))
        let interval = max(sendTime, ackTime)
        guard interval > 0, interval >= self.roundTrip.minimum,
            packet.deliveryAge != .max, packet.flightAge != .max
        else { return }
        let bytes = Double(self.delivered.less(packet.delivered))
        result.event.bandwidth = bytes * 1e9 / Double(interval)
    }

    /// Hands an event to the controller and takes over what it decides.
    mutating func finish(_ event: inout AckEvent) {
        event.smoothedRoundTrip = self.roundTrip.smoothed
        event.roundTripVariance = self.roundTrip.variance
        event.delivered = self.delivered
        event.inFlight = self.bytesInFlight
        assert(event.acked >= 0 && event.lost >= 0)
        assert(event.inFlight <= event.priorInFlight, "an ACK sends nothing")
        event.packetSize = self.maximumPacketSize
        // What was earned at the old rate is kept.
        self.fillBuckets(at: event.now)
        self.controller.update(event)
        self.adoptRates()
        self.trim(at: event.now)
    }

    /// Lost packets are remembered for some round trips, because their ACK may only be late.
    mutating func trim(at now: UInt64) {
        let memory = max(4 * self.roundTrip.smoothed, 1_000_000_000)
        self.log.trim(before: Instant(nanoseconds: now > memory ? now - memory : 0))
    }
}
