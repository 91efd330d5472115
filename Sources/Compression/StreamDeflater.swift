import CZlib

/// The compressing end of one direction of one byte stream, as raw deflate (RFC 1951).
///
/// Memory is bounded and small because an edge holds thousands of streams: a window of 8 KiB
/// (`windowBits` 13) and `memLevel` 7 come to about 100 KiB, where zlib's defaults take 268 KiB and
/// shrink a game's text no further (33.2 % against 33.4 %).
public final class StreamDeflater {
    static let windowBits: Int32 = 13
    private static let memoryLevel: Int32 = 7
    /// The last of zlib's levels that does not search lazily: the tunnel's bottleneck is a core.
    private static let level: Int32 = 3

    /// Bytes of memory one holds, nearly: (4 << 13) + (1 << 16) for windows and hashes, and its
    /// state.
    public static let memoryByteCount = 104_000

    private let stream = ZlibStream()

    /// Allocates about 100 KiB, for the life of the object; traps where zlib finds none.
    public init() {
        self.stream.beginDeflate(
            level: Self.level,
            windowBits: Self.windowBits,
            memoryLevel: Self.memoryLevel
        )
    }

    deinit { self.stream.endDeflate() }

    /// Compresses a prefix of `input`.
    ///
    /// With `flush`, everything taken so far comes out (`Z_SYNC_FLUSH`) as far as there is room; if
    /// `output` was filled to its end, call again with what is left, until it is not.
    public func compress(
        _ input: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer,
        flush: Bool
    ) -> (consumed: Int, produced: Int) {
        let step = self.stream.deflate(
            input,
            into: output,
            flush: flush ? Z_SYNC_FLUSH : Z_NO_FLUSH
        )
        return (step.consumed, step.produced)
    }
}
