import Primitives

/// Datagrams that arrived and wait for the driver: records in one ring of fixed size.
///
/// A record never wraps, so that the driver can send straight from it.
struct Inbox: ~Copyable {
    private let base: UnsafeMutableRawPointer
    private let capacity: Int
    private var head = 0
    private var tail = 0
    /// Where the ring was cut short because the next record would not have fitted.
    private var wrapAt: Int?
    private static let header = 16

    init(capacity: Int) {
        self.base = .allocate(byteCount: capacity, alignment: 16)
        self.capacity = capacity
    }

    deinit { self.base.deallocate() }

    /// What holds between any two calls; looked at where asserts are.
    private func check() {
        assert(self.head >= 0 && self.head <= self.capacity)
        assert(self.tail >= 0 && self.tail <= self.capacity)
        // While the ring is cut, the newest records lie before the oldest.
        assert(self.wrapAt == nil ? self.head <= self.tail : self.tail < self.head)
        assert(self.wrapAt.map { self.head <= $0 && $0 <= self.capacity } ?? true)
    }

    /// Room for one datagram of `count` bytes, to be filled by the caller; `nil` when full.
    mutating func reserve(_ count: Int, for flow: FlowHandle) -> UnsafeMutableRawPointer? {
        precondition(count >= 0)
        defer { self.check() }
        let need = Self.header + (count + 15) / 16 * 16
        if self.head == self.tail, self.wrapAt == nil {
            self.head = 0
            self.tail = 0
        }
        if self.wrapAt == nil {
            if self.tail + need > self.capacity {
                // One byte short of the head, so that full and empty differ.
                guard need < self.head else { return nil }
                self.wrapAt = self.tail
                self.tail = 0
            }
        } else if self.tail + need >= self.head {
            return nil
        }
        precondition(self.tail + need <= self.capacity, "a record beyond the ring")
        let record = self.base + self.tail
        record.storeBytes(of: flow.slot, as: UInt32.self)
        record.storeBytes(of: flow.generation, toByteOffset: 4, as: UInt32.self)
        record.storeBytes(of: count, toByteOffset: 8, as: Int.self)
        self.tail += need
        return record + Self.header
    }

    /// The oldest datagram; its bytes stay valid until the next ``reserve(_:for:)``.
    mutating func next() -> (flow: FlowHandle, bytes: UnsafeRawBufferPointer)? {
        if let end = self.wrapAt, self.head == end {
            self.head = 0
            self.wrapAt = nil
        }
        guard self.head != self.tail || self.wrapAt != nil else { return nil }
        let record = self.base + self.head
        let count = record.load(fromByteOffset: 8, as: Int.self)
        let flow = FlowHandle(
            slot: record.load(as: UInt32.self),
            generation: record.load(fromByteOffset: 4, as: UInt32.self)
        )
        self.head += Self.header + (count + 15) / 16 * 16
        assert(self.head <= self.wrapAt ?? self.tail, "a record that was not written whole")
        return (flow, UnsafeRawBufferPointer(start: record + Self.header, count: count))
    }
}
