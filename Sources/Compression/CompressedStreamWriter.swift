/// The framing of a compressed direction: `u8 kind | u16 length (little endian) | bytes`.
///
/// All deflated blocks of a direction are pieces of one raw deflate stream, cut anywhere; stored
/// blocks lie between them and are no part of it. A length of zero is malformed.
enum BlockFormat {
    static let headerByteCount = 3
    static let largestBlock = 65535
    static let stored: UInt8 = 0
    static let deflated: UInt8 = 1

    static func writeHeader(_ kind: UInt8, _ count: Int, to output: UnsafeMutableRawBufferPointer) {
        output[0] = kind
        output[1] = UInt8(truncatingIfNeeded: count)
        output[2] = UInt8(truncatingIfNeeded: count >> 8)
    }
}

/// Turns the bytes of one direction into framed blocks, compressed for as long as that pays.
///
/// While compression runs it owns one ``StreamDeflater`` of about 100 KiB, afterwards nothing.
public final class CompressedStreamWriter {
    /// With less room than this nothing is written.
    public static let leastRoom = 32

    /// What a reader saves up for us, as far as we rely on it.
    ///
    /// What would unfold to more than its allowance is stored for a while. Half of the burst is
    /// enough, and leaves the other half for what was taken and has not come out yet.
    private static let burst = InflationAllowance.burst / 2
    /// With less allowance than this a deflated block is not worth its header.
    private static let leastAllowance = 4096
    /// Stored at once to earn an allowance.
    private static let storedStep = 512

    private var probe = CompressionProbe()
    private var deflater: StreamDeflater?
    private var isUnflushed = false
    private var allowance = InflationAllowance(burst: burst)

    /// False stores everything, for a peer that expects the framing and may not be sent anything
    /// deflated, or not yet.
    public var mayCompress: Bool

    /// A writer at the beginning of a direction; the deflater is made when it is first needed.
    public init(mayCompress: Bool = true) { self.mayCompress = mayCompress }

    /// Whether it compresses; false, too, once it was found not to pay.
    public var isCompressing: Bool { self.mayCompress && self.probe.isPaying || self.isUnflushed }

    /// Bytes of memory it holds now.
    public var memoryByteCount: Int { self.deflater == nil ? 0 : StreamDeflater.memoryByteCount }

    /// Compresses nothing, unless it has begun to.
    public func refrain() {
        if self.deflater == nil { self.mayCompress = false }
    }

    /// Whether bytes were taken that have not come out yet: ask again with `flush` and more room.
    public var holdsBack: Bool { self.isUnflushed }

    /// Frames a prefix of `input` into `output`.
    ///
    /// Pass `flush` whenever the source pauses: then everything taken comes out, as far as there is
    /// room; ``holdsBack`` says whether a further call, with no input if need be, is necessary.
    /// Incompressible input grows by three bytes per 64 KiB or call, whichever comes more often.
    public func write(
        _ input: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer,
        flush: Bool
    ) -> (consumed: Int, produced: Int) {
        var consumed = 0
        var produced = 0
        self.probe.inspect(input)
        while output.count - produced >= Self.leastRoom {
            let rest = UnsafeRawBufferPointer(rebasing: input[consumed...])
            let room = UnsafeMutableRawBufferPointer(rebasing: output[produced...])
            let step: (consumed: Int, produced: Int)
            if !self.isCompressing {
                self.deflater = nil
                step = self.store(rest, into: room)
            } else if self.allowance.byteCount < min(rest.count, Self.leastAllowance),
                !self.isUnflushed
            {
                step = self.store(
                    UnsafeRawBufferPointer(rebasing: rest.prefix(Self.storedStep)),
                    into: room
                )
            } else {
                step = self.deflate(rest, into: room, flush: flush)
            }
            self.allowance.earn(step.produced)
            guard step.consumed > 0 || step.produced > 0 else { break }
            consumed += step.consumed
            produced += step.produced
        }
        return (consumed, produced)
    }

    private func store(
        _ input: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) -> (consumed: Int, produced: Int) {
        let header = BlockFormat.headerByteCount
        let count = min(input.count, output.count - header, BlockFormat.largestBlock)
        guard count > 0 else { return (0, 0) }
        BlockFormat.writeHeader(BlockFormat.stored, count, to: output)
        UnsafeMutableRawBufferPointer(rebasing: output[header...])
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: input[..<count]))
        return (count, header + count)
    }

    /// One block of the deflate stream, ending where the next decision is due.
    private func deflate(
        _ input: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer,
        flush: Bool
    ) -> (consumed: Int, produced: Int) {
        let untilDecision = self.probe.isPaying ? self.probe.bytesUntilDecision : 0
        let allowed = min(untilDecision, self.allowance.byteCount)
        let offered = min(input.count, allowed)
        let flushes = offered == allowed || (flush && offered == input.count)
        guard offered > 0 || (flushes && self.isUnflushed) else { return (0, 0) }

        let header = BlockFormat.headerByteCount
        let room = min(output.count - header, BlockFormat.largestBlock)
        let deflater = self.deflater ?? StreamDeflater()
        self.deflater = deflater
        let step = deflater.compress(
            UnsafeRawBufferPointer(rebasing: input[..<offered]),
            into: UnsafeMutableRawBufferPointer(rebasing: output[header..<(header + room)]),
            flush: flushes
        )
        let produced = step.produced > 0 ? header + step.produced : 0
        if produced > 0 { BlockFormat.writeHeader(BlockFormat.deflated, step.produced, to: output) }

        self.isUnflushed = !(flushes && step.consumed == offered && step.produced < room)
        self.allowance.spend(step.consumed)
        self.probe.record(taken: step.consumed, produced: produced)
        if self.probe.isPaying, self.probe.bytesUntilDecision == 0, !self.isUnflushed {
            self.probe.decide()
        }
        return (step.consumed, produced)
    }
}
