public import Primitives

/// The receiving half of a KCP conversation inside a session: order and flow control.
///
/// A segment names its number and its place in the byte stream, so that its bytes go straight to
/// where they will be read from, gap or no gap; the ring of records says which numbers have come.
/// Credit is counted in bytes: the peer may send below ``creditLimit``, and memory never exceeds
/// the window.
public struct HostedReceiver: ~Copyable {
    /// What became of a segment.
    public enum Outcome: Hashable, Sendable {
        /// New; `isReadable` says that the bytes in order have grown.
        case accepted(isReadable: Bool)
        /// The segment is here already; the packet may be acknowledged.
        case duplicate
        /// The peer broke the protocol: beyond its credit, or places that do not fit together.
        case violation
        /// It asks for memory that there is none for. The packet it came in must not be
        /// acknowledged, so that the peer sends it again.
        case noRoom
    }

    private var ring = ByteRing()
    /// Of segments from ``next`` on; empty while nothing came ahead.
    private var records = SegmentRecords()
    /// `rcv_nxt` in ikcp.c, not wrapped.
    private var next: UInt64 = 0
    /// One past the highest number of which anything has come.
    private var top: UInt64 = 0
    private var finalNumber: UInt64?
    private var lastUpdate: Instant?

    /// Bytes below have been taken by the local side.
    public private(set) var consumedOffset: UInt64 = 0
    /// Bytes below have arrived without a gap.
    public private(set) var orderedOffset: UInt64 = 0
    /// What the peer was told it may send up to.
    public private(set) var creditLimit: UInt64
    /// Bytes the peer may be ahead of the local reader.
    public private(set) var window: Int
    private let windowLimit: Int
    /// Bytes of a ring that every stream may have, a power of two; the largest segment fits.
    private let reserve: Int

    /// - Parameter largestSegment: of a peer that keeps to the packet size it was told. A stream
    ///   whose reader reads always has room for one, so that it is never stuck.
    public init(window: Int, limit: Int, largestSegment: Int = 1472) {
        precondition(window > 0 && window <= limit && limit & (limit - 1) == 0)
        self.window = window
        self.windowLimit = limit
        self.creditLimit = UInt64(window)
        self.reserve = Self.reserve(largestSegment)
    }

    /// Bytes of memory that a receiver may always hold, whatever is held elsewhere.
    public static func reserve(_ largestSegment: Int) -> Int {
        var ring = 4096
        while ring < min(largestSegment, Int(UInt16.max)) { ring *= 2 }
        return ring
    }

    /// Bytes of memory held for bytes and for records of segments.
    public var memoryByteCount: Int { self.ring.capacity + self.records.byteCount }

    /// What holds between any two calls, whatever the peer sends; looked at where asserts are.
    private func check() {
        assert(self.consumedOffset <= self.orderedOffset, "consumed, and never there")
        assert(self.orderedOffset <= self.creditLimit, "taken beyond the credit")
        assert(self.window <= self.windowLimit)
        assert(self.creditLimit <= self.consumedOffset + UInt64(self.window))
        assert(self.readableByteCount <= self.ring.capacity, "the ring holds more than it can")
        assert(self.next <= self.top)
        assert(self.top - self.next <= HostedSender.segmentWindow)
        assert(self.next < self.top || self.records.isEmpty, "records of nothing")
        assert(self.finalNumber.map { self.top <= $0 } ?? true, "a segment behind the last")
    }

    /// Lets go of memory that nothing is in: nobody has to read anything, and nothing came ahead.
    public mutating func releaseIdle() {
        defer { self.check() }
        guard self.readableByteCount == 0, self.next == self.top, self.memoryByteCount > 0 else {
            return
        }
        if self.ring.capacity > 0 { self.ring.release() }
        self.records.release()
    }

    /// The lowest number that has not arrived, `una` on the wire.
    public var unacknowledged: UInt32 { UInt32(truncatingIfNeeded: self.next) }

    /// Bytes in order that the local side has not consumed.
    public var readableByteCount: Int { Int(self.orderedOffset - self.consumedOffset) }

    /// The peer has ended and every segment up to its end is here.
    public var isComplete: Bool { self.finalNumber == self.next }

    /// ``isComplete``, and everything was consumed.
    public var isFinished: Bool { self.isComplete && self.readableByteCount == 0 }

    /// Takes segment `number`, whose bytes belong at `offset` (the low 32 bits of it).
    ///
    /// What would need more memory than `allowance` gives is refused: ``Outcome/noRoom``.
    public mutating func receive(
        number: UInt32,
        offset: UInt32,
        _ bytes: UnsafeRawBufferPointer,
        allowance: MemoryAllowance = .unbounded
    ) -> Outcome {
        defer { self.check() }
        let ahead = Int32(bitPattern: number &- UInt32(truncatingIfNeeded: self.next))
        guard ahead >= 0 else { return .duplicate }
        let index = self.next + UInt64(ahead)
        guard UInt64(ahead) < HostedSender.segmentWindow, !bytes.isEmpty,
            bytes.count <= Int(UInt16.max), self.finalNumber.map({ index < $0 }) ?? true
        else { return .violation }
        if self.hasCome(index) { return .duplicate }

        let gap = Int32(bitPattern: offset &- UInt32(truncatingIfNeeded: self.orderedOffset))
        // Every segment that is missing holds a byte at least.
        guard gap >= ahead, (gap == 0) == (ahead == 0) else { return .violation }
        let place = self.orderedOffset + UInt64(gap)
        let end = place + UInt64(bytes.count)
        guard end <= self.creditLimit else { return .violation }
        let isSimplyNext = ahead == 0 && index == self.top
        guard self.makeRoom(upTo: end, isSimplyNext ? nil : index, allowance) else {
            return .noRoom
        }

        precondition(end - self.consumedOffset <= UInt64(self.ring.capacity), "no room was made")
        self.ring.place(bytes, at: place)
        if isSimplyNext {
            // The common case: nothing is missing, nothing has to be remembered.
            self.next += 1
            self.top = self.next
            self.orderedOffset = end
            return .accepted(isReadable: true)
        }
        let record = self.records.make(index, from: self.next)
        record.pointee.offset = offset
        record.pointee.byteCount = UInt16(bytes.count)  // bound: checked above
        record.pointee.isPresent = true
        self.top = max(self.top, index + 1)
        guard ahead == 0 else { return .accepted(isReadable: false) }
        return self.advance() ? .accepted(isReadable: true) : .violation
    }

    /// Takes a part of segment `number`, which starts at `offset` and is `segmentByteCount` long.
    public mutating func receivePart(
        number: UInt32,
        offset: UInt32,
        segmentByteCount: Int,
        firstChunk: Int,
        _ bytes: UnsafeRawBufferPointer,
        allowance: MemoryAllowance = .unbounded
    ) -> Outcome {
        defer { self.check() }
        let chunk = SegmentPart.chunkByteCount
        let ahead = Int32(bitPattern: number &- UInt32(truncatingIfNeeded: self.next))
        guard ahead >= 0 else { return .duplicate }
        let index = self.next + UInt64(ahead)
        let gap = Int32(bitPattern: offset &- UInt32(truncatingIfNeeded: self.orderedOffset))
        let start = firstChunk * chunk
        let stop = start + bytes.count
        guard UInt64(ahead) < HostedSender.segmentWindow, !bytes.isEmpty,
            segmentByteCount <= chunk * SegmentPart.chunkLimit, stop <= segmentByteCount,
            stop == segmentByteCount || bytes.count % chunk == 0,
            self.finalNumber.map({ index < $0 }) ?? true, gap >= ahead,
            (gap == 0) == (ahead == 0)
        else { return .violation }
        let place = self.orderedOffset + UInt64(gap)
        guard place + UInt64(segmentByteCount) <= self.creditLimit else { return .violation }
        if self.hasCome(index) { return .duplicate }
        let end = place + UInt64(segmentByteCount)
        guard self.makeRoom(upTo: end, index, allowance) else { return .noRoom }

        let record = self.records.make(index, from: self.next)
        self.top = max(self.top, index + 1)
        if record.pointee.chunks == 0 {
            record.pointee.offset = offset
            record.pointee.byteCount = UInt16(segmentByteCount)  // bound: 16 bits on the wire
        }
        guard record.pointee.offset == offset,
            Int(record.pointee.byteCount) == segmentByteCount
        else { return .violation }
        precondition(end - self.consumedOffset <= UInt64(self.ring.capacity), "no room was made")
        self.ring.place(bytes, at: place + UInt64(start))
        let count = SegmentPart.chunkCount(bytes.count)
        record.pointee.chunks |= SegmentPart(first: firstChunk, count: count).mask
        let all = SegmentPart.allChunks(segmentByteCount)
        guard record.pointee.chunks & all == all else { return .accepted(isReadable: false) }
        record.pointee.isPresent = true
        guard ahead == 0 else { return .accepted(isReadable: false) }
        return self.advance() ? .accepted(isReadable: true) : .violation
    }

    /// The peer will send no segment numbered `number` (low 32 bits) or above.
    public mutating func finish(at number: UInt32) -> Outcome {
        let ahead = Int32(bitPattern: number &- UInt32(truncatingIfNeeded: self.next))
        let index = self.next &+ UInt64(bitPattern: Int64(ahead))
        if let known = self.finalNumber { return known == index ? .duplicate : .violation }
        guard ahead >= 0, index >= self.top else { return .violation }
        self.finalNumber = index
        return .accepted(isReadable: index == self.next)
    }

    /// Contiguous bytes in order for the local side.
    public func readableRegion() -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            self.ring.contiguous(from: self.consumedOffset, count: self.readableByteCount)
        )
    }

    /// Copies `count` bytes in order out, from `start` bytes after the next one to be consumed.
    public func copy(from start: Int, count: Int, to target: UnsafeMutableRawPointer) {
        precondition(start >= 0 && start + count <= self.readableByteCount)
        self.ring.copy(from: self.consumedOffset + UInt64(start), count: count, to: target)
    }

    /// The local side took `count` bytes.
    public mutating func consumed(_ count: Int) {
        precondition(count >= 0 && count <= self.readableByteCount)
        self.consumedOffset += UInt64(count)
        self.check()
    }

    /// The credit the peer should have by now, if telling it is worth a frame.
    ///
    /// Worth it when a quarter of the window has been consumed since the last time. A window used
    /// up within two round trips is too small for the path and becomes four times as large, up to
    /// its limit and up to `growth` more bytes (what the session's budget still has): behind a lost
    /// segment nothing is consumed, so that on a lossy path a window that only doubled would lag
    /// behind the sender's start for seconds.
    public mutating func creditUpdate(
        roundTrip: Instant.Interval,
        growth: Int,
        at now: Instant
    ) -> UInt64? {
        let target = self.consumedOffset + UInt64(self.window)
        guard target >= self.creditLimit + UInt64(self.window / 4), self.finalNumber == nil
        else { return nil }
        if let last = self.lastUpdate, now.since(last) < roundTrip * 2 {
            self.window += min(self.windowLimit - self.window, 3 * self.window, max(0, growth))
        }
        self.lastUpdate = now
        assert(self.consumedOffset + UInt64(self.window) >= self.creditLimit, "credit is kept")
        self.creditLimit = self.consumedOffset + UInt64(self.window)
        self.check()
        return self.creditLimit
    }

    /// Whether the whole segment is here already.
    @inline(__always)
    private func hasCome(_ index: UInt64) -> Bool {
        index < self.top && self.records.find(index)?.pointee.isPresent == true
    }

    /// Makes room for bytes up to `end`; false if that and the record of segment `index` are more
    /// than it may have.
    private mutating func makeRoom(
        upTo end: UInt64,
        _ index: UInt64?,
        _ allowance: MemoryAllowance
    ) -> Bool {
        let bytes = Int(end - self.consumedOffset)
        let records =
            index.map { self.records.byteCount(with: $0, from: self.next) }
            ?? self.records.byteCount
        if bytes <= self.ring.capacity, records <= self.records.byteCount { return true }
        let wanted = ByteRing.capacity(toHold: max(bytes, min(self.window, bytes * 2)))
        if self.grow(to: wanted, records, allowance) { return true }
        return self.grow(to: ByteRing.capacity(toHold: bytes), records, allowance)
    }

    private mutating func grow(
        to capacity: Int,
        _ records: Int,
        _ allowance: MemoryAllowance
    ) -> Bool {
        let ring = max(capacity, self.ring.capacity)
        let isReserved = ring <= self.reserve && records <= SegmentRecords.reserve
        let total = ring + records
        guard isReserved || allowance.permits(total, growth: total - self.memoryByteCount) else {
            return false
        }
        // Out-of-order bytes live beyond the ordered ones, so the whole old ring is kept.
        let live = self.consumedOffset..<self.consumedOffset + UInt64(self.ring.capacity)
        self.ring.grow(toHold: ring, keeping: live)
        return true
    }

    /// Moves over every segment that has come; false when their places do not join up.
    private mutating func advance() -> Bool {
        while self.next < self.top {
            guard let record = self.records.find(self.next)?.pointee, record.isPresent else {
                return true
            }
            guard record.offset == UInt32(truncatingIfNeeded: self.orderedOffset) else {
                return false
            }
            self.orderedOffset += UInt64(record.byteCount)
            self.records.passed(self.next)
            self.next += 1
        }
        // What comes next in order needs no record, so that this block would never be passed.
        self.records.drop(blockOf: self.next)
        return true
    }
}
