public import Primitives

extension LossRecovery {
    /// Reordering in packets that is taken for loss while none was ever seen (RFC 9002 §6.1.1).
    static var packetThreshold: UInt64 { 3 }
    /// Schedulers stall for milliseconds: an earlier probe would mostly be one too many.
    static var shortestProbeInterval: UInt64 { 10_000_000 }
    static var longestProbeInterval: UInt64 { 4_000_000_000 }

    /// When ``wake(at:)`` has something to do.
    public var deadline: Instant {
        mutating get { min(self.lossTime, self.probeTime, self.overdueTime) }
    }

    /// When the peer, by its own rules, must have acknowledged at the latest.
    var acknowledgementDelay: UInt64 {
        min(max(self.roundTrip.smoothed / 8, 1_000_000), 5_000_000)
    }

    /// The probe timeout (RFC 9002 §6.2); shorter for the first probe after interactive data.
    private var probeTime: Instant {
        guard self.elicitingInFlight > 0 else { return .never }
        let smoothed = self.roundTrip.smoothed
        let delay = self.acknowledgementDelay
        var interval = smoothed + max(4 * self.roundTrip.variance, 1_000_000) + delay
        interval = max(interval, Self.shortestProbeInterval)
        if self.probeCount == 0, self.interactiveInFlight > 0 {
            interval = min(interval, max(smoothed + smoothed / 4 + delay, 3_000_000))
        }
        interval = min(interval << min(self.probeCount, 8), Self.longestProbeInterval)
        return self.lastElicitingAt + .init(nanoseconds: interval)
    }

    /// Declares lost what is overdue; if nothing is but the probe timeout has passed, raises
    /// ``probesDue``.
    ///
    /// The window stays: after a stall of this process the ACKs may only be waiting in the socket.
    public mutating func wake(at now: Instant) {
        defer { self.check() }
        if self.overdueTime <= now { self.collectOverdue(at: now) }
        if self.lossTime <= now {
            var event = AckEvent()
            event.now = now.nanoseconds
            event.priorInFlight = self.bytesInFlight
            self.detectLosses(&event)
            if event.lost > 0 { self.finish(&event) }
            return
        }
        guard self.probeTime <= now else { return }
        self.probesDue = self.probeCount == 0 ? 1 : 2
        self.probeCount += 1
        self.lastElicitingAt = now
    }

    /// How long after its turn a packet may still come before it is called lost.
    ///
    /// As long as nothing was ever late a sixteenth of the round trip is enough: what is sent a few
    /// milliseconds apart would otherwise wait for three packets more.
    private var reorderingWindow: UInt64 {
        if self.reordering == 0 { return max(self.roundTrip.minimum / 16, 1_000_000) }
        let quarter = max(self.roundTrip.minimum / 4, 250_000)
        let window = max(quarter * self.reordering, 1_000_000)
        return min(window, max(self.roundTrip.smoothed, 1_000_000))
    }

    /// RACK (RFC 8985 §6.2): lost is what left before a packet that arrived, and is overdue.
    ///
    /// While no reordering was seen, three later packets are proof enough.
    mutating func detectLosses(_ event: inout AckEvent) {
        self.lossTime = .never
        guard self.newestAcked > 0 else { return }
        let patience = self.newestRoundTrip.plus(self.reorderingWindow)
        var index = self.log.firstLive()
        while index < self.newestAcked - 1 {
            let packet = self.log[index]
            let due = packet.sentAt.nanoseconds.plus(patience)
            let isPassed =
                self.reordering == 0 && self.newestAcked - 1 - index >= Self.packetThreshold
            guard isPassed || due <= event.now else {
                self.lossTime = Instant(nanoseconds: due)
                return
            }
            self.declareLost(index, packet, &event)
            index = self.log.nextLive(from: index + 1)
        }
    }

    private mutating func declareLost(
        _ index: UInt64,
        _ packet: SentPacket,
        _ event: inout AckEvent
    ) {
        assert(index + 1 < self.newestAcked, "nothing that was sent later has arrived")
        self.log.markLost(index)
        self.unaccount(packet)
        self.totalLost += 1
        self.lost.append(packet)
        guard packet.flags.contains(.countsInFlight), !packet.flags.contains(.isProbe) else {
            return
        }
        self.lostBytes &+= UInt64(packet.byteCount)  // bound: of own bytes
        self.lossRate += (1 - self.lossRate) / 256
        guard index >= self.pathStart else { return }
        event.lost += Int(packet.byteCount)
        if packet.isGentle { event.gentleLost += 1 }
        event.lostSentAt = max(event.lostSentAt, packet.sentAt.nanoseconds)
    }

    /// Widens the reordering window when patience was too short by `lateness` (0: it was not), at
    /// most once a round trip; narrows it after 16 clean ones (RFC 8985 §6.2 step 4).
    mutating func noteReordering(_ lateness: UInt64, at now: UInt64) {
        let smoothed = max(self.roundTrip.smoothed, 1_000_000)
        if lateness > 0 {
            self.reorderingSeenAt = now
            if self.reordering == 0 || now.less(self.reorderingRaisedAt) > smoothed {
                let quarter = max(self.roundTrip.minimum / 4, 250_000)
                let wanted = max(self.reordering + 1, lateness / quarter + 1)
                self.reordering = min(wanted, 16)
                self.reorderingRaisedAt = now
            }
        } else if self.reordering > 0, now.less(self.reorderingSeenAt) > 16 * smoothed {
            self.reorderingSeenAt = now
            if self.reordering > 1 { self.reordering -= 1 }
        }
    }
}
