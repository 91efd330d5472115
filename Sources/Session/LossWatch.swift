import Erasure
import Primitives
import Recovery

/// What this end's own packets say about the loss of their direction: every number is
/// acknowledged or declared lost, so nobody has to report anything.
struct LossWatch {
    private static let interval = Instant.Interval.milliseconds(100)

    private var counters = LossCounters()
    private var meter = LossMeter()
    private var meteredAt = Instant(nanoseconds: 0)
    /// The run of lost packets that is being counted.
    private var runLength = 0.0
    private var runNumber: UInt64 = 0
    private var runFirst = Instant(nanoseconds: 0)
    private var runLast = Instant(nanoseconds: 0)

    var report: LossReport { self.meter.report }

    /// Losses have been seen: redundancy may be of use.
    var hasSeenLoss: Bool { self.meter.report.lossCount > 0 }

    mutating func arrived() { self.counters.expected += 1 }

    mutating func lost(_ packet: SentPacket) {
        self.counters.expected += 1
        self.counters.missing += 1
        if packet.number == self.runNumber + 1, self.runLength > 0 {
            self.runLength += 1
        } else {
            self.endRun()
            self.runLength = 1
            self.runFirst = packet.sentAt
        }
        self.runNumber = packet.number
        self.runLast = packet.sentAt
    }

    /// Means over about sixteen runs.
    private mutating func endRun() {
        guard self.runLength > 0 else { return }
        let length = self.runLength
        let lasted = Double(self.runLast.since(self.runFirst).microseconds) / 1000
        // The silence reaches from the packet before the run to the one after it.
        let silence = length > 1 ? lasted * (length + 1) / (length - 1) : 0
        let isFirst = self.counters.meanBurstPackets == 0
        let weight = isFirst ? 1 : 1.0 / 16
        self.counters.meanBurstPackets += (length - self.counters.meanBurstPackets) * weight
        self.counters.meanBurstMilliseconds +=
            (silence - self.counters.meanBurstMilliseconds) * weight
        // A quantile that climbs fast and sinks slowly settles where 19 of 20 lie below.
        let high = self.counters.highBurstPackets
        self.counters.highBurstPackets =
            length > high ? high + (length - high) * 0.4 : high - (high - length) * 0.02
        self.runLength = 0
    }

    /// Looks at what was counted, ten times a second.
    mutating func update(_ recovery: borrowing LossRecovery, at now: Instant) {
        guard now.since(self.meteredAt) >= Self.interval else { return }
        self.meteredAt = now
        let floor = recovery.minimumRTT
        let target = min(max(floor / 10, .milliseconds(3)), .milliseconds(12))
        self.meter.received(
            self.counters,
            hasQueue: recovery.latestRTT > floor + target * 2,
            at: now
        )
    }
}
