public import Primitives

/// Messages of one flow that travel again in one packet, oldest first.
///
/// On the wire, integers in little-endian order:
///
///     number of the newest (4) | { steps back (1) | length (2) | message (…) } …, oldest first
///
/// to the end of the frame: a message's number is the newest one's less its steps back. Valid until
/// the next call into the ``CopySchedule`` it came from.
public struct CopyBatch {
    private let schedule: CopySchedule
    private let first: UInt64
    /// Which messages, counted from `first`.
    private var members: UInt64

    init(schedule: CopySchedule, first: UInt64, members: UInt64, byteCount: Int) {
        precondition(members != 0, "a batch of nothing")
        self.schedule = schedule
        self.first = first
        self.members = members
        self.byteCount = byteCount
    }

    /// Messages in the batch, from 1 to 32.
    public var count: Int { self.members.nonzeroBitCount }

    /// Takes out the oldest message.
    public mutating func popFirst() -> (number: UInt32, bytes: UnsafeRawBufferPointer)? {
        guard self.members != 0 else { return nil }
        let place = self.members.trailingZeroBitCount
        self.members &= self.members - 1
        return self.schedule.message(self.first + UInt64(place))
    }

    private var newest: UInt32 {
        self.schedule.message(self.first + UInt64(63 - self.members.leadingZeroBitCount)).number
    }

    /// Bytes that ``write(to:)`` takes.
    public let byteCount: Int

    /// Appends the messages; the writer must have room for ``byteCount``.
    public func write(to writer: inout ByteWriter) {
        precondition(writer.room >= self.byteCount, "a batch beyond its packet")
        let (newest, before) = (self.newest, writer.count)
        defer { assert(writer.count - before == self.byteCount, "not as long as it said") }
        writer.write(newest)
        var left = self
        while let (number, bytes) = left.popFirst() {
            assert(newest &- number <= 255, "further back than a byte can say")
            writer.write(UInt8(truncatingIfNeeded: newest &- number))
            writer.write(UInt16(bytes.count))  // bound: `messageByteLimit`
            writer.write(bytes)
        }
    }
}

/// Walks the messages of a received copy packet.
///
/// Each of them passes a ``DuplicateFilter``; nearly all die there.
public struct CopyReader {
    private var reader: ByteReader
    private let newest: UInt32
    /// The bytes ended inside a message, or were none: no schedule of ours writes that.
    public private(set) var isMalformed = false

    /// Reads the body of a COPIES frame, which has to outlive the reader (PROTOCOL.md, section 9).
    public init(_ bytes: UnsafeRawBufferPointer) {
        self.reader = ByteReader(bytes)
        let newest = self.reader.read(UInt32.self)
        self.newest = newest ?? 0
        self.isMalformed = newest == nil
    }

    /// The next message, oldest first, inside the frame; `nil` at its end or where it is malformed.
    public mutating func next() -> (number: UInt32, bytes: UnsafeRawBufferPointer)? {
        guard !self.isMalformed, self.reader.remaining > 0 else { return nil }
        guard
            let steps = self.reader.read(UInt8.self),
            let byteCount = self.reader.read(UInt16.self),
            let bytes = self.reader.read(count: Int(byteCount))
        else {
            self.isMalformed = true
            return nil
        }
        return (self.newest &- UInt32(clamping: steps), bytes)
    }
}
