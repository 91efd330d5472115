import CSodium
public import Primitives

/// A Curve25519 private key that exists once, cannot be printed, and is wiped when its last owner
/// lets go.
///
/// The bytes live in read-only guarded memory. Immutable, so several workers may share one.
public final class SecretKey: @unchecked Sendable, CustomStringConvertible,
    CustomDebugStringConvertible, CustomReflectable
{
    /// Bytes of a private key (RFC 7748 §5).
    public static let byteCount = 32

    /// The key that belongs to this one, computed once.
    public let publicKey: PublicKey
    private let memory: GuardedMemory

    /// A new key out of `entropy`, clamped as RFC 7748 §5 and `wg genkey` do.
    public convenience init(entropy: EntropySource) {
        let memory = GuardedMemory(byteCount: Self.byteCount)
        entropy.fill(UnsafeMutableRawBufferPointer(start: memory.base, count: Self.byteCount))
        memory.base.bytes[0] &= 248
        memory.base.bytes[31] = memory.base.bytes[31] & 127 | 64
        self.init(owning: memory)
    }

    /// Copies exactly 32 bytes; `nil` for any other number.
    ///
    /// The caller wipes the original.
    public convenience init?(bytes: UnsafeRawBufferPointer) {
        guard bytes.count == Self.byteCount else { return nil }
        let memory = GuardedMemory(byteCount: Self.byteCount)
        UnsafeMutableRawBufferPointer(start: memory.base, count: Self.byteCount)
            .copyMemory(from: bytes)
        self.init(owning: memory)
    }

    init(owning memory: GuardedMemory) {
        var point: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        withUnsafeMutablePointer(to: &point) { point in
            _ = crypto_scalarmult_base(UnsafeMutableRawPointer(point).bytes, memory.base.bytes)
        }
        self.publicKey = withUnsafeBytes(of: &point) { PublicKey(bytes: $0) }
        memory.makeReadOnly()
        self.memory = memory
    }

    /// Never anything but a placeholder, in every way Swift knows to print a value.
    public var description: String { "<secret>" }
    /// The placeholder of ``description``.
    public var debugDescription: String { "<secret>" }
    /// A mirror without children, so that `dump` shows no bytes.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }

    /// The 32 bytes, for arithmetic inside this module only.
    var base: UnsafeRawPointer { UnsafeRawPointer(self.memory.base) }
}
