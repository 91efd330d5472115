import CSodium
public import Primitives

/// A secret that a client and its server share beforehand, mixed into every handshake of the two.
///
/// Like ``SecretKey`` it exists once, cannot be printed, and is wiped when its last owner lets go.
/// Equal if the bytes are, which takes the same time whatever they are.
public final class PresharedKey: @unchecked Sendable, Hashable, CustomStringConvertible,
    CustomDebugStringConvertible, CustomReflectable
{
    /// Bytes of a preshared key, as Noise's `psk` modifier wants them.
    public static let byteCount = 32

    private let memory: GuardedMemory

    /// A new key out of `entropy`.
    public convenience init(entropy: EntropySource) {
        let memory = GuardedMemory(byteCount: Self.byteCount)
        entropy.fill(UnsafeMutableRawBufferPointer(start: memory.base, count: Self.byteCount))
        self.init(owning: memory)
    }

    /// Reads a key file: blank lines, comment lines starting with `#`, and one key, either labelled
    /// `FAIRLEAD-PRESHARED-KEY:` or bare as `wg genpsk` writes it.
    public convenience init(keyFileText: String) throws(KeyFileError) {
        let (key, line) = try KeyText.read(keyFileText, .preshared)
        guard sodium_is_zero(key.base.bytes, Self.byteCount) == 0 else { throw .zeros(line: line) }
        self.init(owning: key)
    }

    private init(owning memory: GuardedMemory) {
        memory.makeReadOnly()
        self.memory = memory
    }

    /// The text of a new key file.
    ///
    /// `created` is a date for human eyes.
    ///
    /// The result is an ordinary string, which nobody wipes: for `keygen` only.
    public func keyFileText(created: String) -> String {
        let key = Base64Key.encode(UnsafeRawBufferPointer(start: self.base, count: Self.byteCount))
        return """
            # created: \(created)
            \(KeyKind.preshared.label)\(key)

            """
    }

    /// Never anything but a placeholder, in every way Swift knows to print a value.
    public var description: String { "<preshared>" }
    /// The placeholder of ``description``.
    public var debugDescription: String { "<preshared>" }
    /// A mirror without children, so that `dump` shows no bytes.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }

    public static func == (a: PresharedKey, b: PresharedKey) -> Bool {
        a === b || sodium_memcmp(a.base, b.base, Self.byteCount) == 0
    }

    /// Mixes in nothing: no table is to depend on a secret.
    public func hash(into hasher: inout Hasher) {}

    /// The 32 bytes, for arithmetic inside this module only.
    var base: UnsafeRawPointer { UnsafeRawPointer(self.memory.base) }
}
