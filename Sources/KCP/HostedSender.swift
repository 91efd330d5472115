import Primitives

/// The sending half of a KCP conversation inside a session.
///
/// Keeps what KCP keeps (`sn`, `una`, order, flow control) and leaves to the session what the
/// session knows better (loss, RTT, rate). Bytes wait in one ring from the moment the local socket
/// gave them until the peer has them; a segment is a range of that ring, cut when a packet has room
/// for it. Every operation is O(1) per segment.
public struct HostedSender: ~Copyable {
    /// A segment, or a part of one, cut for a packet: its number, and where its bytes are in the
    /// stream.
    @frozen
    public struct Segment: Sendable {
        /// The segment's number in its direction, from 0 and wrapping.
        public var number: UInt32
        /// Where the bytes to send begin in the stream, not wrapped.
        public var offset: UInt64
        /// How many bytes to send, 1 to 65,535.
        public var byteCount: Int
        /// Which chunks of the segment these are; ``SegmentPart/whole`` for all.
        public var part: SegmentPart
        /// Where the segment itself starts, and its length.
        public var segmentOffset: UInt64
        /// The bytes of the whole segment, 1 to 65,535; that of `byteCount` unless it is a part.
        public var segmentByteCount: Int
    }

    private enum State {
        static let inFlight: UInt8 = 0
        static let lost: UInt8 = 1
        static let acknowledged: UInt8 = 2
    }

    struct Record: BitwiseCopyable {
        var offset: UInt64
        var byteCount: UInt16
        var state: UInt8
        /// The next chunk of a lost segment that has to go out in parts.
        var nextChunk: UInt8 = 0
        /// The chunks the peer has, of a segment that went out in parts.
        var acknowledgedChunks: UInt64 = 0
    }

    /// At most this many segments are outstanding; the receiver refuses more (KCP's `wnd` is 16
    /// bits wide, half of its range keeps the comparison of numbers unambiguous).
    public static let segmentWindow: UInt64 = 32_768

    private var ring = ByteRing()
    private let capacityLimit: Int
    private var records = IndexedRing<Record>(capacity: 16)
    /// Segment numbers declared lost, oldest first; entries whose state has changed are skipped.
    private var lost = IndexedRing<UInt32>(capacity: 16)
    private var lostHead: UInt64 = 0
    private var lostTail: UInt64 = 0
    /// `snd_una` in ikcp.c, not wrapped.
    private var unacknowledged: UInt64 = 0
    /// `snd_nxt` in ikcp.c, not wrapped.
    private var next: UInt64 = 0

    /// Bytes below are the peer's; their room is free again.
    public private(set) var acknowledgedOffset: UInt64 = 0
    /// Bytes below have been sent at least once.
    public private(set) var sentOffset: UInt64 = 0
    /// Bytes below have been written by the local side.
    public private(set) var writtenOffset: UInt64 = 0
    /// The peer takes bytes below this offset.
    public private(set) var creditLimit: UInt64

    /// - Parameter capacity: most bytes held, a power of two.
    public init(capacity: Int, credit: UInt64) {
        precondition(capacity >= 4096 && capacity & (capacity - 1) == 0)
        self.capacityLimit = capacity
        self.creditLimit = credit
    }

    /// Bytes written and not yet sent.
    public var unsentByteCount: Int { Int(self.writtenOffset - self.sentOffset) }

    /// Bytes held for the peer, sent or not.
    public var heldByteCount: Int { Int(self.writtenOffset - self.acknowledgedOffset) }

    /// How many segments have been cut: the number the next one gets, not wrapped.
    public var segmentCount: UInt64 { self.next }

    /// Whether the peer has every byte that the local side wrote.
    public var isEverythingAcknowledged: Bool { self.acknowledgedOffset == self.writtenOffset }

    /// Bytes of memory held for bytes and for records of segments.
    public var memoryByteCount: Int {
        self.ring.capacity + self.records.capacity * MemoryLayout<Record>.stride
            + self.lost.capacity * MemoryLayout<UInt32>.stride
    }

    /// Bytes of a ring that every stream may have, a power of two.
    public static let reserve = 2048
    /// What a ring begins with where memory is not short.
    private static let firstRing = 16_384
    /// Records of segments that every stream may have.
    private static let recordReserve = 64

    /// Whether its ring could grow, but not with what `allowance` gives.
    public func isShort(allowance: MemoryAllowance) -> Bool {
        guard self.ring.capacity < self.capacityLimit else { return false }
        let growth = max(self.ring.capacity * 2, Self.firstRing) - self.ring.capacity
        return !allowance.permits(self.memoryByteCount + growth, growth: growth)
    }

    /// How many more bytes it may hold with what `allowance` gives.
    public func room(allowance: MemoryAllowance) -> Int {
        let most =
            self.isShort(allowance: allowance)
            ? max(self.ring.capacity, Self.reserve) : self.capacityLimit
        return most - self.heldByteCount
    }

    /// What holds between any two calls; looked at where asserts are.
    private func check() {
        assert(self.acknowledgedOffset <= self.sentOffset, "acknowledged, and never sent")
        assert(self.sentOffset <= self.writtenOffset, "sent, and never written")
        assert(self.heldByteCount <= self.ring.capacity, "the ring holds what it has no room for")
        assert(self.ring.capacity <= self.capacityLimit, "the ring is beyond its limit")
        assert(self.unacknowledged <= self.next)
        assert(self.next - self.unacknowledged <= Self.segmentWindow, "more than a peer takes")
        assert(self.next - self.unacknowledged <= UInt64(self.records.capacity))
        assert(self.lostHead <= self.lostTail)
        assert(self.lostTail - self.lostHead <= UInt64(self.lost.capacity))
        // Segments cover what was sent, without a gap.
        assert(self.unacknowledged < self.next || self.acknowledgedOffset == self.sentOffset)
        assert(
            self.unacknowledged == self.next
                || self.records[self.unacknowledged].offset == self.acknowledgedOffset
        )
        assert(
            self.unacknowledged == self.next
                || self.records[self.next - 1].offset
                    + UInt64(self.records[self.next - 1].byteCount) == self.sentOffset
        )
    }

    /// Lets go of memory that nothing is in: the peer has everything.
    public mutating func releaseIdle() {
        defer { self.check() }
        guard self.heldByteCount == 0 else { return }
        if self.ring.capacity > 0 { self.ring.release() }
        if self.records.capacity > 16, self.unacknowledged == self.next {
            self.records = IndexedRing(capacity: 16)
        }
        if self.lost.capacity > 16 {
            self.lost = IndexedRing(capacity: 16)
            self.lostHead = self.lostTail
        }
    }

    /// Contiguous room for new bytes, grown on demand up to the capacity; empty when full.
    ///
    /// The ring does not grow beyond what `allowance` gives.
    public mutating func writableRegion(
        allowance: MemoryAllowance = .unbounded
    ) -> UnsafeMutableRawBufferPointer {
        defer { self.check() }
        let held = self.heldByteCount
        if held == self.ring.capacity, held < self.capacityLimit {
            let wanted = min(self.capacityLimit, max(Self.firstRing, held * 2))
            let total = self.memoryByteCount + wanted - self.ring.capacity
            let isPermitted = allowance.permits(total, growth: wanted - self.ring.capacity)
            self.ring.grow(
                toHold: isPermitted ? wanted : Self.reserve,
                keeping: self.acknowledgedOffset..<self.writtenOffset,
                beginningAt: Self.reserve
            )
        }
        return self.ring.contiguous(
            from: self.writtenOffset,
            count: self.ring.capacity - held
        )
    }

    /// `count` bytes stand at the front of ``writableRegion()``.
    public mutating func wrote(_ count: Int) {
        precondition(count >= 0 && count <= self.ring.capacity - self.heldByteCount)
        self.writtenOffset += UInt64(count)
        self.check()
    }

    /// Copies in as many of `bytes` as there is room for.
    public mutating func write(_ bytes: UnsafeRawBufferPointer) -> Int {
        var taken = 0
        while taken < bytes.count {
            let region = self.writableRegion()
            guard !region.isEmpty else { break }
            let run = min(region.count, bytes.count - taken)
            region.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[taken..<taken + run]))
            self.wrote(run)
            taken += run
        }
        return taken
    }

    /// The peer moved its credit; an older, lower limit changes nothing.
    public mutating func raiseCredit(to limit: UInt64) {
        self.creditLimit = max(self.creditLimit, limit)
    }

    /// New bytes that may be cut into segments now.
    public var sendableByteCount: Int {
        guard self.next - self.unacknowledged < Self.segmentWindow else { return 0 }
        let end = min(self.writtenOffset, self.creditLimit)
        return end > self.sentOffset ? Int(end - self.sentOffset) : 0
    }

    /// Whether a segment waits to be sent again; such go before new ones.
    public var hasLost: Bool { self.lostHead != self.lostTail }

    /// Cuts the next new segment, at most `room` bytes; `nil` when there is nothing to cut.
    ///
    /// With `mayGrow` false, `nil` too when as many are outstanding as there are records for.
    public mutating func cutSegment(room: Int, mayGrow: Bool = true) -> Segment? {
        let count = min(self.sendableByteCount, room, Int(UInt16.max))
        guard count > 0 else { return nil }
        let live = self.unacknowledged..<self.next
        guard mayGrow || live.count < max(self.records.capacity, Self.recordReserve) else {
            return nil
        }
        self.records.grow(toHold: live.count + 1, keeping: live)
        self.records[self.next] = Record(
            offset: self.sentOffset,
            byteCount: UInt16(count),  // bound: `min` above
            state: State.inFlight
        )
        let segment = Self.whole(self.next, self.records[self.next])
        self.next += 1
        self.sentOffset += UInt64(count)
        self.check()
        return segment
    }

    private static func whole(_ index: UInt64, _ record: Record) -> Segment {
        Segment(
            number: UInt32(truncatingIfNeeded: index),
            offset: record.offset,
            byteCount: Int(record.byteCount),
            part: .whole,
            segmentOffset: record.offset,
            segmentByteCount: Int(record.byteCount)
        )
    }

    /// Takes the oldest lost segment if it fits `room`; it counts as in flight again.
    ///
    /// A segment larger than `largest`, what an empty packet of today's path carries, goes out in
    /// parts of whole chunks; each call gives the next one that fits `partRoom`.
    public mutating func takeLost(room: Int, largest: Int, partRoom: Int) -> Segment? {
        while self.lostHead != self.lostTail {
            let index = self.index(of: self.lost[self.lostHead])
            guard let index, self.records[index].state == State.lost else {
                self.lostHead += 1
                continue
            }
            let record = self.records[index]
            if Int(record.byteCount) <= largest {
                guard Int(record.byteCount) <= room else { return nil }
                self.lostHead += 1
                self.records.pointer(index).pointee.state = State.inFlight
                return Self.whole(index, record)
            }
            guard partRoom >= SegmentPart.chunkByteCount else { return nil }
            if let part = self.takePart(index, room: partRoom) { return part }
        }
        return nil
    }

    /// The next chunks of a lost segment; `nil`, and the segment in flight, when all are out.
    private mutating func takePart(_ index: UInt64, room: Int) -> Segment? {
        let record = self.records.pointer(index)
        let total = SegmentPart.chunkCount(Int(record.pointee.byteCount))
        var first = Int(record.pointee.nextChunk)
        while first < total, record.pointee.acknowledgedChunks & (1 << UInt64(first)) != 0 {
            first += 1
        }
        var end = first
        while end < total, end - first < room / SegmentPart.chunkByteCount,
            record.pointee.acknowledgedChunks & (1 << UInt64(end)) == 0
        {
            end += 1
        }
        assert(first <= end && end <= SegmentPart.chunkLimit)
        record.pointee.nextChunk = UInt8(end)  // bound: 64 chunks
        if end == total {
            self.lostHead += 1
            record.pointee.state = State.inFlight
        }
        guard end > first else { return nil }
        let start = first * SegmentPart.chunkByteCount
        var segment = Self.whole(index, record.pointee)
        segment.part = SegmentPart(first: first, count: end - first)
        segment.offset += UInt64(start)
        segment.byteCount =
            min(end * SegmentPart.chunkByteCount, segment.segmentByteCount) - start
        assert(segment.byteCount > 0 && segment.byteCount <= room, "a part beyond its room")
        return segment
    }

    /// Segment `number`, if it is whole and on its way: a copy of it may save a round trip.
    public func outstanding(_ number: UInt32) -> Segment? {
        guard let index = self.index(of: number), self.records[index].state == State.inFlight,
            self.records[index].acknowledgedChunks == 0
        else { return nil }
        return Self.whole(index, self.records[index])
    }

    /// Copies the bytes of `segment` to `target`.
    public func copy(_ segment: Segment, to target: UnsafeMutableRawPointer) {
        precondition(segment.offset >= self.acknowledgedOffset, "these bytes are gone")
        precondition(segment.offset + UInt64(segment.byteCount) <= self.sentOffset)
        self.ring.copy(from: segment.offset, count: segment.byteCount, to: target)
    }

    /// The packet that carried this much of segment `number` arrived: true if that freed room.
    @discardableResult
    public mutating func acknowledge(_ number: UInt32, part: SegmentPart = .whole) -> Bool {
        guard let index = self.index(of: number) else { return false }
        let acknowledged = self.records.pointer(index)
        if part != .whole {
            acknowledged.pointee.acknowledgedChunks |= part.mask
            let all = SegmentPart.allChunks(Int(acknowledged.pointee.byteCount))
            guard acknowledged.pointee.acknowledgedChunks & all == all else { return false }
        }
        acknowledged.pointee.state = State.acknowledged
        let before = self.acknowledgedOffset
        while self.unacknowledged < self.next {
            let record = self.records[self.unacknowledged]
            guard record.state == State.acknowledged else { break }
            assert(record.byteCount > 0, "a segment without bytes")
            self.acknowledgedOffset += UInt64(record.byteCount)
            self.unacknowledged += 1
        }
        self.check()
        return self.acknowledgedOffset != before
    }

    /// The packet that carried segment `number`, or a part of it, is lost: true if it has to be
    /// sent again.
    @discardableResult
    public mutating func lose(_ number: UInt32) -> Bool {
        guard let index = self.index(of: number) else { return false }
        let record = self.records.pointer(index)
        guard record.pointee.state != State.acknowledged else { return false }
        record.pointee.nextChunk = 0
        guard record.pointee.state == State.inFlight else { return false }
        record.pointee.state = State.lost
        let live = self.lostHead..<self.lostTail
        self.lost.grow(toHold: live.count + 1, keeping: live)
        self.lost[self.lostTail] = number
        self.lostTail += 1
        self.check()
        return true
    }

    /// The unwrapped number, if the segment is outstanding.
    private func index(of number: UInt32) -> UInt64? {
        let ahead = number &- UInt32(truncatingIfNeeded: self.unacknowledged)
        let index = self.unacknowledged + UInt64(ahead)
        return index < self.next ? index : nil
    }
}
