/// Turns framed blocks, arriving in pieces of any size, back into the bytes of one direction.
///
/// Buffers nothing but a block header; the inflater (about 16 KiB) is made when the first deflated
/// block arrives. Hostile input sets ``isCorrupt`` and nothing else.
public final class CompressedStreamReader {
    /// Why nothing more comes out of a stream.
    public enum Fault: Sendable {
        /// The bytes are not what they claim to be.
        case corrupt
        /// A deflated block came where nothing may be inflated.
        case forbidden
        /// More came out than ``InflationAllowance`` lets come out of what went in.
        case excessive
    }

    /// Once set it stays set and nothing more comes out: reset the stream.
    public private(set) var fault: Fault?
    /// Whether ``fault`` is set, whatever it is.
    public var isCorrupt: Bool { self.fault != nil }
    /// False lets only stored blocks pass.
    public var mayInflate = true

    private var allowance = InflationAllowance()
    private var inflater: StreamInflater?
    private var header: (UInt8, UInt8, UInt8) = (0, 0, 0)
    private var headerCount = 0
    private var remaining = 0
    /// The last step filled the room given, so that the inflater may hold more.
    private var mayHoldMore = false

    /// Bytes of memory that one may come to hold, nearly.
    public static let memoryByteCount = 20_480

    /// A reader at the beginning of a direction, which may inflate.
    public init() {}

    /// Whether the input so far ends with a whole block, as a clean end of stream does.
    public var isBetweenBlocks: Bool {
        self.headerCount == 0 && self.remaining == 0 && !self.mayHoldMore
    }

    /// Decodes a prefix of `input` into at most `output.count` bytes.
    ///
    /// While it fills `output` to its end there may be more: call again, with no input if need be.
    public func read(
        _ input: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) -> (consumed: Int, produced: Int, isCorrupt: Bool) {
        var consumed = 0
        var produced = 0
        while !self.isCorrupt {
            let rest = UnsafeRawBufferPointer(rebasing: input[consumed...])
            let room = UnsafeMutableRawBufferPointer(rebasing: output[produced...])
            guard self.remaining > 0 || self.mayHoldMore else {
                guard let byte = rest.first else { break }
                self.takeHeader(byte)
                self.allowance.earn(1)
                consumed += 1
                continue
            }
            guard !room.isEmpty else { break }
            let step =
                self.header.0 == BlockFormat.stored
                ? self.copy(rest, into: room) : self.inflate(rest, into: room)
            consumed += step.consumed
            produced += step.produced
            if step.consumed == 0 && step.produced == 0 && !self.isCorrupt
                && (rest.isEmpty || self.remaining > 0)
            {
                break
            }
        }
        return (consumed, produced, self.isCorrupt)
    }

    private func takeHeader(_ byte: UInt8) {
        switch self.headerCount {
        case 0: self.header.0 = byte
        case 1: self.header.1 = byte
        default: self.header.2 = byte
        }
        self.headerCount += 1
        guard self.headerCount == BlockFormat.headerByteCount else { return }
        self.headerCount = 0
        self.remaining = Int(self.header.1) | Int(self.header.2) << 8
        if self.remaining == 0 || self.header.0 > BlockFormat.deflated {
            self.fault = .corrupt
        } else if self.header.0 == BlockFormat.deflated, !self.mayInflate {
            self.fault = .forbidden
        }
    }

    private func copy(
        _ input: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) -> (consumed: Int, produced: Int) {
        let count = min(self.remaining, input.count, output.count)
        output.copyMemory(from: UnsafeRawBufferPointer(rebasing: input[..<count]))
        self.remaining -= count
        self.allowance.earn(count)
        return (count, count)
    }

    private func inflate(
        _ input: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) -> (consumed: Int, produced: Int) {
        let inflater = self.inflater ?? StreamInflater()
        self.inflater = inflater
        let offered = min(self.remaining, input.count)
        // No step makes more than what is seen to be too much afterwards.
        let room = min(output.count, InflationAllowance.burst)
        let step = inflater.decompress(
            UnsafeRawBufferPointer(rebasing: input[..<offered]),
            into: UnsafeMutableRawBufferPointer(rebasing: output[..<room])
        )
        self.remaining -= step.consumed
        self.mayHoldMore = step.produced == room
        self.allowance.earn(step.consumed)
        self.allowance.spend(step.produced)
        if self.allowance.isOverdrawn { self.fault = .excessive }
        if step.isCorrupt { self.fault = .corrupt }
        return (step.consumed, step.produced)
    }
}
