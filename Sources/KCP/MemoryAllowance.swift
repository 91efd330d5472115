/// By how many bytes of memory one direction of a conversation may grow now.
///
/// What it keeps whatever is held elsewhere (``HostedReceiver/reserve``, ``HostedSender/reserve``)
/// is not asked for.
@frozen
public struct MemoryAllowance: Sendable {
    /// The most that a conversation holds without having to ask for ``large`` growth, in bytes: its
    /// first window, and a few records.
    public static let smallByteCount = 65_536 + 4096

    /// For growth up to ``smallByteCount``; may be negative.
    public var small: Int
    /// For growth beyond it; may be negative.
    public var large: Int

    /// An allowance of so many bytes of growth, small and large.
    @inlinable
    public init(small: Int, large: Int) {
        self.small = small
        self.large = large
    }

    /// Whatever it asks for: for tests, and where nobody keeps account.
    public static let unbounded = Self(small: .max, large: .max)
    /// Not a byte more than is reserved.
    public static let none = Self(small: 0, large: 0)

    /// Whether memory may become `count` bytes, which is `growth` more than it was.
    public func permits(_ count: Int, growth: Int) -> Bool {
        growth <= 0 || growth <= (count <= Self.smallByteCount ? self.small : self.large)
    }
}
