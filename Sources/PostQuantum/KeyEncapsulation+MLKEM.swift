import Crypto
public import Sealing

extension KeyEncapsulation {
    /// ML-KEM-768 of swift-crypto, which is BoringSSL's.
    public static let mlKEM768 = unsafe KeyEncapsulation(
        generate: {
            guard let key = try? MLKEM768.PrivateKey.generate() else {
                preconditionFailure("no memory for a key pair")
            }
            return MLKEMKey(key)
        },
        encapsulate: { publicKey, ciphertext, secret in
            guard let key = unsafe try? MLKEM768.PublicKey(rawRepresentation: publicKey),
                let made = try? key.encapsulate(),
                made.encapsulated.count == ciphertext.count
            else { return false }
            unsafe ciphertext.copyBytes(from: made.encapsulated)
            return unsafe made.sharedSecret.copy(to: secret)
        }
    )
}

/// A key pair of ML-KEM-768.
final class MLKEMKey: DecapsulationKey {
    let publicKey: [UInt8]
    private let key: MLKEM768.PrivateKey

    init(_ key: MLKEM768.PrivateKey) {
        self.key = key
        self.publicKey = [UInt8](key.publicKey.rawRepresentation)
    }

    func decapsulate(
        _ ciphertext: UnsafeRawBufferPointer,
        to secret: UnsafeMutableRawBufferPointer
    ) -> Bool {
        guard let made = unsafe try? self.key.decapsulate(ciphertext) else { return false }
        return unsafe made.copy(to: secret)
    }
}

extension SymmetricKey {
    fileprivate func copy(to target: UnsafeMutableRawBufferPointer) -> Bool {
        unsafe self.withUnsafeBytes { bytes in
            guard bytes.count == target.count else { return false }
            unsafe target.copyMemory(from: bytes)
            return true
        }
    }
}
