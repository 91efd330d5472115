import CZlib

/// The other end of ``StreamDeflater``: about 16 KiB of memory, whatever the peer sends.
public final class StreamInflater {
    private let stream = ZlibStream()
    private var isCorrupt = false

    /// Allocates about 16 KiB, for the life of the object; traps where zlib finds none.
    public init() { self.stream.beginInflate(windowBits: StreamDeflater.windowBits) }

    deinit { self.stream.endInflate() }

    /// Decompresses a prefix of `input` into at most `output.count` bytes.
    ///
    /// However well the input was compressed, never more than the room given is filled; while it is
    /// filled to its end there may be more, even without further input. Once corrupt, it stays so.
    public func decompress(
        _ input: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) -> (consumed: Int, produced: Int, isCorrupt: Bool) {
        guard !self.isCorrupt else { return (0, 0, true) }
        let step = self.stream.inflate(input, into: output, flush: Z_SYNC_FLUSH)
        // A final block (`Z_STREAM_END`) is corrupt too: a stream ends with its connection.
        self.isCorrupt = step.status != Z_OK && step.status != Z_BUF_ERROR
        return (step.consumed, step.produced, self.isCorrupt)
    }
}
