import CSodium

/// What a handshake leaves behind so that stronger keys can be made of it: its chaining key.
///
/// Lies in guarded memory and is wiped when its owner lets go. Belongs to one thread.
public final class RatchetSecret {
    /// Keys that nobody has who does not know both secrets.
    public struct Strengthened {
        /// The keys to use in place of the handshake's, with the same packet numbers.
        public let keys: TransportKeys
        /// Shows whoever has the same keys that this end has them.
        public let confirmation: [UInt8]
    }

    /// Bytes of a confirmation, behind the ciphertext in PQ_ANSWER (PROTOCOL.md, section 5).
    public static let confirmationByteCount = 16

    private let arena: KeyArena
    private let mask: HeaderMask
    private let cipher: Cipher
    private let isInitiator: Bool
    private let slot: UnsafeMutableRawPointer

    private static let hash = 64

    init(of noise: NoiseSession, cipher: Cipher, arena: KeyArena, mask: HeaderMask) {
        self.arena = arena
        self.mask = mask
        self.cipher = cipher
        self.isInitiator = noise.isInitiator
        self.slot = arena.take()
        self.slot.copyMemory(from: noise.at(NoiseSession.Field.chainingKey), byteCount: 64)
        (self.slot + Self.hash)
            .copyMemory(from: noise.at(NoiseSession.Field.hash), byteCount: 64)
    }

    deinit { self.arena.giveBack(self.slot) }

    /// Answers the client's public key: writes the ciphertext for it and makes the keys; `nil` if
    /// it is no public key.
    public func answer(
        _ publicKey: UnsafeRawBufferPointer,
        by mechanism: KeyEncapsulation,
        ciphertext: UnsafeMutableRawBufferPointer
    ) -> Strengthened? {
        precondition(publicKey.count == KeyEncapsulation.publicKeyByteCount)
        precondition(ciphertext.count == KeyEncapsulation.ciphertextByteCount)
        let noise = NoiseSession()
        guard mechanism.encapsulate(publicKey, ciphertext, noise.ratchetSecret) else { return nil }
        return self.strengthen(noise, publicKey, UnsafeRawBufferPointer(ciphertext))
    }

    /// Takes the server's answer; `nil` if it was not made for this handshake and `key`.
    public func finish(
        _ key: any DecapsulationKey,
        ciphertext: UnsafeRawBufferPointer,
        confirmation: UnsafeRawBufferPointer
    ) -> TransportKeys? {
        precondition(confirmation.count == Self.confirmationByteCount)
        let noise = NoiseSession()
        guard key.decapsulate(ciphertext, to: noise.ratchetSecret) else { return nil }
        let made = key.publicKey.withUnsafeBytes { self.strengthen(noise, $0, ciphertext) }
        guard let theirs = confirmation.baseAddress,
            sodium_memcmp(made.confirmation, theirs, Self.confirmationByteCount) == 0
        else { return nil }
        return made.keys
    }

    /// `HKDF(chaining key, secret ‖ BLAKE2b-512("fairlead/1 pq" ‖ h ‖ public key ‖ ciphertext))`,
    /// three outputs: the confirmation and the two keys.
    private func strengthen(
        _ noise: NoiseSession,
        _ publicKey: UnsafeRawBufferPointer,
        _ ciphertext: UnsafeRawBufferPointer
    ) -> Strengthened {
        typealias Field = NoiseSession.Field
        noise.at(Field.chainingKey).copyMemory(from: self.slot, byteCount: 64)
        let transcript = noise.ratchetSecret.count
        let material = noise.at(Field.saved)
        let state = OpaquePointer(noise.at(Field.state))
        let label = Array("\(Layout.protocolName) pq".utf8)
        crypto_generichash_init(state, nil, 0, 64)
        crypto_generichash_update(state, label, UInt64(label.count))
        crypto_generichash_update(state, (self.slot + Self.hash).bytes, 64)
        for part in [publicKey, ciphertext] {
            guard let base = part.baseAddress else { continue }
            crypto_generichash_update(state, base.bytes, UInt64(part.count))
        }
        crypto_generichash_final(state, (material + transcript).bytes, 64)
        noise.hkdf(material, transcript + 64, outputs: 3)
        let forward = UnsafeRawPointer(noise.at(Field.output2))
        let backward = UnsafeRawPointer(noise.at(Field.output3))
        let keys = TransportKeys(
            cipher: self.cipher,
            sending: self.isInitiator ? forward : backward,
            receiving: self.isInitiator ? backward : forward,
            isInitiator: self.isInitiator,
            arena: self.arena,
            mask: self.mask
        )
        let confirmation = UnsafeRawBufferPointer(
            start: noise.at(Field.output1),
            count: Self.confirmationByteCount
        )
        return Strengthened(keys: keys, confirmation: [UInt8](confirmation))
    }
}

extension NoiseSession {
    /// Where the secret of the exchange stands, the transcript's hash right behind it.
    fileprivate var ratchetSecret: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            start: self.at(Field.saved),
            count: KeyEncapsulation.secretByteCount
        )
    }
}
