import Primitives
import Sealing

extension KeyEncapsulation {
    /// Behaves like ML-KEM-768 and hides nothing: it draws from a seed, so that one seed gives one
    /// history, and takes next to no time.
    static func standIn(seed: UInt64) -> Self {
        let source = StandInSource(seed: seed)
        return Self(
            generate: { StandInKey(publicKey: source.bytes(Self.publicKeyByteCount)) },
            encapsulate: { publicKey, ciphertext, secret in
                ciphertext.copyBytes(from: source.bytes(Self.ciphertextByteCount))
                secret.copyBytes(from: StandInKey.secret(publicKey, .init(ciphertext)))
                return true
            }
        )
    }
}

/// One world's, which one thread runs.
private final class StandInSource: @unchecked Sendable {
    private var generator: SeededGenerator

    init(seed: UInt64) { self.generator = SeededGenerator(seed: seed) }

    func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: self.generator.next()) }
    }
}

private final class StandInKey: DecapsulationKey {
    let publicKey: [UInt8]

    init(publicKey: [UInt8]) { self.publicKey = publicKey }

    func decapsulate(
        _ ciphertext: UnsafeRawBufferPointer,
        to secret: UnsafeMutableRawBufferPointer
    ) -> Bool {
        self.publicKey.withUnsafeBytes { secret.copyBytes(from: Self.secret($0, ciphertext)) }
        return true
    }

    /// Depends on every byte of both.
    static func secret(
        _ publicKey: UnsafeRawBufferPointer,
        _ ciphertext: UnsafeRawBufferPointer
    ) -> [UInt8] {
        var sum: UInt64 = 0xCBF2_9CE4_8422_2325
        for part in [publicKey, ciphertext] {
            for byte in part { sum = (sum ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        }
        var generator = SeededGenerator(seed: sum)
        return (0..<KeyEncapsulation.secretByteCount).map { _ in
            UInt8(truncatingIfNeeded: generator.next())
        }
    }
}
