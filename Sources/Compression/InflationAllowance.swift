/// How many bytes compressed input may still become (docs/PROTOCOL.md, "Compression").
///
/// Each byte of input is worth ``ratio`` bytes of output, and no more than ``burst`` are saved up;
/// a stream or flow begins with those. So the work that a byte of a hostile peer causes is bounded,
/// where deflate by itself makes 1,032 bytes of one. Text and telemetry shrink to a tenth, and what
/// would shrink further than to 1/32 is hardly smaller for it: a sender stores some of it instead.
public struct InflationAllowance: Sendable {
    /// Bytes of output for each byte of input.
    public static let ratio = 32
    /// Bytes of output that are saved up at most: one datagram of the largest size fits.
    public static let burst = 65_536

    private let burst: Int
    /// Bytes of output that are left; below zero once too much came out.
    public private(set) var byteCount: Int

    /// An allowance that begins with all of `burst` and never saves up more.
    public init(burst: Int = Self.burst) {
        self.burst = burst
        self.byteCount = burst
    }

    /// Whether more came out than went in allows: reset the stream, or drop the datagram.
    public var isOverdrawn: Bool { self.byteCount < 0 }

    /// Takes note of `count` bytes of input, their framing included.
    public mutating func earn(_ count: Int) {
        self.byteCount = min(self.burst, self.byteCount + Self.ratio * count)
    }

    /// Takes note of `count` bytes of output.
    public mutating func spend(_ count: Int) { self.byteCount -= count }
}
