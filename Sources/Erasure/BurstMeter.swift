public import Primitives

/// The fates of one direction's packets by the time they left: rate of loss, and the length of its
/// bursts in time.
///
/// Loss is counted once it is certain: packets given up too early come back within the patience
/// that the caller grants, and then nothing was ever lost. Bursts show in how the fates of two
/// packets hang together. Where silences have the mean length *b*, the packet that leaves *d* after
/// a lost one is lost too with probability `p + (1 - p) exp(-d / b)` (Gilbert's channel in time).
///
/// Contract: say what became of each packet, in any order, and call ``settle(before:)`` now and
/// then. Memory is fixed and no call allocates.
public struct BurstMeter: ~Copyable {
    /// Packets of one millisecond.
    private struct Slot: BitwiseCopyable {
        var arrived: UInt16 = 0
        var lost: UInt16 = 0
    }

    private static let slotCount: UInt64 = 1024
    /// Distances that are looked at, in milliseconds, and how many share a counter.
    private static let reach = 128
    private static let binWidth = 2
    private static let binCount = reach / binWidth
    /// Mean lengths that are told apart, in milliseconds.
    static let lengths: [Double] = [0, 2, 4, 6, 8, 11, 15, 20, 28, 40, 56, 80]

    private let slots: UnsafeMutablePointer<Slot>
    /// Of each bin: pairs whose first packet was lost, and of those the pairs with both lost.
    private let pairs: UnsafeMutablePointer<Double>
    private let bothLost: UnsafeMutablePointer<Double>
    /// exp(-d / b) for each length and bin.
    private let curves: UnsafeMutablePointer<Double>
    /// Milliseconds below are counted; below `settled` also looked at for bursts, and forgotten.
    private var counted: UInt64 = 0
    private var settled: UInt64 = 0
    private var newest: UInt64 = 0
    private var isStarted = false
    /// Packets lately, and of those the lost ones.
    private var recent = 0.0
    private var recentLost = 0.0
    /// Packets whose fate is certain.
    public private(set) var expected: UInt64 = 0
    /// Of those, lost ones; falls when one comes back after all.
    public private(set) var missing: UInt64 = 0
    /// Mean length of silences, in milliseconds; 0 if losses come alone.
    public private(set) var burstMilliseconds = 0.0

    /// A meter that has seen nothing; allocates all its memory, about 11 KiB.
    public init() {
        self.slots = .allocate(capacity: Int(Self.slotCount))
        self.slots.initialize(repeating: Slot(), count: Int(Self.slotCount))
        self.pairs = .allocate(capacity: Self.binCount)
        self.bothLost = .allocate(capacity: Self.binCount)
        self.pairs.initialize(repeating: 0, count: Self.binCount)
        self.bothLost.initialize(repeating: 0, count: Self.binCount)
        self.curves = .allocate(capacity: Self.binCount * Self.lengths.count)
        for (row, length) in Self.lengths.enumerated() {
            for bin in 0..<Self.binCount {
                let distance = Double(bin * Self.binWidth) + Double(Self.binWidth) / 2
                self.curves[row * Self.binCount + bin] = Self.decay(distance, length)
            }
        }
    }

    deinit {
        self.slots.deallocate()
        self.pairs.deallocate()
        self.bothLost.deallocate()
        self.curves.deallocate()
    }

    /// `exp(-distance / length)`.
    public static func decay(_ distance: Double, _ length: Double) -> Double {
        guard length > 0 else { return distance > 0 ? 0 : 1 }
        let x = max(0, distance / length)
        guard x < 30 else { return 0 }
        // (1 - x / 1024) to the power of 1024, in its second-order form.
        var value = 1 - x / 1024 + x * x / (2 * 1024 * 1024)
        for _ in 0..<10 { value *= value }
        return value
    }

    // MARK: Fates

    /// The packet that left at `sentAt` was acknowledged.
    public mutating func arrived(sentAt: Instant) {
        let slot = self.slot(sentAt)
        if self.isCounted(sentAt) { self.expected += 1 }
        guard let slot else { return }
        slot.pointee.arrived &+= slot.pointee.arrived < 60_000 ? 1 : 0
    }

    /// The packet that left at `sentAt` was given up; ``cameBack(sentAt:)`` takes that back.
    public mutating func lost(sentAt: Instant) {
        let slot = self.slot(sentAt)
        if self.isCounted(sentAt) {
            self.expected += 1
            self.missing += 1
        }
        guard let slot else { return }
        slot.pointee.lost &+= slot.pointee.lost < 60_000 ? 1 : 0
    }

    /// A packet that was called lost has arrived.
    public mutating func cameBack(sentAt: Instant) {
        let slot = self.slot(sentAt)
        if let slot, slot.pointee.lost == 0 { return }
        if self.isCounted(sentAt) { self.missing -= min(1, self.missing) }
        guard let slot else { return }
        slot.pointee.lost -= 1
        slot.pointee.arrived &+= slot.pointee.arrived < 60_000 ? 1 : 0
    }

    private func isCounted(_ sentAt: Instant) -> Bool {
        sentAt.nanoseconds / 1_000_000 < self.counted
    }

    /// Where the packets of that time are counted; `nil` if that is settled.
    private mutating func slot(_ sentAt: Instant) -> UnsafeMutablePointer<Slot>? {
        let time = sentAt.nanoseconds / 1_000_000
        if !self.isStarted {
            self.isStarted = true
            // Fates of earlier packets may still come.
            self.settled = time - min(time, Self.slotCount / 2)
            self.counted = self.settled
            self.newest = time
        }
        guard time >= self.settled else { return nil }
        if time > self.newest {
            // Slots up to here are empty: what is settled was cleared.
            if time - self.settled >= Self.slotCount { self.settle(to: time - Self.slotCount + 1) }
            self.newest = time
        }
        return self.slots + Int(time % Self.slotCount)
    }

    /// What holds between any two calls; looked at where asserts are.
    private func check() {
        assert(self.settled <= self.counted, "settled, and not counted")
        assert(self.missing <= self.expected, "more packets lost than sent")
        assert(self.newest < self.settled + Self.slotCount || !self.isStarted)
        assert(self.recent >= 0 && self.recentLost >= 0 && self.recentLost <= self.recent)
        assert(self.burstMilliseconds >= 0)
    }

    // MARK: Settling

    /// What left before `instant` has its final fate; looks for the length of bursts.
    public mutating func settle(before instant: Instant) {
        guard self.isStarted else { return }
        let end = min(instant.nanoseconds / 1_000_000, self.newest + 1)
        guard end > self.counted else { return }
        while self.counted < end { self.count() }
        // What followed a loss has to be certain too.
        let reach = UInt64(Self.reach)
        if end > self.settled + reach { self.settle(to: end - reach) }
        self.fade()
        self.fit()
        self.check()
    }

    private mutating func count() {
        let slot = self.slots[Int(self.counted % Self.slotCount)]
        self.expected += UInt64(slot.arrived) + UInt64(slot.lost)
        self.missing += UInt64(slot.lost)
        self.recent += Double(slot.arrived) + Double(slot.lost)
        self.recentLost += Double(slot.lost)
        self.counted += 1
    }

    private mutating func settle(to end: UInt64) {
        while self.settled < end {
            // A silence longer than the ring leaves nothing to look at.
            if self.settled > self.newest {
                self.settled = end
                self.counted = max(self.counted, end)
                return
            }
            if self.counted == self.settled { self.count() }
            let slot = self.slots + Int(self.settled % Self.slotCount)
            if slot.pointee.lost > 0 { self.pair(slot.pointee.lost, at: self.settled) }
            slot.pointee = Slot()
            self.settled += 1
        }
    }

    /// Looks at what followed packets that were lost.
    private func pair(_ lost: UInt16, at time: UInt64) {
        let limit = min(UInt64(Self.reach), self.newest - time + 1)
        guard limit > 1 else { return }
        for distance in 1..<limit {
            let slot = self.slots[Int((time + distance) % Self.slotCount)]
            let all = Double(min(slot.arrived, 4)) + Double(min(slot.lost, 4))
            guard all > 0 else { continue }
            let bin = Int(distance) / Self.binWidth
            assert(bin < Self.binCount)
            let weight = Double(min(lost, 2))
            self.pairs[bin] += all * weight
            self.bothLost[bin] += Double(min(slot.lost, 4)) * weight
        }
    }

    /// What was seen counts half after some twenty seconds.
    private mutating func fade() {
        self.recent *= 0.9965
        self.recentLost *= 0.9965
        for bin in 0..<Self.binCount {
            self.pairs[bin] *= 0.9965
            self.bothLost[bin] *= 0.9965
        }
    }

    /// The length whose curve lies closest to what was seen.
    private mutating func fit() {
        let rate = min((self.recentLost + 0.5) / (self.recent + 20), 0.5)
        var best = (error: Double.infinity, length: 0.0)
        for (row, length) in Self.lengths.enumerated() {
            let curve = self.curves + row * Self.binCount
            // Before anything was seen, bursts of some milliseconds are the likeliest.
            let prior = rate + (1 - rate) * curve[4] - 0.3
            var error = 4 * prior * prior
            for bin in 0..<Self.binCount where self.pairs[bin] > 0.1 {
                let share = self.bothLost[bin] / self.pairs[bin]
                let miss = share - rate - (1 - rate) * curve[bin]
                error += self.pairs[bin] * miss * miss
            }
            if error < best.error { best = (error, length) }
        }
        self.burstMilliseconds = best.length
    }
}
