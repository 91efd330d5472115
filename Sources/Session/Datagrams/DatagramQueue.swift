import Primitives

/// A sum to which many have their part.
final class ByteTotal {
    var count = 0
}

/// Datagrams of one flow that wait for room on the path: bytes in a ring that grows on demand.
///
/// Bounded in number and bytes; the oldest makes room for the newest, because a late game packet is
/// worth less than a fresh one.
struct DatagramQueue: ~Copyable {
    struct Entry: BitwiseCopyable {
        var offset: UInt64
        var byteCount: Int
        var queuedAt: Instant
    }

    private var bytes = ByteRing()
    private var entries: IndexedRing<Entry>?
    private var head: UInt64 = 0
    private var tail: UInt64 = 0
    private var readOffset: UInt64 = 0
    private var writeOffset: UInt64 = 0

    /// A game's message or two: what every player costs, whether it plays or not.
    private static let leastByteCount = 256

    /// Bytes in all queues of an engine.
    private let total: ByteTotal

    init(total: ByteTotal) { self.total = total }

    deinit { self.total.count -= Int(self.writeOffset - self.readOffset) }

    /// What holds between any two calls; looked at where asserts are.
    private func check() {
        assert(self.head <= self.tail)
        assert(self.readOffset <= self.writeOffset)
        assert(self.byteCount <= self.bytes.capacity, "the ring holds what it has no room for")
        assert(self.byteCount <= self.total.count, "more than all queues together")
        assert(!self.isEmpty || self.byteCount == 0, "bytes of no datagram")
        assert(self.isEmpty || self.first.offset == self.readOffset)
        assert(self.count * MemoryLayout<Entry>.stride <= self.entryByteCount)
    }

    var isEmpty: Bool { self.head == self.tail }
    var count: Int { Int(self.tail - self.head) }
    var byteCount: Int { Int(self.writeOffset - self.readOffset) }
    var memoryByteCount: Int { self.bytes.capacity + self.entryByteCount }

    private var entryByteCount: Int {
        switch self.entries {
        case .some(let ring): ring.capacity * MemoryLayout<Entry>.stride
        case .none: 0
        }
    }

    /// Bytes of a queue that every flow may have.
    static let reserve = 2048

    /// How many bytes may wait, where the queue may not grow beyond what it has or may have anyway.
    var byteLimitWithoutGrowth: Int { max(self.bytes.capacity, Self.reserve) }

    /// By how much one more datagram of `count` bytes would make it grow.
    func growth(for count: Int) -> Int {
        let capacity = ByteRing.capacity(
            toHold: self.byteCount + count,
            beginningAt: max(self.bytes.capacity, Self.leastByteCount)
        )
        let held = Int(self.tail - self.head) * MemoryLayout<Entry>.stride
        let entries = held < self.entryByteCount ? 0 : max(self.entryByteCount, 8)
        return capacity - self.bytes.capacity + entries
    }

    /// Appends a copy and returns how many older datagrams had to go for it.
    mutating func append(
        _ datagram: UnsafeRawBufferPointer,
        countLimit: Int,
        byteLimit: Int,
        at now: Instant
    ) -> Int {
        var dropped = 0
        while !self.isEmpty,
            self.count >= countLimit || self.byteCount + datagram.count > byteLimit
        {
            self.removeFirst()
            dropped += 1
        }
        self.bytes.grow(
            toHold: self.byteCount + datagram.count,
            keeping: self.readOffset..<self.writeOffset,
            beginningAt: Self.leastByteCount
        )
        self.bytes.place(datagram, at: self.writeOffset)
        self.push(
            Entry(offset: self.writeOffset, byteCount: datagram.count, queuedAt: now)
        )
        self.writeOffset += UInt64(datagram.count)
        self.total.count += datagram.count
        self.check()
        return dropped
    }

    private mutating func push(_ entry: Entry) {
        var ring = self.entries.take() ?? IndexedRing<Entry>(capacity: 8)
        ring.grow(toHold: self.count + 1, keeping: self.head..<self.tail)
        ring[self.tail] = entry
        self.entries = consume ring
        self.tail += 1
    }

    /// The oldest datagram's size and age; only while not empty.
    var first: Entry {
        switch self.entries {
        case .some(let ring): ring[self.head]
        case .none: preconditionFailure("an empty queue has no first datagram")
        }
    }

    /// Copies part of the oldest datagram out.
    func copyFirst(from start: Int, count: Int, to target: UnsafeMutableRawPointer) {
        precondition(start >= 0 && count >= 0 && start + count <= self.first.byteCount)
        self.bytes.copy(from: self.first.offset + UInt64(start), count: count, to: target)
    }

    mutating func removeFirst() {
        let entry = self.first
        self.total.count -= entry.byteCount
        self.readOffset = entry.offset + UInt64(entry.byteCount)
        self.head += 1
        // A burst of large datagrams must not pin its memory for the life of a small flow.
        if self.isEmpty, self.bytes.capacity > 16_384 { self.bytes.release() }
        self.check()
    }
}
