import CSodium

/// One run of a Noise handshake over 25519, ChaChaPoly and BLAKE2b, in one guarded block.
///
/// Reusable: ``begin(pattern:isInitiator:prologue:local:remote:psk:)`` wipes what was before.
/// Reading and writing messages allocates nothing, because strangers can make a server read.
/// See the Noise Protocol Framework, revision 34.
final class NoiseSession {
    /// Offsets into the guarded block.
    ///
    /// Everything that a message changes comes first, so that it can be set aside and brought back
    /// as one piece.
    enum Field {
        static let chainingKey = 0
        static let hash = 64
        static let key = 128
        static let remoteStatic = 160
        static let remoteEphemeral = 192
        static let transcriptByteCount = 224
        static let saved = 256
        static let ephemeral = 512
        static let ephemeralPublic = 544
        static let psk = 576
        static let shared = 608
        static let hmacKey = 640
        static let pad = 704
        static let inner = 832
        static let temporaryKey = 896
        static let output1 = 960
        static let output2 = 1024
        static let output3 = 1088
        static let nonce = 1152
        static let state = 1216
        static let byteCount = 1664
    }

    let memory = GuardedMemory(byteCount: Field.byteCount)
    private(set) var isInitiator = false
    private(set) var hasRemoteStatic = false
    private var pattern = NoisePattern.fairlead
    private var local: SecretKey?
    private var messageIndex = 0
    private var mixesEphemeral = false
    /// `nil` before the first MixKey: messages are then in clear.
    var nonce: UInt64?
    private var savedNonce: UInt64?
    private var savedMessageIndex = 0

    init() { precondition(crypto_generichash_statebytes() <= Field.byteCount - Field.state) }

    func at(_ offset: Int) -> UnsafeMutableRawPointer { self.memory.base + offset }

    func begin(
        pattern: NoisePattern = .fairlead,
        isInitiator: Bool,
        prologue: UnsafeRawBufferPointer,
        local: SecretKey?,
        remote: PublicKey?,
        psk: [UInt8]? = nil
    ) {
        self.wipe()
        self.pattern = pattern
        self.isInitiator = isInitiator
        self.local = local
        self.mixesEphemeral = pattern.usesPSK
        if let psk {
            precondition(psk.count == 32)
            self.at(Field.psk).copyMemory(from: psk, byteCount: 32)
        }
        self.setName(pattern.name)
        self.mixHash(prologue.baseAddress, prologue.count)
        if let remote {
            remote.withBytes { bytes in
                UnsafeMutableRawBufferPointer(start: self.at(Field.remoteStatic), count: 32)
                    .copyMemory(from: bytes)
            }
            self.hasRemoteStatic = true
        }
        if pattern.initiatorStaticIsKnown { self.mixStatic(isOurs: isInitiator) }
        if pattern.responderStaticIsKnown { self.mixStatic(isOurs: !isInitiator) }
    }

    /// Sets the secret that the `psk` token mixes in; zeros without one.
    func setPresharedKey(_ key: PresharedKey?) {
        if let key {
            self.at(Field.psk).copyMemory(from: key.base, byteCount: PresharedKey.byteCount)
        } else {
            sodium_memzero(self.at(Field.psk), PresharedKey.byteCount)
        }
    }

    /// Noise §5.2: names of up to 64 bytes are padded with zeros, not hashed.
    private func setName(_ name: String) {
        var name = name
        name.withUTF8 { name in
            precondition(name.count <= 64)
            UnsafeMutableRawBufferPointer(start: self.at(Field.hash), count: 64)
                .copyMemory(from: UnsafeRawBufferPointer(name))
        }
        self.at(Field.chainingKey).copyMemory(from: self.at(Field.hash), byteCount: 64)
    }

    private func mixStatic(isOurs: Bool) {
        if isOurs {
            guard let local else { preconditionFailure("the pattern needs a static key") }
            local.publicKey.withBytes { self.mixHash($0.baseAddress, 32) }
        } else {
            precondition(self.hasRemoteStatic)
            self.mixHash(self.at(Field.remoteStatic), 32)
        }
    }

    /// Sets the ephemeral key pair of this side.
    ///
    /// `fill` provides 32 random bytes.
    func setEphemeral(_ fill: (UnsafeMutableRawBufferPointer) -> Void) {
        fill(UnsafeMutableRawBufferPointer(start: self.at(Field.ephemeral), count: 32))
        crypto_scalarmult_base(self.at(Field.ephemeralPublic).bytes, self.at(Field.ephemeral).bytes)
    }

    /// The peer's static key: known beforehand, or read out of a message.
    var remoteStatic: PublicKey {
        PublicKey(bytes: UnsafeRawBufferPointer(start: self.at(Field.remoteStatic), count: 32))
    }

    var handshakeHash: [UInt8] {
        [UInt8](UnsafeRawBufferPointer(start: self.at(Field.hash), count: 64))
    }

    func wipe() {
        sodium_memzero(self.memory.base, self.memory.byteCount)
        self.local = nil
        self.hasRemoteStatic = false
        self.messageIndex = 0
        self.nonce = nil
        self.savedNonce = nil
    }

    /// Sets the transcript aside: reading a forged message spoils it.
    func save() {
        self.at(Field.saved)
            .copyMemory(from: self.memory.base, byteCount: Field.transcriptByteCount)
        self.savedNonce = self.nonce
        self.savedMessageIndex = self.messageIndex
    }

    func restore() {
        self.memory.base
            .copyMemory(from: self.at(Field.saved), byteCount: Field.transcriptByteCount)
        self.nonce = self.savedNonce
        self.messageIndex = self.savedMessageIndex
    }

    /// Appends the next message at `target` and returns its size; `nil` if a key is of low order.
    ///
    /// `target` has room for 32 + 48 + payload + 16 bytes at most.
    func write(
        payload: UnsafeRawPointer,
        _ payloadByteCount: Int,
        to target: UnsafeMutableRawPointer
    ) -> Int? {
        var offset = 0
        let tokens = self.pattern.messages[self.messageIndex]
        self.messageIndex += 1
        for token in tokens {
            switch token {
            case .e:
                let ephemeral = self.at(Field.ephemeralPublic)
                (target + offset).copyMemory(from: ephemeral, byteCount: 32)
                self.mixEphemeral(ephemeral)
                offset += 32
            case .s:
                guard let local else { preconditionFailure("the pattern needs a static key") }
                local.publicKey.withBytes { key in
                    UnsafeMutableRawBufferPointer(start: target + offset, count: 32)
                        .copyMemory(from: key)
                }
                offset += self.encryptAndHash(target + offset, 32)
            case .psk: self.mixKeyAndHash(self.at(Field.psk))
            case .ee, .es, .se, .ss: guard self.mixShared(token) else { return nil }
            }
        }
        (target + offset).copyMemory(from: payload, byteCount: payloadByteCount)
        return offset + self.encryptAndHash(target + offset, payloadByteCount)
    }

    /// Reads the next message in place and returns where its payload lies in it; `nil` for a
    /// forgery, after which this session is spoilt (see ``save()``).
    func read(_ message: UnsafeMutableRawBufferPointer) -> Range<Int>? {
        guard self.messageIndex < self.pattern.messages.count, let base = message.baseAddress else {
            return nil
        }
        var offset = 0
        let tokens = self.pattern.messages[self.messageIndex]
        self.messageIndex += 1
        for token in tokens {
            switch token {
            case .e:
                guard message.count - offset >= 32 else { return nil }
                self.at(Field.remoteEphemeral).copyMemory(from: base + offset, byteCount: 32)
                self.mixEphemeral(self.at(Field.remoteEphemeral))
                offset += 32
            case .s:
                let byteCount = self.nonce == nil ? 32 : 48
                guard message.count - offset >= byteCount,
                    self.decryptAndHash(base + offset, byteCount) != nil
                else { return nil }
                self.at(Field.remoteStatic).copyMemory(from: base + offset, byteCount: 32)
                self.hasRemoteStatic = true
                offset += byteCount
            case .psk: self.mixKeyAndHash(self.at(Field.psk))
            case .ee, .es, .se, .ss: guard self.mixShared(token) else { return nil }
            }
        }
        guard let payloadByteCount = self.decryptAndHash(base + offset, message.count - offset)
        else { return nil }
        return offset..<offset + payloadByteCount
    }

    private func mixEphemeral(_ key: UnsafeMutableRawPointer) {
        self.mixHash(key, 32)
        if self.mixesEphemeral { self.mixKey(key, 32) }
    }

    /// One Diffie-Hellman; false if the result is all zeros, which only a low-order point gives.
    private func mixShared(_ token: NoiseToken) -> Bool {
        let usesOurEphemeral = token == .ee || token == (self.isInitiator ? .es : .se)
        let usesTheirEphemeral = token == .ee || token == (self.isInitiator ? .se : .es)
        let theirs = self.at(usesTheirEphemeral ? Field.remoteEphemeral : Field.remoteStatic)
        let ours: UnsafeRawPointer
        if usesOurEphemeral {
            ours = UnsafeRawPointer(self.at(Field.ephemeral))
        } else {
            guard let local else { preconditionFailure("the pattern needs a static key") }
            ours = local.base
        }
        let shared = self.at(Field.shared)
        defer { sodium_memzero(shared, 32) }
        guard crypto_scalarmult(shared.bytes, ours.bytes, theirs.bytes) == 0 else { return false }
        self.mixKey(shared, 32)
        return true
    }
}
