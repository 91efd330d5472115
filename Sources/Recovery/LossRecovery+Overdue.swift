import Primitives

/// Repeating what somebody waits for before anything proves it lost.
///
/// Where a path goes dead for some milliseconds, packets tell of the loss of earlier ones only when
/// it lives again, and a round trip later. A packet whose ACK is overdue by itself is repeated
/// then: KCP's retransmission timer, but only for packets that end what their stream has to say.
/// Nothing is declared lost by it, and the congestion controller does not hear of it.
extension LossRecovery {
    /// An awaited packet whose ACK is overdue; it is reported once and stays in flight.
    public mutating func nextOverdue() -> SentPacket? { self.overdue.popFirst() }

    /// How long an ACK may take before its packet is repeated.
    private var overduePatience: UInt64 {
        let smoothed = self.roundTrip.smoothed
        let margin = max(4 * self.roundTrip.variance, smoothed / 8, 2_000_000)
        return max(smoothed + margin + self.acknowledgementDelay, Self.shortestProbeInterval)
    }

    /// Moves on to the oldest awaited packet that is still out, and sets the time for it.
    mutating func watchAwaited() {
        self.overdueTime = .never
        guard self.roundTrip.hasSample else { return }
        var index = self.log.nextLive(from: max(self.overdueNext, self.log.head))
        while index < self.log.tail {
            let packet = self.log[index]
            if packet.flags.contains(.isAwaited) {
                self.overdueTime = packet.sentAt + .init(nanoseconds: self.overduePatience)
                break
            }
            index = self.log.nextLive(from: index + 1)
        }
        assert(index >= self.overdueNext && index <= self.log.tail)
        assert((self.overdueTime == .never) == (index == self.log.tail), "a time without a packet")
        self.overdueNext = index
    }

    mutating func collectOverdue(at now: Instant) {
        let patience = self.overduePatience
        // In a longer silence repeating would only fill the queue behind it.
        let isSilent = now.nanoseconds.less(self.acknowledgedAt) > 2 * patience
        while self.overdueTime <= now {
            precondition(self.overdueNext < self.log.tail, "nothing is awaited")
            let packet = self.log[self.overdueNext]
            assert(packet.flags.contains(.isAwaited))
            if !isSilent { self.overdue.append(packet) }
            self.overdueNext += 1
            self.watchAwaited()
        }
    }
}
