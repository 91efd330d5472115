import CSodium

/// Noise §5.1 and §5.2: CipherState and SymmetricState.
extension NoiseSession {
    func mixHash(_ data: UnsafeRawPointer?, _ byteCount: Int) {
        let state = OpaquePointer(self.at(Field.state))
        crypto_generichash_init(state, nil, 0, 64)
        crypto_generichash_update(state, self.at(Field.hash).bytes, 64)
        if let data, byteCount > 0 {
            crypto_generichash_update(state, data.bytes, UInt64(byteCount))
        }
        crypto_generichash_final(state, self.at(Field.hash).bytes, 64)
    }

    func mixKey(_ material: UnsafeRawPointer, _ byteCount: Int) {
        self.hkdf(material, byteCount, outputs: 2)
        self.at(Field.chainingKey).copyMemory(from: self.at(Field.output1), byteCount: 64)
        self.at(Field.key).copyMemory(from: self.at(Field.output2), byteCount: 32)
        self.nonce = 0
        self.wipeOutputs()
    }

    func mixKeyAndHash(_ material: UnsafeRawPointer) {
        self.hkdf(material, 32, outputs: 3)
        self.at(Field.chainingKey).copyMemory(from: self.at(Field.output1), byteCount: 64)
        self.mixHash(self.at(Field.output2), 64)
        self.at(Field.key).copyMemory(from: self.at(Field.output3), byteCount: 32)
        self.nonce = 0
        self.wipeOutputs()
    }

    /// Encrypts `byteCount` bytes where they are, and returns how many there are now.
    func encryptAndHash(_ text: UnsafeMutableRawPointer, _ byteCount: Int) -> Int {
        guard let nonce else {
            self.mixHash(text, byteCount)
            return byteCount
        }
        self.writeNonce(nonce)
        self.nonce = nonce + 1
        crypto_aead_chacha20poly1305_ietf_encrypt(
            text.bytes,
            nil,
            text.bytes,
            UInt64(byteCount),
            self.at(Field.hash).bytes,
            64,
            nil,
            self.at(Field.nonce).bytes,
            self.at(Field.key).bytes
        )
        self.mixHash(text, byteCount + 16)
        return byteCount + 16
    }

    /// Decrypts `byteCount` bytes where they are, and returns how many there are now.
    func decryptAndHash(_ text: UnsafeMutableRawPointer, _ byteCount: Int) -> Int? {
        guard let nonce else {
            self.mixHash(text, byteCount)
            return byteCount
        }
        guard byteCount >= 16 else { return nil }
        self.writeNonce(nonce)
        self.nonce = nonce + 1
        // The hash that authenticates the text is the one before the text is mixed in, and the text
        // to mix in is gone once it is decrypted: so keep the old hash.
        let associated = self.at(Field.inner)
        associated.copyMemory(from: self.at(Field.hash), byteCount: 64)
        self.mixHash(text, byteCount)
        let status = crypto_aead_chacha20poly1305_ietf_decrypt(
            text.bytes,
            nil,
            nil,
            text.bytes,
            UInt64(byteCount),
            associated.bytes,
            64,
            self.at(Field.nonce).bytes,
            self.at(Field.key).bytes
        )
        return status == 0 ? byteCount - 16 : nil
    }

    /// The two transport keys, initiator's sending key first, in memory that ``wipe()`` clears.
    func split() -> (forward: UnsafeRawPointer, backward: UnsafeRawPointer) {
        self.hkdf(self.at(Field.hash), 0, outputs: 2)
        return (UnsafeRawPointer(self.at(Field.output1)), UnsafeRawPointer(self.at(Field.output2)))
    }

    /// Noise's ChaChaPoly nonce: four zero bytes and a little-endian counter.
    private func writeNonce(_ nonce: UInt64) {
        self.at(Field.nonce).storeBytes(of: 0, as: UInt32.self)
        self.at(Field.nonce).storeBytes(of: nonce.littleEndian, toByteOffset: 4, as: UInt64.self)
    }

    private func wipeOutputs() {
        sodium_memzero(self.at(Field.hmacKey), Field.nonce - Field.hmacKey)
    }

    /// HKDF of §4.3 with the chaining key as salt.
    func hkdf(_ material: UnsafeRawPointer, _ byteCount: Int, outputs: Int) {
        let temporary = self.at(Field.temporaryKey)
        self.hmac(self.at(Field.chainingKey), material, byteCount, counter: nil, into: temporary)
        let first = self.at(Field.output1)
        let second = self.at(Field.output2)
        self.hmac(temporary, material, 0, counter: 1, into: first)
        self.hmac(temporary, first, 64, counter: 2, into: second)
        if outputs == 3 {
            self.hmac(temporary, second, 64, counter: 3, into: self.at(Field.output3))
        }
    }

    /// HMAC (RFC 2104) over BLAKE2b-512: blocks of 128 bytes, keys of 64.
    ///
    /// Noise wants this, not BLAKE2b's own keyed mode.
    func hmac(
        _ key: UnsafeRawPointer,
        _ data: UnsafeRawPointer,
        _ byteCount: Int,
        counter: UInt8?,
        into target: UnsafeMutableRawPointer
    ) {
        let state = OpaquePointer(self.at(Field.state))
        let pad = self.at(Field.pad).bytes
        let inner = self.at(Field.inner).bytes
        self.fillPad(key, with: 0x36)
        crypto_generichash_init(state, nil, 0, 64)
        crypto_generichash_update(state, pad, 128)
        if byteCount > 0 { crypto_generichash_update(state, data.bytes, UInt64(byteCount)) }
        if var counter { crypto_generichash_update(state, &counter, 1) }
        crypto_generichash_final(state, inner, 64)
        self.fillPad(key, with: 0x5C)
        crypto_generichash_init(state, nil, 0, 64)
        crypto_generichash_update(state, pad, 128)
        crypto_generichash_update(state, inner, 64)
        crypto_generichash_final(state, target.bytes, 64)
    }

    private func fillPad(_ key: UnsafeRawPointer, with byte: UInt8) {
        let pad = self.at(Field.pad).bytes
        for index in 0..<64 { pad[index] = key.bytes[index] ^ byte }
        for index in 64..<128 { pad[index] = byte }
    }
}
