import Primitives
import Testing

@testable import Sealing

/// What the hellos agree on, and the keys that come of it.
@Suite struct RatchetTests {
    /// A handshake between two policies, or what the client was told instead.
    private func shake(
        _ client: PostQuantumPolicy,
        _ server: PostQuantumPolicy
    ) throws -> (keys: (client: EstablishedKeys, server: EstablishedKeys)?, RefusalReason?) {
        let pair = Pair()
        pair.initiator.postQuantum = client
        pair.responder.postQuantum = server
        pair.start()
        let (outcome, reply) = pair.deliverToServer(pair.nextInitiation())
        switch pair.deliverToClient(reply) {
        case .established(let established):
            return ((established, try #require(outcome.established)), nil)
        case .refused(let reason): return (nil, reason)
        default: return (nil, nil)
        }
    }

    @Test(arguments: PostQuantumPolicy.allCases, PostQuantumPolicy.allCases)
    func endsAgree(_ client: PostQuantumPolicy, _ server: PostQuantumPolicy) throws {
        let policies = [client, server]
        let (keys, refusal) = try self.shake(client, server)
        if policies.contains(.off), policies.contains(.require) {
            #expect(refusal == .postQuantum && keys == nil)
            return
        }
        for end in [try #require(keys).client, try #require(keys).server] {
            #expect((end.ratchet != nil) == !policies.contains(.off))
            #expect(end.requiresRatchet == policies.contains(.require))
        }
    }

    /// Bytes 22 and 23 of both hellos, as every release before this one writes and reads them.
    @Test func offLooksLikeAnOlderRelease() {
        var hello = Hello(instance: 1)
        let bytes = withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { buffer in
            guard let base = buffer.baseAddress else { return [UInt8]() }
            hello.write(to: base)
            let off = [UInt8](buffer)
            hello.postQuantum = .require
            hello.write(to: base)
            return Array(off[22...23]) + Array(buffer[22...23])
        }
        #expect(bytes == [0, 0, 1, 1])
    }

    // MARK: - Keys

    private static let publicKey = (0..<KeyEncapsulation.publicKeyByteCount).map {
        UInt8(truncatingIfNeeded: $0)
    }
    private static let ciphertext = (0..<KeyEncapsulation.ciphertextByteCount).map {
        UInt8(truncatingIfNeeded: 7 * $0)
    }
    private static let sharedSecret = [UInt8](200..<232)

    private final class FixedKey: DecapsulationKey {
        let publicKey = RatchetTests.publicKey

        /// Of any other ciphertext another secret, as ML-KEM has it.
        func decapsulate(
            _ ciphertext: UnsafeRawBufferPointer,
            to secret: UnsafeMutableRawBufferPointer
        ) -> Bool {
            secret.copyBytes(from: RatchetTests.sharedSecret)
            if !ciphertext.elementsEqual(RatchetTests.ciphertext) { secret[0] ^= 1 }
            return true
        }
    }

    private let mask = HeaderMask(serverPublicKey: SecretKey(entropy: .seeded(1)).publicKey)

    /// One end's secret, its chaining key 00 … 3f and its handshake hash 40 … 7f.
    private func secret(isInitiator: Bool) -> RatchetSecret {
        let noise = NoiseSession()
        [UInt8]().withUnsafeBytes {
            noise.begin(
                isInitiator: isInitiator,
                prologue: $0,
                local: SecretKey(entropy: .seeded(2)),
                remote: SecretKey(entropy: .seeded(1)).publicKey
            )
        }
        for index in 0..<128 {
            noise.memory.base.storeBytes(of: UInt8(index), toByteOffset: index, as: UInt8.self)
        }
        return RatchetSecret(
            of: noise,
            cipher: .chacha20Poly1305,
            arena: KeyArena(),
            mask: self.mask
        )
    }

    private func answer(of secret: RatchetSecret) throws -> RatchetSecret.Strengthened {
        let mechanism = KeyEncapsulation(
            generate: { FixedKey() },
            encapsulate: { _, ciphertext, secret in
                ciphertext.copyBytes(from: Self.ciphertext)
                secret.copyBytes(from: Self.sharedSecret)
                return true
            }
        )
        var ciphertext = Self.ciphertext
        let made = Self.publicKey.withUnsafeBytes { publicKey in
            ciphertext.withUnsafeMutableBytes {
                secret.answer(publicKey, by: mechanism, ciphertext: $0)
            }
        }
        return try #require(made)
    }

    private func finish(
        _ secret: RatchetSecret,
        _ ciphertext: [UInt8],
        _ confirmation: [UInt8]
    ) -> TransportKeys? {
        ciphertext.withUnsafeBytes { ciphertext in
            confirmation.withUnsafeBytes {
                secret.finish(FixedKey(), ciphertext: ciphertext, confirmation: $0)
            }
        }
    }

    /// Receiver index 01020304, number 5, and the plaintext that the vectors are of.
    private func seal(_ keys: TransportKeys) -> [UInt8] {
        let text = Array("post-quantum".utf8)
        var packet = [UInt8](repeating: 0, count: text.count + RecordHeader.overhead)
        packet.replaceSubrange(12..<12 + text.count, with: text)
        packet.withUnsafeMutableBytes {
            guard let base = $0.baseAddress else { return }
            keys.seal(base, plaintextByteCount: text.count, receiverIndex: 0x0102_0304, counter: 5)
        }
        return Array(packet[12...])
    }

    /// Computed with Python's hashlib and hmac and with the cryptography package.
    @Test func knownAnswer() throws {
        let server = try self.answer(of: self.secret(isInitiator: false))
        #expect(hexText(server.confirmation) == "64493aa794ae80307aba6406410e066e")
        #expect(
            hexText(self.seal(server.keys))
                == "029a0b3ffaae7de6ad35ef0f2d857e098a55ef2a2e1455a92454a4f6"
        )
        let client = self.finish(
            self.secret(isInitiator: true),
            Self.ciphertext,
            server.confirmation
        )
        #expect(
            hexText(self.seal(try #require(client)))
                == "abfbc9959e50d1b939b51f1191254e214b947f7441585ea19163e126"
        )
    }

    /// Another ciphertext is another secret and another transcript: no keys come of it.
    @Test func nothingComesOfAForgery() throws {
        let made = try self.answer(of: self.secret(isInitiator: false))
        var ciphertext = Self.ciphertext
        ciphertext[1000] ^= 0x20
        #expect(self.finish(self.secret(isInitiator: true), ciphertext, made.confirmation) == nil)
        var confirmation = made.confirmation
        confirmation[15] ^= 1
        #expect(
            self.finish(self.secret(isInitiator: true), Self.ciphertext, confirmation) == nil
        )
    }
}
