import PostQuantum
import Sealing

/// The post-quantum exchange of one handshake.
enum Mechanism {
    /// Nanoseconds of a key pair, an encapsulation and a decapsulation, the best of 15 runs each.
    static func times() -> (keyPair: Double, encapsulation: Double, decapsulation: Double) {
        let mechanism = KeyEncapsulation.mlKEM768
        let key = mechanism.generate()
        let sizes = (KeyEncapsulation.ciphertextByteCount, KeyEncapsulation.secretByteCount)
        let ciphertext = UnsafeMutableRawBufferPointer.allocate(byteCount: sizes.0, alignment: 16)
        let secret = UnsafeMutableRawBufferPointer.allocate(byteCount: sizes.1, alignment: 16)
        defer {
            ciphertext.deallocate()
            secret.deallocate()
        }
        let keyPair = Block.best(calls: 200) { _ in
            precondition(mechanism.generate().publicKey.count > 0)
        }
        let encapsulation = key.publicKey.withUnsafeBytes { publicKey in
            Block.best(calls: 200) { _ in
                precondition(mechanism.encapsulate(publicKey, ciphertext, secret))
            }
        }
        let decapsulation = Block.best(calls: 200) { _ in
            precondition(key.decapsulate(UnsafeRawBufferPointer(ciphertext), to: secret))
        }
        return (keyPair, encapsulation, decapsulation)
    }
}
