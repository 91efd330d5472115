/// Decides, for one direction of a stream, whether compressing it pays; it stops at most once.
///
/// Two questions are asked. What the stream begins with: ciphertext (TLS, SSH) and files that are
/// compressed already never pay. And what was saved: less than 5 % over the first 16 KiB, or over
/// any 256 KiB later, ends compression for good, so that a stream which does not benefit costs
/// one attempt and no memory afterwards.
public struct CompressionProbe: Sendable {
    /// The share that must be saved, as "one part in".
    private static let leastSaving = 20
    private static let firstTrial = 16 << 10
    private static let laterTrial = 256 << 10

    /// Whether to compress what comes next; once false, it stays false.
    public private(set) var isPaying = true
    private var trial = Self.firstTrial
    private var taken = 0
    private var produced = 0
    private var head: (UInt64, UInt64) = (0, 0)
    private var headCount = 0

    /// A probe of a stream of which nothing is known; with `isPaying` false it is decided.
    public init(isPaying: Bool = true) { self.isPaying = isPaying }

    /// How many bytes may be compressed before ``decide()`` is due.
    public var bytesUntilDecision: Int { max(0, self.trial - self.taken) }

    /// Looks at the beginning of the stream, given in pieces of any size.
    public mutating func inspect(_ input: UnsafeRawBufferPointer) {
        guard self.isPaying, self.headCount < 16 else { return }
        withUnsafeMutableBytes(of: &self.head) { head in
            for byte in input.prefix(16 - self.headCount) {
                head[self.headCount] = byte
                self.headCount += 1
            }
        }
        let isDense = withUnsafeBytes(of: self.head) { head in
            Self.isDense(UnsafeRawBufferPointer(rebasing: head[..<self.headCount]))
        }
        if isDense { self.isPaying = false }
    }

    /// Takes note that `taken` bytes became `produced`, framing included.
    public mutating func record(taken: Int, produced: Int) {
        self.taken += taken
        self.produced += produced
    }

    /// Judges the trial that ends here; everything taken must have been flushed.
    public mutating func decide() {
        if self.produced > self.taken - self.taken / Self.leastSaving { self.isPaying = false }
        self.trial = Self.laterTrial
        self.taken = 0
        self.produced = 0
    }

    /// Whether the bytes begin as something that cannot be compressed any further.
    static func isDense(_ head: UnsafeRawBufferPointer) -> Bool {
        guard head.count >= 3 else { return false }
        // TLS records (RFC 8446 §5.1): handshake, alert or data, and a version 3.x.
        if (0x14...0x17).contains(head[0]), head[1] == 3, head[2] <= 4 { return true }
        for signature in Self.signatures where signature.matches(head) { return true }
        return false
    }

    private struct Signature: Sendable {
        var bits: UInt64
        var count: Int
        var offset: Int = 0

        func matches(_ head: UnsafeRawBufferPointer) -> Bool {
            guard head.count >= self.offset + self.count else { return false }
            var seen: UInt64 = 0
            for index in 0..<self.count { seen = seen << 8 | UInt64(head[self.offset + index]) }
            return seen == self.bits
        }
    }

    private static let signatures: [Signature] = [
        Signature(bits: 0x5353_482D, count: 4),  // SSH-
        Signature(bits: 0x1F8B_08, count: 3),  // gzip
        Signature(bits: 0x504B_0304, count: 4),  // zip, jar, docx
        Signature(bits: 0x28B5_2FFD, count: 4),  // zstd
        Signature(bits: 0xFD37_7A58_5A00, count: 6),  // xz
        Signature(bits: 0x377A_BCAF_271C, count: 6),  // 7z
        Signature(bits: 0x425A_68, count: 3),  // bzip2
        Signature(bits: 0x8950_4E47, count: 4),  // PNG
        Signature(bits: 0xFFD8_FF, count: 3),  // JPEG
        Signature(bits: 0x6674_7970, count: 4, offset: 4),  // MP4
        Signature(bits: 0x1A45_DFA3, count: 4),  // Matroska, WebM
        Signature(bits: 0x4F67_6753, count: 4),  // Ogg
    ]
}
