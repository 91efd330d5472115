public import Primitives

/// What a repair covers, and how.
///
/// On the wire a repair is this header and the combination of the covered symbols, integers in
/// little-endian order:
///
///     last symbol id (4) | window (1) | key (2) | combination (…)
///
/// It covers the `window` symbols whose ids end with the last one. A symbol is
///
///     message length (2) | message | zeroes
///
/// where a symbol's id is the number of the datagram that carried the message. The combination is
/// as long as the longest covered symbol without its zeroes. The idea is that of RFC 8681.
@frozen
public struct RepairHeader: Hashable, Sendable {
    /// Bytes before the combination.
    public static let byteCount = 7
    /// Symbols a repair may cover.
    public static let windowLimit = 128

    /// The number of the newest covered datagram; numbers wrap.
    public var last: UInt32
    /// How many datagrams are covered, 1 to ``windowLimit``.
    public var window: UInt8
    /// Tells repairs with the same `last` apart: the factors follow from both.
    public var key: UInt16

    /// A header out of its fields; `window` is not checked.
    @inlinable
    public init(last: UInt32, window: UInt8, key: UInt16) {
        self.last = last
        self.window = window
        self.key = key
    }

    /// The id of the oldest covered symbol.
    @inlinable
    public var first: UInt32 { self.last &- (UInt32(clamping: self.window) &- 1) }

    /// Takes the header off the front; `nil` for what no encoder of ours writes.
    @inlinable
    public init?(reading reader: inout ByteReader) {
        guard
            let last = reader.read(UInt32.self),
            let window = reader.read(UInt8.self),
            let key = reader.read(UInt16.self),
            window >= 1, window <= Self.windowLimit
        else { return nil }
        self.init(last: last, window: window, key: key)
    }

    /// Appends the 7 bytes; traps without room for them.
    @inlinable
    public func write(to writer: inout ByteWriter) {
        writer.write(self.last)
        writer.write(self.window)
        writer.write(self.key)
    }

    /// Fills in the factors of the covered symbols, oldest first, none of them 0.
    ///
    /// SplitMix64 (Steele, Lea and Flood, 2014) over key and last id, eight factors to a draw.
    func factors(into factors: UnsafeMutablePointer<UInt8>) {
        let seed = UInt64(self.key) << 32 | UInt64(self.last)
        var generator = SeededGenerator(seed: seed)
        var draw: UInt64 = 0
        for index in 0..<Int(self.window) {
            if index % 8 == 0 { draw = generator.next() }
            let byte = UInt8(truncatingIfNeeded: draw)
            factors[index] = byte == 0 ? 1 : byte
            draw >>= 8
        }
    }
}

/// Sizes of symbols in memory.
enum SymbolShape {
    /// Bytes of the length that goes before a message.
    static let prefix = 2

    /// Where a symbol of `byteCount` ends in memory: kernels are fastest on multiples of 64.
    static func padded(_ byteCount: Int) -> Int { (byteCount + 63) & ~63 }

    /// The smallest power of two that is not less than `count`.
    static func powerOfTwo(_ count: Int) -> Int {
        var power = 1
        while power < count { power *= 2 }
        return power
    }

    static func allocate(_ byteCount: Int) -> UnsafeMutablePointer<UInt8> {
        UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 64)
            .bindMemory(to: UInt8.self, capacity: byteCount)
    }
}
