/// What has arrived and has not been read: one ring by `sn`, in order up to ``next``.
///
/// `rcv_buf` and `rcv_queue` of ikcp.c are the parts after and before ``next``. A segment is taken
/// only inside the window that was advertised, so the ring is all the memory there will ever be.
final class StandaloneReceiveBuffer {
    enum Arrival {
        case new
        case duplicate
        /// Beyond the window or larger than any segment of ours: not kept, not acknowledged.
        case refused
    }

    private struct Slot {
        var length: UInt32 = 0
        var fragment: UInt8 = 0
        var isPresent = false
    }

    /// Peers choose their own segment size; this one has room for that of any Ethernet path.
    private static let leastSegment = 1500

    let window: Int
    private let segmentSize: Int
    private let mask: UInt32
    private let slots: UnsafeMutablePointer<Slot>
    private let bytes: UnsafeMutableRawPointer
    /// `rcv_nxt`.
    private(set) var next: UInt32
    private var firstUnread: UInt32
    /// How much of the first unread segment has been read, in a stream.
    private var readOffset = 0

    init(segmentSize: Int, window: Int, first: UInt32) {
        self.window = window
        self.segmentSize = max(segmentSize, Self.leastSegment)
        var capacity = 1
        while capacity < window { capacity *= 2 }
        self.mask = UInt32(clamping: capacity - 1)
        self.slots = .allocate(capacity: capacity)
        self.slots.initialize(repeating: Slot(), count: capacity)
        self.bytes = .allocate(byteCount: capacity * self.segmentSize, alignment: 16)
        self.next = first
        self.firstUnread = first
    }

    deinit {
        self.slots.deallocate()
        self.bytes.deallocate()
    }

    /// `rcv_queue`'s length.
    var unreadSegments: Int { Int(self.next &- self.firstUnread) }

    /// `wnd` as advertised: what may follow ``next``.
    var room: Int { self.window - self.unreadSegments }

    private func slot(_ serial: UInt32) -> Int { Int(serial & self.mask) }

    /// What holds between any two calls; looked at where asserts are.
    private func check() {
        assert(self.unreadSegments <= self.window, "more segments than the window")
        assert(self.room >= 0)
        assert(self.readOffset >= 0)
        assert(
            self.unreadSegments == 0 || self.slots[self.slot(self.firstUnread)].isPresent,
            "a gap among what is to be read"
        )
        assert(
            self.readOffset == 0
                || self.readOffset < Int(self.slots[self.slot(self.firstUnread)].length)
        )
    }

    func insert(serial: UInt32, fragment: UInt8, data: UnsafeRawBufferPointer) -> Arrival {
        let ahead = Int(Int32(bitPattern: serial &- self.next))
        guard ahead >= 0 else { return .duplicate }
        guard ahead < self.room, data.count <= self.segmentSize else { return .refused }
        let slot = self.slot(serial)
        guard !self.slots[slot].isPresent else { return .duplicate }
        defer { self.check() }
        self.slots[slot] = Slot(
            length: UInt32(clamping: data.count),
            fragment: fragment,
            isPresent: true
        )
        if let source = data.baseAddress {
            (self.bytes + slot * self.segmentSize).copyMemory(
                from: source,
                byteCount: data.count
            )
        }
        while self.room > 0, self.slots[self.slot(self.next)].isPresent { self.next &+= 1 }
        return .new
    }

    /// How many segments the first unread message has, whether they are all here or not.
    private var messageSegments: Int? {
        guard self.unreadSegments > 0 else { return nil }
        return Int(self.slots[self.slot(self.firstUnread)].fragment) + 1
    }

    /// Whether the first message has more fragments than the window can ever hold (kcp#89).
    var isBlocked: Bool { (self.messageSegments ?? 0) > self.window }

    /// The first message's size, once it is complete; O(its fragments).
    var messageByteCount: Int? {
        guard let count = self.messageSegments, count <= self.unreadSegments else { return nil }
        var total = 0
        for offset in 0..<UInt32(clamping: count) {
            total += Int(self.slots[self.slot(self.firstUnread &+ offset)].length)
        }
        return total
    }

    func readMessage(into output: UnsafeMutableRawBufferPointer) -> Int? {
        guard let count = self.messageSegments, let size = self.messageByteCount,
            size <= output.count
        else { return nil }
        var filled = 0
        for _ in 0..<count {
            filled += self.copyFirst(
                into: UnsafeMutableRawBufferPointer(rebasing: output[filled...])
            )
        }
        return filled
    }

    func readStream(into output: UnsafeMutableRawBufferPointer) -> Int {
        var filled = 0
        while filled < output.count, self.unreadSegments > 0 {
            filled += self.copyFirst(
                into: UnsafeMutableRawBufferPointer(rebasing: output[filled...])
            )
        }
        return filled
    }

    /// Copies from the first unread segment, and gives it up once it was read to its end.
    private func copyFirst(into output: UnsafeMutableRawBufferPointer) -> Int {
        precondition(self.unreadSegments > 0, "there is nothing to read")
        let slot = self.slot(self.firstUnread)
        let length = Int(self.slots[slot].length)
        assert(self.slots[slot].isPresent && length <= self.segmentSize)
        let count = min(length - self.readOffset, output.count)
        if let target = output.baseAddress {
            target.copyMemory(
                from: self.bytes + slot * self.segmentSize + self.readOffset,
                byteCount: count
            )
        }
        self.readOffset += count
        if self.readOffset == length {
            self.readOffset = 0
            self.slots[slot].isPresent = false
            self.firstUnread &+= 1
        }
        self.check()
        return count
    }
}
