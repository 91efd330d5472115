import CSodium

/// The two keys one handshake made: one seals what we send, one opens what the peer sends.
///
/// Belongs to one thread. The keys lie in guarded memory and are wiped when the last owner lets go.
/// Sealing and opening allocate nothing.
public final class TransportKeys {
    /// What seals and opens under these keys.
    public let cipher: Cipher
    /// Packets that came under this key and were not authentic.
    public private(set) var openFailures: UInt64 = 0
    /// The lowest counter that may still seal: every nonce is used once.
    public private(set) var nextCounter: UInt64 = 0
    /// Packets sealed under these keys, whatever counter they began with.
    public internal(set) var sealedCount: UInt64 = 0

    private let arena: KeyArena
    private let mask: HeaderMask
    private let headerKey: UnsafeRawPointer
    private let slot: UnsafeMutableRawPointer
    private let sealLimit: UInt64
    private let openFailureLimit: UInt64

    private static let sendingKey = 0
    private static let receivingKey = 512
    private static let sendingNonce = 1024
    private static let receivingNonce = 1040

    /// `sending` and `receiving` are Noise's two keys of 32 bytes, still the caller's to wipe.
    init(
        cipher: Cipher,
        sending: UnsafeRawPointer,
        receiving: UnsafeRawPointer,
        isInitiator: Bool,
        arena: KeyArena,
        mask: HeaderMask
    ) {
        precondition(MemoryLayout<crypto_aead_aes256gcm_state>.size == 512)
        self.cipher = cipher
        self.arena = arena
        self.mask = mask
        self.headerKey = mask.headerKey
        self.slot = arena.take()
        self.sealLimit = cipher.sealLimit
        self.openFailureLimit = cipher.openFailureLimit
        self.install(sending, isForward: isInitiator, at: self.slot + Self.sendingKey)
        self.install(receiving, isForward: !isInitiator, at: self.slot + Self.receivingKey)
    }

    deinit { self.arena.giveBack(self.slot) }

    /// A key is bound to its cipher and direction, so that no key can ever serve two ciphers.
    private func install(
        _ key: UnsafeRawPointer,
        isForward: Bool,
        at target: UnsafeMutableRawPointer
    ) {
        let direction = isForward ? "i2r" : "r2i"
        let label = Array("\(Layout.protocolName) \(self.cipher.label) \(direction)".utf8)
        // The derived key is built in the other end of the slot's own guarded memory.
        let derived = self.slot + Self.sendingNonce
        crypto_generichash(derived.bytes, 32, label, UInt64(label.count), key.bytes, 32)
        switch self.cipher {
        case .chacha20Poly1305:
            target.copyMemory(from: derived, byteCount: 32)
        case .aes256GCM:
            _ = crypto_aead_aes256gcm_beforenm(
                target.assumingMemoryBound(to: crypto_aead_aes256gcm_state.self),
                derived.bytes
            )
        }
        sodium_memzero(derived, 32)
    }

    /// Whether the key has sealed or rejected as much as its cipher allows: it must not be used.
    public var isExhausted: Bool {
        self.sealedCount >= self.sealLimit || self.openFailures >= self.openFailureLimit
    }

    /// Whether the key has sealed so many packets that a new handshake should start.
    public var needsRekey: Bool { self.sealedCount >= KeyLifetime.rekeyAfterPackets }

    /// Seals in place and masks the header.
    ///
    /// `packet` has room for 12 + `plaintextByteCount` + 16 bytes, with the plaintext at offset 12.
    /// `counter` must be larger than at every call before, and the key not ``isExhausted``: a nonce
    /// used twice would reveal the key, so that is a crash.
    public func seal(
        _ packet: UnsafeMutableRawPointer,
        plaintextByteCount: Int,
        receiverIndex: UInt32,
        counter: UInt64
    ) {
        precondition(counter >= self.nextCounter && counter <= RecordHeader.maximumCounter)
        precondition(self.sealedCount < self.sealLimit)
        self.nextCounter = counter + 1
        self.sealedCount += 1
        let type = RecordType.data.rawValue
        RecordHeader(receiverIndex: receiverIndex, counter: counter, type: type).write(to: packet)
        let nonce = self.slot + Self.sendingNonce
        nonce.storeBytes(of: counter.littleEndian, toByteOffset: 4, as: UInt64.self)
        let text = (packet + RecordHeader.byteCount).bytes
        let key = self.slot + Self.sendingKey
        let length = UInt64(plaintextByteCount)
        switch self.cipher {
        case .chacha20Poly1305:
            crypto_aead_chacha20poly1305_ietf_encrypt(
                text,
                nil,
                text,
                length,
                packet.bytes,
                12,
                nil,
                nonce.bytes,
                key.bytes
            )
        case .aes256GCM:
            crypto_aead_aes256gcm_encrypt_afternm(
                text,
                nil,
                text,
                length,
                packet.bytes,
                12,
                nil,
                nonce.bytes,
                key.assumingMemoryBound(to: crypto_aead_aes256gcm_state.self)
            )
        }
        let byteCount = plaintextByteCount + RecordHeader.overhead
        HeaderMask.apply(key: self.headerKey, to: packet, byteCount: byteCount)
    }

    /// Opens in place a packet whose header is unmasked; on success the plaintext is at offset 12,
    /// `packet.count - 28` bytes.
    ///
    /// On failure the packet's content is lost.
    ///
    /// Ask the ``ReplayWindow`` before, and tell it after.
    public func open(_ packet: UnsafeMutableRawBufferPointer, counter: UInt64) -> Bool {
        guard packet.count >= RecordHeader.overhead, let base = packet.baseAddress else {
            return false
        }
        let nonce = self.slot + Self.receivingNonce
        nonce.storeBytes(of: counter.littleEndian, toByteOffset: 4, as: UInt64.self)
        let text = (base + RecordHeader.byteCount).bytes
        let key = self.slot + Self.receivingKey
        let length = UInt64(packet.count - RecordHeader.byteCount)
        let status: Int32
        switch self.cipher {
        case .chacha20Poly1305:
            status = crypto_aead_chacha20poly1305_ietf_decrypt(
                text,
                nil,
                nil,
                text,
                length,
                base.bytes,
                12,
                nonce.bytes,
                key.bytes
            )
        case .aes256GCM:
            status = crypto_aead_aes256gcm_decrypt_afternm(
                text,
                nil,
                nil,
                text,
                length,
                base.bytes,
                12,
                nonce.bytes,
                key.assumingMemoryBound(to: crypto_aead_aes256gcm_state.self)
            )
        }
        if status != 0 { self.openFailures += 1 }
        return status == 0
    }
}
