/// Which chunks of a segment a packet carries, after the path has become too small for it whole.
///
/// A segment keeps its number and length for life; on a smaller path it travels in parts made of
/// chunks of 256 bytes, at most 64 to a segment, so that both ends keep count in one word.
@frozen
public struct SegmentPart: Hashable, Sendable, BitwiseCopyable {
    public static let chunkByteCount = 256
    public static let chunkLimit = 64

    public var first: UInt8
    /// 0 stands for the whole segment.
    public var count: UInt8

    public static let whole = Self(first: 0, count: 0)

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
