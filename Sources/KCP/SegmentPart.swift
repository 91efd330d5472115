/// Which chunks of a segment a packet carries, after the path has become too small for it whole.
///
/// A segment keeps its number and length for life; on a smaller path it travels in parts made of
/// chunks of 256 bytes, at most 64 to a segment, so that both ends keep count in one word.
@frozen
public struct SegmentPart: Hashable, Sendable, BitwiseCopyable {
    /// Bytes of a chunk; only the last of a segment may have fewer (PROTOCOL.md, section 8).
    public static let chunkByteCount = 256
    /// Most chunks of a segment: one bit each in a 64-bit word.
    public static let chunkLimit = 64

    /// The first chunk's number in the segment, below ``chunkLimit``.
    public var first: UInt8
    /// 0 stands for the whole segment.
    public var count: UInt8

    /// Not a part: the segment with all its bytes.
    public static let whole = Self(first: 0, count: 0)

    /// `count` chunks from the one numbered `first`; both at most 64.
    @inlinable
    public init(first: Int, count: Int) {
        self.first = UInt8(first)  // bound: 64 chunks
        self.count = UInt8(count)  // bound: 64 chunks
    }

    /// How many chunks `byteCount` bytes make.
    @inlinable
    public static func chunkCount(_ byteCount: Int) -> Int {
        (byteCount + Self.chunkByteCount - 1) / Self.chunkByteCount
    }

    @inlinable
    static func allChunks(_ byteCount: Int) -> UInt64 {
        UInt64.max >> UInt64(64 - min(max(1, Self.chunkCount(byteCount)), 64))
    }

    var mask: UInt64 { (UInt64.max >> UInt64(64 - max(1, Int(self.count)))) << UInt64(self.first) }
}
