import Erasure
import Primitives
import Recovery

/// What this end's own packets say about the loss of their direction: every number is
/// acknowledged or declared lost, so nobody has to report anything.
///
/// A loss counts when it can hardly turn out to be reordering any more: the first ones are made
/// good by sending again, and redundancy for a path that only reorders would be for nothing.
struct LossWatch: ~Copyable {
    private static let interval = Instant.Interval.milliseconds(100)

    private var counters = LossCounters()
    private var bursts = BurstMeter()
    private var meter = LossMeter()
    private var meteredAt = Instant(nanoseconds: 0)
    /// The run of lost packets that is being counted.
    private var runLength = 0.0
    private var runNumber: UInt64 = 0

    var report: LossReport { self.meter.report }

    /// Losses have been seen: redundancy may be of use.
    var hasSeenLoss: Bool { self.meter.report.lossCount > 0 }

    mutating func arrived(_ packet: SentPacket) {
        // A lost packet of acknowledgements alone goes unnoticed: counting those that arrive would
        // make the path look better than it is.
        guard packet.flags.contains(.countsInFlight) else { return }
        self.bursts.arrived(sentAt: packet.sentAt)
    }

    /// Loss that comes with a queue is congestion, which more packets would only make worse: it
    /// does not count.
    mutating func lost(_ packet: SentPacket, hasQueue: Bool) {
        guard !hasQueue else { return }
        self.bursts.lost(sentAt: packet.sentAt)
        if packet.number != self.runNumber + 1 { self.endRun() }
        self.runLength += 1
        self.runNumber = packet.number
    }

    /// A packet that was declared lost was only late.
    mutating func cameBack(_ packet: SentPacket) { self.bursts.cameBack(sentAt: packet.sentAt) }

    /// A quantile that climbs fast and sinks slowly settles where 19 of 20 lie below.
    private mutating func endRun() {
        guard self.runLength > 0 else { return }
        let high = self.counters.highBurstPackets
        self.counters.highBurstPackets =
            self.runLength > high
            ? high + (self.runLength - high) * 0.4 : high - (high - self.runLength) * 0.02
        assert(self.counters.highBurstPackets >= 0)
        self.runLength = 0
    }

    /// Looks at what was counted, ten times a second, and more often while there was no loss.
    mutating func update(_ recovery: borrowing LossRecovery, at now: Instant) {
        let interval = self.hasSeenLoss ? Self.interval : Self.interval / 4
        guard now.since(self.meteredAt) >= interval else { return }
        self.meteredAt = now
        let patience = min(
            recovery.smoothedRTT + recovery.smoothedRTT / 4 + .milliseconds(60),
            .milliseconds(800)
        )
        guard now.nanoseconds > patience.nanoseconds else { return }
        self.bursts.settle(before: now - patience)
        self.counters.expected = self.bursts.expected
        self.counters.missing = self.bursts.missing
        self.counters.burstMilliseconds = self.bursts.burstMilliseconds
        self.meter.received(self.counters, at: now)
    }

    /// The bottleneck's queue stands: the round trip is above its floor by more than the congestion
    /// controller's target.
    static func hasQueue(_ recovery: borrowing LossRecovery) -> Bool {
        let floor = recovery.minimumRTT
        let target = min(max(floor / 10, .milliseconds(3)), .milliseconds(12))
        return recovery.latestRTT > floor + target * 2
    }
}
