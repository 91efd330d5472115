/// A closed range of packet numbers.
struct NumberRange: BitwiseCopyable, Equatable {
    var first: UInt64
    var last: UInt64
}

/// The body of an ACK frame: `largest, delay (us), count - 1, length - 1, {gap - 2, length - 1}*`,
/// newest range first, every field a variable-length integer (RFC 9000 §16, §19.3.1).
///
/// Bytes after the last range are left for later versions and ignored.
enum AckBody {
    /// Ranges a frame may carry; a frame with more is malformed.
    static let rangeLimit = 64
    /// Ranges we write.
    static let writtenRanges = 32

    /// Reads a variable-length integer at `offset` and moves past it; `nil` if it is cut short.
    @inline(__always)
    static func readInteger(_ body: UnsafeRawBufferPointer, _ offset: inout Int) -> UInt64? {
        guard offset < body.count else { return nil }
        let first = body[offset]
        let length = 1 << Int(first >> 6)
        guard body.count - offset >= length else { return nil }
        var value = UInt64(first & 0x3F)
        for index in 1..<length {
            value = value << 8 | UInt64(body[offset + index])
        }
        offset += length
        return value
    }

    @inline(__always)
    static func integerLength(_ value: UInt64) -> Int {
        value < 1 << 6 ? 1 : value < 1 << 14 ? 2 : value < 1 << 30 ? 4 : 8
    }

    /// Writes `value`, which is below 2^62, and moves past it; false if it does not fit.
    @inline(__always)
    static func writeInteger(
        _ value: UInt64,
        _ target: UnsafeMutableRawPointer,
        _ offset: inout Int,
        _ capacity: Int
    ) -> Bool {
        let length = Self.integerLength(value)
        guard capacity - offset >= length else { return false }
        let tag = UInt64(length.trailingZeroBitCount) << UInt64(length * 8 - 2)
        let tagged = value | tag
        for index in 0..<length {
            let byte = UInt8(truncatingIfNeeded: tagged >> UInt64((length - 1 - index) * 8))
            target.storeBytes(of: byte, toByteOffset: offset + index, as: UInt8.self)
        }
        offset += length
        return true
    }

    /// Reads a whole body into `ranges` (room for ``rangeLimit``); `nil` if it is malformed.
    static func read(
        _ body: UnsafeRawBufferPointer,
        into ranges: UnsafeMutablePointer<NumberRange>
    ) -> (count: Int, delayMicroseconds: UInt64)? {
        var offset = 0
        guard let largest = Self.readInteger(body, &offset),
            let delay = Self.readInteger(body, &offset),
            let extra = Self.readInteger(body, &offset), extra < UInt64(Self.rangeLimit),
            let length = Self.readInteger(body, &offset), length <= largest
        else { return nil }
        ranges[0] = NumberRange(first: largest - length, last: largest)
        var lowest = largest - length
        for index in 0..<Int(extra) {
            guard let gap = Self.readInteger(body, &offset),
                let length = Self.readInteger(body, &offset),
                gap <= lowest, lowest - gap >= 2, lowest - gap - 2 >= length
            else { return nil }
            let last = lowest - gap - 2
            lowest = last - length
            ranges[index + 1] = NumberRange(first: lowest, last: last)
        }
        return (Int(extra) + 1, delay)
    }
}
