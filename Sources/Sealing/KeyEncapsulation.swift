/// Whether an end strengthens the keys of its handshakes by a post-quantum exchange.
public enum PostQuantumPolicy: UInt8, Sendable, CaseIterable {
    /// Never: the keys rest on X25519 and the preshared key.
    case off
    /// Wherever the peer does it too.
    case prefer
    /// Always: there is no session with a peer that does not, and its bytes wait until it is done.
    case require
}

/// ML-KEM-768 (FIPS 203), from outside: it draws random bytes, and this module draws none.
public struct KeyEncapsulation: Sendable {
    /// Bytes of an ML-KEM-768 encapsulation key (FIPS 203, table 3).
    public static let publicKeyByteCount = 1184
    /// Bytes of an ML-KEM-768 ciphertext.
    public static let ciphertextByteCount = 1088
    /// Bytes of the shared secret.
    public static let secretByteCount = 32

    /// A new key pair.
    public let generate: @Sendable () -> any DecapsulationKey
    /// Makes a secret for the holder of a public key; false if that is none.
    ///
    /// Given the public key, room for the ciphertext, and room for the secret.
    public let encapsulate:
        @Sendable (
            UnsafeRawBufferPointer, UnsafeMutableRawBufferPointer, UnsafeMutableRawBufferPointer
        ) -> Bool

    /// An implementation out of its two functions, which any thread may call.
    public init(
        generate: @escaping @Sendable () -> any DecapsulationKey,
        encapsulate:
            @escaping @Sendable (
                UnsafeRawBufferPointer, UnsafeMutableRawBufferPointer, UnsafeMutableRawBufferPointer
            ) -> Bool
    ) {
        self.generate = generate
        self.encapsulate = encapsulate
    }
}

/// The secret half of a key pair of ``KeyEncapsulation``.
public protocol DecapsulationKey: AnyObject {
    /// 1184 bytes.
    var publicKey: [UInt8] { get }

    /// Writes the secret in `ciphertext` to `secret`; false if the library fails.
    ///
    /// A ciphertext that was tampered with gives another secret, and no error.
    func decapsulate(
        _ ciphertext: UnsafeRawBufferPointer,
        to secret: UnsafeMutableRawBufferPointer
    ) -> Bool
}
