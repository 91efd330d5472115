import CZlib

/// Compresses datagrams one by one, each without memory of any other (raw deflate, RFC 1951).
///
/// One per worker serves all flows: about 60 KiB, reset between datagrams, nothing allocated.
public final class DatagramCompressor {
    /// What fits into a UDP datagram over IPv4.
    public static let largestDatagram = 65507

    private let deflateStream = ZlibStream()
    private let inflateStream = ZlibStream()

    public init() {
        // Measured on datagrams of 100 to 1200 bytes: a larger table or a higher level costs up to
        // a third more time and saves less than 1 %.
        self.deflateStream.beginDeflate(level: 1, windowBits: 13, memoryLevel: 5)
        self.inflateStream.beginInflate(windowBits: 13)
    }

    deinit {
        self.deflateStream.endDeflate()
        self.inflateStream.endInflate()
    }

    /// The compressed size, or `nil` where the result would not be smaller or has no room.
    public func compressDatagram(
        _ input: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) -> Int? {
        let room = min(output.count, input.count - 1)
        guard room > 0, input.count <= Self.largestDatagram else { return nil }
        self.deflateStream.resetDeflate()
        let step = self.deflateStream.deflate(
            input,
            into: UnsafeMutableRawBufferPointer(rebasing: output[..<room]),
            flush: Z_FINISH
        )
        return step.status == Z_STREAM_END ? step.produced : nil
    }

    /// The original size; `nil` for anything malformed, trailing bytes, or more than `output` and
    /// ``largestDatagram`` allow.
    public func decompressDatagram(
        _ input: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) -> Int? {
        let room = min(output.count, Self.largestDatagram)
        guard room > 0, !input.isEmpty else { return nil }
        self.inflateStream.resetInflate()
        let step = self.inflateStream.inflate(
            input,
            into: UnsafeMutableRawBufferPointer(rebasing: output[..<room]),
            flush: Z_FINISH
        )
        guard step.status == Z_STREAM_END, step.consumed == input.count else { return nil }
        return step.produced
    }
}
