import CZlib

/// Compresses datagrams one by one, each without memory of any other (raw deflate, RFC 1951).
///
/// One per worker serves all flows: about 60 KiB, reset between datagrams, nothing allocated.
public final class DatagramCompressor {
    /// What fits into a UDP datagram over IPv4.
    public static let largestDatagram = 65507

    private let deflateStream = ZlibStream()
    private let inflateStream = ZlibStream()

    /// Allocates the memory of both directions, about 60 KiB; traps where zlib finds none.
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
    ///
    /// Nothing is shrunk further than ``InflationAllowance`` lets a single datagram unfold.
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
        guard step.status == Z_STREAM_END, input.count <= InflationAllowance.ratio * step.produced
        else { return nil }
        return step.produced
    }

    /// The original size; `nil` for anything malformed, trailing bytes, or more than `output` and
    /// ``largestDatagram`` allow.
    public func decompressDatagram(
        _ input: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) -> Int? {
        var allowance = InflationAllowance()
        return self.decompressDatagram(input, into: output, within: &allowance)
    }

    /// The same for a flow whose datagrams may unfold to so much in all; whatever comes out is
    /// charged, of damaged datagrams too.
    ///
    /// The allowance is overdrawn by one byte where `nil` means that there was more to come than it
    /// had left.
    public func decompressDatagram(
        _ input: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer,
        within allowance: inout InflationAllowance
    ) -> Int? {
        let most = min(output.count, Self.largestDatagram)
        // One byte more tells a datagram that is too large from one that just fits.
        let room = min(most, max(0, allowance.byteCount) + 1)
        guard room > 0, !input.isEmpty else { return nil }
        self.inflateStream.resetInflate()
        let step = self.inflateStream.inflate(
            input,
            into: UnsafeMutableRawBufferPointer(rebasing: output[..<room]),
            flush: Z_FINISH
        )
        allowance.spend(step.produced)
        guard !allowance.isOverdrawn, step.status == Z_STREAM_END, step.consumed == input.count
        else { return nil }
        return step.produced
    }
}
