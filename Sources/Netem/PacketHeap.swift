import Primitives

/// Packets in flight, first the one that is due first; equal times keep the order of arrival.
///
/// Slots and their buffers are made once and reused. A buffer grows to the largest packet its slot
/// has carried, so a link in its steady state allocates nothing.
struct PacketHeap: ~Copyable {
    private struct Slot {
        var buffer: UnsafeMutableRawBufferPointer
        var byteCount: Int
        var tag: UInt64
    }

    private struct Entry {
        var due: UInt64
        var order: UInt64
        var slot: Int32

        func precedes(_ other: Entry) -> Bool {
            self.due != other.due ? self.due < other.due : self.order < other.order
        }
    }

    private let slots: UnsafeMutablePointer<Slot>
    private let entries: UnsafeMutablePointer<Entry>
    private let free: UnsafeMutablePointer<Int32>
    private var freeCount: Int
    private var nextOrder: UInt64 = 0
    private(set) var count = 0
    let capacity: Int

    init(capacity: Int) {
        precondition(capacity > 0 && capacity <= Int(Int32.max))
        self.capacity = capacity
        self.slots = .allocate(capacity: capacity)
        self.slots.initialize(
            repeating: Slot(buffer: .init(start: nil, count: 0), byteCount: 0, tag: 0),
            count: capacity
        )
        self.entries = .allocate(capacity: capacity)
        self.free = .allocate(capacity: capacity)
        for index in 0..<capacity { self.free[index] = Int32(capacity - 1 - index) }
        self.freeCount = capacity
    }

    deinit {
        for index in 0..<self.capacity { self.slots[index].buffer.deallocate() }
        self.slots.deallocate()
        self.entries.deallocate()
        self.free.deallocate()
    }

    /// When the first packet is due.
    var firstDue: Instant {
        self.count == 0 ? .never : Instant(nanoseconds: self.entries[0].due)
    }

    /// Copies a packet in and returns where its bytes now are; `nil` when every slot is in flight.
    mutating func insert(
        _ bytes: UnsafeRawBufferPointer,
        tag: UInt64,
        due: Instant
    ) -> UnsafeMutableRawBufferPointer? {
        guard self.freeCount > 0 else { return nil }
        self.freeCount -= 1
        let slot = self.free[self.freeCount]
        let home = self.slots + Int(slot)
        if home.pointee.buffer.count < bytes.count {
            home.pointee.buffer.deallocate()
            home.pointee.buffer = .allocate(byteCount: max(2_048, bytes.count), alignment: 16)
        }
        home.pointee.buffer.copyMemory(from: bytes)
        home.pointee.byteCount = bytes.count
        home.pointee.tag = tag
        self.siftUp(Entry(due: due.nanoseconds, order: self.nextOrder, slot: slot))
        self.nextOrder += 1
        return .init(rebasing: home.pointee.buffer[..<bytes.count])
    }

    /// Takes out the first packet; its bytes stay valid until the next ``insert(_:tag:due:)``.
    mutating func removeFirst() -> (bytes: UnsafeRawBufferPointer, tag: UInt64) {
        precondition(self.count > 0)
        let slot = self.entries[0].slot
        self.count -= 1
        if self.count > 0 { self.siftDown(self.entries[self.count]) }
        self.free[self.freeCount] = slot
        self.freeCount += 1
        let home = self.slots[Int(slot)]
        return (UnsafeRawBufferPointer(rebasing: home.buffer[..<home.byteCount]), home.tag)
    }

    private mutating func siftUp(_ entry: Entry) {
        var hole = self.count
        self.count += 1
        while hole > 0 {
            let parent = (hole - 1) / 2
            guard entry.precedes(self.entries[parent]) else { break }
            self.entries[hole] = self.entries[parent]
            hole = parent
        }
        self.entries[hole] = entry
    }

    private mutating func siftDown(_ entry: Entry) {
        var hole = 0
        while true {
            var child = 2 * hole + 1
            guard child < self.count else { break }
            if child + 1 < self.count, self.entries[child + 1].precedes(self.entries[child]) {
                child += 1
            }
            guard self.entries[child].precedes(entry) else { break }
            self.entries[hole] = self.entries[child]
            hole = child
        }
        self.entries[hole] = entry
    }
}
