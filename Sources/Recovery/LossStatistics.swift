import Primitives

/// What the receiver saw missing, for the sender's redundancy control.
///
/// Counters are cumulative. A gap counts as loss when it is 40 ms old: what comes within that time
/// was only overtaken.
public struct LossStatistics: Sendable, Hashable {
    /// Packets up to the largest number seen, from the first one.
    public var expected: UInt64 = 0
    /// Of those, packets not (yet) seen, young gaps included.
    public var missing: UInt64 = 0
    /// Packets in gaps that grew old.
    public var lost: UInt64 = 0
    /// Packets that came after a larger number.
    public var late: UInt64 = 0
    /// Gaps that grew old with something missing in them.
    public var bursts: UInt64 = 0
    /// Mean length of such a gap in packets, an exponential average over 16 gaps.
    public var meanBurstPackets = 0.0
    /// Mean silence around such a gap, likewise, in milliseconds.
    public var meanBurstMilliseconds = 0.0
    /// The longest gap lately: decays by 1/64 with every gap.
    public var peakBurstPackets = 0.0
    /// The longest silence around a gap lately, in milliseconds; decays likewise.
    public var peakBurstMilliseconds = 0.0

    /// Nothing seen yet: all counts are 0.
    public init() {}

    mutating func settle(packets: UInt64, silence: UInt64) {
        guard packets > 0 else { return }
        self.lost &+= packets  // bound: a count, compared by difference
        self.bursts &+= 1  // bound: a count, compared by difference
        let length = Double(packets)
        let pause = Double(silence) * 1e-6
        let weight = 1 / Double(min(self.bursts, 16))
        self.meanBurstPackets += (length - self.meanBurstPackets) * weight
        self.meanBurstMilliseconds += (pause - self.meanBurstMilliseconds) * weight
        self.peakBurstPackets = max(length, self.peakBurstPackets * 63 / 64)
        self.peakBurstMilliseconds = max(pause, self.peakBurstMilliseconds * 63 / 64)
    }
}

/// Gaps too young to be called losses; the oldest settles early when there are too many.
struct YoungGaps: ~Copyable {
    private struct Gap {
        var range: NumberRange
        var missing: UInt64
        var silence: UInt64
        var seenAt: UInt64
    }

    private static let capacity = 32
    private static let age: UInt64 = 40_000_000

    private let gaps: UnsafeMutablePointer<Gap>
    private var head = 0
    private var count = 0

    init() { self.gaps = .allocate(capacity: Self.capacity) }

    deinit { self.gaps.deallocate() }

    mutating func open(
        _ range: NumberRange,
        silence: UInt64,
        at now: UInt64,
        _ statistics: inout LossStatistics
    ) {
        self.settle(at: now, &statistics)
        if self.count == Self.capacity { self.settleOldest(&statistics) }
        let gap = Gap(
            range: range,
            missing: range.last - range.first + 1,
            silence: silence,
            seenAt: now
        )
        (self.gaps + (self.head + self.count) % Self.capacity).initialize(to: gap)
        self.count += 1
    }

    /// A late packet: its gap, if it is still young, is one shorter.
    mutating func fill(_ number: UInt64) {
        for offset in 0..<self.count {
            let slot = (self.head + self.count - 1 - offset) % Self.capacity
            let range = self.gaps[slot].range
            guard number <= range.last else { return }
            if number >= range.first {
                self.gaps[slot].missing -= min(self.gaps[slot].missing, 1)
                return
            }
        }
    }

    mutating func settle(at now: UInt64, _ statistics: inout LossStatistics) {
        while self.count > 0, now > self.gaps[self.head].seenAt.plus(Self.age) {
            self.settleOldest(&statistics)
        }
    }

    private mutating func settleOldest(_ statistics: inout LossStatistics) {
        let gap = self.gaps[self.head]
        statistics.settle(packets: gap.missing, silence: gap.silence)
        self.head = (self.head + 1) % Self.capacity
        self.count -= 1
    }
}
