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
    public let count: Int

    init(schedule: CopySchedule, first: UInt64, count: Int) {
        self.schedule = schedule
        self.first = first
        self.count = count
    }

    public subscript(index: Int) -> (number: UInt32, bytes: UnsafeRawBufferPointer) {
        precondition(index >= 0 && index < self.count)
        return self.schedule.message(self.first + UInt64(index))
    }

    /// Bytes that ``write(to:)`` takes at most.
    public var byteCount: Int {
        var sum = 4
        for index in 0..<self.count { sum += 3 + self[index].bytes.count }
        return sum
    }

    /// Appends as many of the messages as there is room for, newest first choice.
    public func write(to writer: inout ByteWriter) {
        precondition(self.count > 0 && writer.room >= 4)
        let newest = self[self.count - 1].number
        var first = self.count
        var room = writer.room - 4
        while first > 0 {
            let message = self[first - 1]
            let steps = newest &- message.number
            room -= 3 + message.bytes.count
            guard room >= 0, steps <= UInt32(UInt8.max) else { break }
            first -= 1
        }
        writer.write(newest)
        for index in first..<self.count {
            let message = self[index]
            writer.write(UInt8(newest &- message.number))
            writer.write(UInt16(message.bytes.count))
            writer.write(message.bytes)
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

    public init(_ bytes: UnsafeRawBufferPointer) {
        self.reader = ByteReader(bytes)
        let newest = self.reader.read(UInt32.self)
        self.newest = newest ?? 0
        self.isMalformed = newest == nil
    }

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
        return (self.newest &- UInt32(steps), bytes)
    }
}
