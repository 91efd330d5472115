public import Primitives

/// The receiver's cumulative counters of one direction, as a report carries them.
@frozen
public struct LossCounters: Hashable, Sendable {
    /// Packets up to the largest number seen.
    public var expected: UInt64 = 0
    /// Of those, packets not seen; falls when one comes late.
    public var missing: UInt64 = 0
    /// Mean length of a silence, in milliseconds; 0 if losses come alone.
    public var burstMilliseconds = 0.0
    /// What 95 of 100 runs stay below.
    public var highBurstPackets = 0.0

    /// Counters of a direction in which nothing was sent.
    public init() {}
}

/// What redundancy is decided on: the loss of one direction, as far as redundancy can cure it.
///
/// Loss while the bottleneck's queue stands is congestion. More packets make it worse, so whoever
/// counts leaves it out.
@frozen
public struct LossReport: Hashable, Sendable {
    /// Share of packets lost lately: over about a second.
    public var shortTerm = 0.0
    /// Over about ten seconds.
    public var longTerm = 0.0
    /// Packets behind ``longTerm``: few mean that nobody can say.
    public var sampleCount = 0.0
    /// Packets lost since the beginning.
    public var lossCount: UInt64 = 0
    /// Mean length of a burst in time, in milliseconds; 0 if losses come alone.
    public var burstMilliseconds = 0.0
    /// What 95 of 100 bursts stay below, in packets.
    public var highBurstPackets = 1.0

    /// A report of no loss, with no packets behind it.
    public init() {}

    /// The rate to guard against.
    @inlinable
    public var rate: Double { max(self.shortTerm, self.longTerm) }
}

/// Turns the reports of one direction into rates.
public struct LossMeter: Sendable {
    private struct Average {
        var lost = 0.0
        var expected = 0.0
        let seconds: Double

        /// Older packets count `1 / (1 + age / seconds)`, step by step: close to an exponential,
        /// and exact enough for a threshold.
        mutating func add(lost: Double, expected: Double, elapsed: Double) {
            let decay = self.seconds / (self.seconds + elapsed)
            self.lost = max(0, self.lost * decay + lost)
            self.expected = max(0, self.expected * decay + expected)
        }

        var rate: Double { self.expected > 0 ? min(1, self.lost / self.expected) : 0 }
    }

    private var last = LossCounters()
    private var lastAt: Instant?
    private var short = Average(seconds: 1)
    private var long = Average(seconds: 10)
    /// The rates as of the last ``received(_:at:)``.
    public private(set) var report = LossReport()

    /// A meter that has heard no report.
    public init() {}

    /// A report came in.
    public mutating func received(_ counters: LossCounters, at now: Instant) {
        let elapsed = self.lastAt.map { Double(now.since($0).microseconds) / 1e6 } ?? 0
        // A report that goes back is an old one that was overtaken.
        guard counters.expected >= self.last.expected else { return }
        let expected = Double(counters.expected - self.last.expected)
        let lost = Double(counters.missing) - Double(self.last.missing)
        self.last = counters
        self.lastAt = now
        self.short.add(lost: lost, expected: expected, elapsed: elapsed)
        self.long.add(lost: lost, expected: expected, elapsed: elapsed)
        self.report.shortTerm = self.short.rate
        self.report.longTerm = self.long.rate
        self.report.sampleCount = self.long.expected
        if lost > 0 {
            self.report.lossCount += UInt64(min(lost, 1e9))
        } else {
            // They were late and not lost.
            self.report.lossCount -= min(self.report.lossCount, UInt64(min(-lost, 1e9)))
        }
        self.report.burstMilliseconds = Self.plausible(counters.burstMilliseconds, in: 0...1e4)
        self.report.highBurstPackets = Self.plausible(counters.highBurstPackets, in: 1...1e4)
    }

    /// The peer's figures may be anything.
    private static func plausible(_ value: Double, in range: ClosedRange<Double>) -> Double {
        value.isFinite ? min(max(value, range.lowerBound), range.upperBound) : range.lowerBound
    }
}

/// What a flow sends: the mean size and rate of its messages.
public struct FlowTraffic: Sendable {
    /// Mean distance of messages, in seconds.
    private var gap = 0.0
    /// Mean size, in bytes.
    public private(set) var messageByteCount = 0.0
    private var lastAt: Instant?

    /// The traffic of a flow that has sent nothing.
    public init() {}

    /// A message of the flow went out.
    public mutating func sent(byteCount: Int, at now: Instant) {
        guard let lastAt = self.lastAt else {
            self.lastAt = now
            self.messageByteCount = Double(byteCount)
            return
        }
        // Beyond a second the flow rests; its rhythm is that of when it does not.
        let gap = Double(min(now.since(lastAt), .seconds(1)).nanoseconds) / 1e9
        self.gap += (gap - self.gap) / (self.gap == 0 ? 1 : 16)
        self.messageByteCount += (Double(byteCount) - self.messageByteCount) / 16
        self.lastAt = now
    }

    /// Messages a second; 0 before the second one.
    public var rate: Double { self.gap > 0 ? 1 / self.gap : 0 }

    /// Mean distance of messages in milliseconds; 0 before the second one.
    public var gapMilliseconds: Double { self.gap * 1000 }
}
