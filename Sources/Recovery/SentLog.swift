import Primitives

/// Sent packets in the order they left: a ring with two bitmaps, addressed by send index.
///
/// A send index counts packets, whatever gaps the numbers have. *Live* packets are outstanding:
/// they can be declared lost. *Open* ones are not yet acknowledged, which includes lost ones (they
/// may still prove to have been late) and packets that ask for no ACK.
struct SentLog: ~Copyable {
    /// Packets remembered at most; 8 MiB.
    static let capacityLimit = 1 << 17
    private static let leastCapacity = 4096
    /// Packets that are sent though data has to wait: ACKs and what is urgent.
    private static let smallChange = 1024

    private var entries: UnsafeMutablePointer<SentPacket>
    private var live: UnsafeMutablePointer<UInt64>
    private var open: UnsafeMutablePointer<UInt64>
    private var capacity = 64
    /// Send index of the oldest remembered packet.
    private(set) var head: UInt64 = 0
    /// Send index of the next packet.
    private(set) var tail: UInt64 = 0
    /// Everything below is forgotten, whether it was sent or skipped.
    private(set) var firstKept: UInt64 = 0
    /// Everything below is not live.
    private var liveHint: UInt64 = 0

    init() {
        self.entries = .allocate(capacity: self.capacity)
        self.live = .allocate(capacity: self.capacity / 64)
        self.open = .allocate(capacity: self.capacity / 64)
        self.live.initialize(repeating: 0, count: self.capacity / 64)
        self.open.initialize(repeating: 0, count: self.capacity / 64)
    }

    deinit {
        self.entries.deallocate()
        self.live.deallocate()
        self.open.deallocate()
    }

    var count: Int { Int(self.tail - self.head) }
    /// Whether it may become larger than it is; it always remembers ``leastCapacity`` packets.
    var mayGrow = true
    var isFull: Bool {
        self.count == Self.capacityLimit
            || !self.mayGrow && self.count >= max(self.capacity, Self.leastCapacity)
    }

    var hasRoom: Bool { self.count < max(self.capacity, Self.leastCapacity) - Self.smallChange }

    var memoryByteCount: Int {
        self.capacity * MemoryLayout<SentPacket>.stride + self.capacity / 4
    }

    /// What holds between any two calls; looked at where asserts are.
    private func check() {
        assert(self.head <= self.tail, "forgotten before it was sent")
        assert(self.count <= self.capacity, "more packets than places")
        assert(self.capacity <= Self.capacityLimit)
        assert(self.liveHint <= self.tail)
        assert(
            self.head == self.tail || self.firstKept <= self[self.head].number,
            "a packet that is forgotten and kept"
        )
    }

    subscript(index: UInt64) -> SentPacket {
        get { self.entries[Int(truncatingIfNeeded: index) & (self.capacity - 1)] }
        set { self.entries[Int(truncatingIfNeeded: index) & (self.capacity - 1)] = newValue }
    }

    @inline(__always)
    private func bit(_ index: UInt64) -> (word: Int, mask: UInt64) {
        let slot = Int(truncatingIfNeeded: index) & (self.capacity - 1)
        return (slot >> 6, 1 << UInt64(slot & 63))
    }

    func isLive(_ index: UInt64) -> Bool {
        let (word, mask) = self.bit(index)
        return self.live[word] & mask != 0
    }

    func isOpen(_ index: UInt64) -> Bool {
        let (word, mask) = self.bit(index)
        return self.open[word] & mask != 0
    }

    /// The log must not be full.
    mutating func append(_ packet: SentPacket, isLive: Bool) {
        precondition(self.count < Self.capacityLimit, "the log is full")
        assert(
            self.head == self.tail || self[self.tail - 1].number < packet.number,
            "numbers do not rise"
        )
        if self.count == self.capacity { self.grow() }
        if self.tail == 0 { self.firstKept = packet.number }
        let (word, mask) = self.bit(self.tail)
        self.entries[Int(truncatingIfNeeded: self.tail) & (self.capacity - 1)] = packet
        self.open[word] |= mask
        if isLive { self.live[word] |= mask } else { self.live[word] &= ~mask }
        self.tail += 1
        self.check()
    }

    /// Acknowledged: neither live nor open from now on.
    mutating func close(_ index: UInt64) {
        assert(index >= self.head && index < self.tail, "a packet that is not here")
        let (word, mask) = self.bit(index)
        self.live[word] &= ~mask
        self.open[word] &= ~mask
    }

    /// Declared lost: open, but not live.
    mutating func markLost(_ index: UInt64) {
        assert(index >= self.head && index < self.tail, "a packet that is not here")
        assert(self.isLive(index) && self.isOpen(index), "lost twice, or after it arrived")
        let (word, mask) = self.bit(index)
        self.live[word] &= ~mask
        self.entries[Int(truncatingIfNeeded: index) & (self.capacity - 1)].wasLost = true
    }

    /// The oldest live packet, or `tail`.
    ///
    /// Amortised constant: the hint only moves forward.
    mutating func firstLive() -> UInt64 {
        self.liveHint = self.next(self.live, from: max(self.liveHint, self.head), to: self.tail)
        return self.liveHint
    }

    /// The first live packet at or after `index`, or `tail`.
    func nextLive(from index: UInt64) -> UInt64 {
        self.next(self.live, from: index, to: self.tail)
    }

    /// The first open packet in `index..<end`, or `end`.
    func nextOpen(from index: UInt64, to end: UInt64) -> UInt64 {
        self.next(self.open, from: index, to: end)
    }

    private func next(
        _ bits: UnsafeMutablePointer<UInt64>,
        from index: UInt64,
        to end: UInt64
    ) -> UInt64 {
        var index = index
        while index < end {
            let slot = Int(truncatingIfNeeded: index) & (self.capacity - 1)
            let word = bits[slot >> 6] >> UInt64(slot & 63)
            if word != 0 { return min(index + UInt64(word.trailingZeroBitCount), end) }
            index += UInt64(64 - slot & 63)
        }
        return end
    }

    /// The first send index whose number is at least `number`.
    func index(ofNumber number: UInt64) -> UInt64 {
        guard self.head < self.tail else { return self.tail }
        let first = self[self.head].number
        if number <= first { return self.head }
        let last = self[self.tail - 1].number
        if number > last { return self.tail }
        // Few numbers are skipped: the place is known but for these.
        assert(last - first >= self.tail - 1 - self.head, "two packets under one number")
        let skipped = last - first - (self.tail - 1 - self.head)
        let guess = self.head + (number - first)
        if skipped == 0 { return guess }
        var low = guess - min(guess - self.head, skipped)
        var high = min(guess, self.tail - 1)
        while low < high {
            let middle = low + (high - low) / 2
            if self[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Whether every number of `range` that is not forgotten was sent, and none skipped.
    func holdsAll(of range: NumberRange) -> Bool {
        let first = max(range.first, self.firstKept)
        guard first <= range.last else { return true }
        let count = self.index(ofNumber: range.last + 1) - self.index(ofNumber: first)
        return count == range.last - first + 1
    }

    /// Forgets acknowledged packets at the front, and those that were lost or asked for no ACK and
    /// left before `time`.
    mutating func trim(before time: Instant) {
        while self.head < self.tail {
            if self.isLive(self.head) { return }
            if self.isOpen(self.head), self[self.head].sentAt >= time { return }
            self.dropHead()
        }
    }

    /// Forgets the oldest packet, whatever its state.
    mutating func dropHead() {
        precondition(self.head < self.tail, "there is nothing to forget")
        defer { self.check() }
        self.close(self.head)
        self.firstKept = self[self.head].number + 1
        self.head += 1
    }

    private mutating func grow() {
        let old = self.capacity
        let larger = UnsafeMutablePointer<SentPacket>.allocate(capacity: old * 2)
        let live = UnsafeMutablePointer<UInt64>.allocate(capacity: old / 32)
        let open = UnsafeMutablePointer<UInt64>.allocate(capacity: old / 32)
        live.initialize(repeating: 0, count: old / 32)
        open.initialize(repeating: 0, count: old / 32)
        for index in self.head..<self.tail {
            let slot = Int(truncatingIfNeeded: index) & (old * 2 - 1)
            larger[slot] = self[index]
            if self.isLive(index) { live[slot >> 6] |= 1 << UInt64(slot & 63) }
            if self.isOpen(index) { open[slot >> 6] |= 1 << UInt64(slot & 63) }
        }
        self.entries.deallocate()
        self.live.deallocate()
        self.open.deallocate()
        self.entries = larger
        self.live = live
        self.open = open
        self.capacity = old * 2
    }
}
