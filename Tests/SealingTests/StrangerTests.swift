import CSodium
import Primitives
import Testing

@testable import Sealing

/// Who does not know the server's public key hears nothing; who does hears no more than he says.
@Suite struct StrangerTests {
    @Test func theWrongServerKeyMeetsSilence() throws {
        let pair = Pair()
        let entropy = EntropySource.seeded(99)
        let wrongKey = SecretKey(entropy: entropy).publicKey
        let mask = HeaderMask(serverPublicKey: wrongKey)
        let initiator = HandshakeInitiator(
            local: pair.clientKey,
            remote: wrongKey,
            mask: mask,
            cipher: .auto,
            entropy: entropy
        )
        initiator.start(localIndex: 1, routeIndex: 0, hello: Hello(), at: pair.now)
        var buffer = [UInt8](repeating: 0, count: 300)
        let count = buffer.withUnsafeMutableBytes { initiator.nextPacket(into: $0, at: pair.now) }
        let (outcome, reply) = pair.deliverToServer(Array(buffer[..<(try #require(count))]))
        #expect(outcome.drop != nil && reply == nil)
    }

    @Test func theWrongDeploymentSecretMeetsSilence() throws {
        let pair = Pair(secret: [1, 2, 3])
        let other = Pair(secret: [1, 2, 4])
        other.start()
        let (outcome, reply) = pair.deliverToServer(other.nextInitiation())
        #expect(outcome.drop != nil && reply == nil)
    }

    @Test func noiseMeetsSilence() {
        let pair = Pair()
        var dice = SeededGenerator(seed: 8)
        for _ in 0..<2000 {
            let count = Int(dice.below(300))
            let wire = (0..<count).map { _ in UInt8(truncatingIfNeeded: dice.next()) }
            let (outcome, reply) = pair.deliverToServer(wire)
            #expect(outcome.drop != nil && reply == nil)
        }
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func noReplyIsLongerThanItsRequest(seed: UInt64) throws {
        let pair = Pair(seed: seed, secret: [9], loadThreshold: seed % 2 == 0 ? 0 : 2000)
        if seed % 3 == 0 { pair.decision = .refuse(.unknownKey) }
        pair.start()
        let wire = try #require(pair.nextInitiation())
        for _ in 0..<5 {
            let (_, reply) = pair.deliverToServer(wire)
            #expect((reply?.count ?? 0) <= wire.count)
        }
    }

    /// The seven points of small order, and one that is not reduced (Cremers and Jackson, 2019).
    @Test(arguments: [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
    ])
    func pointsOfLowOrderAreRejected(point: String) throws {
        // Sent as an ephemeral key, with a mac1 that is right.
        let pair = Pair()
        pair.start()
        var wire = try #require(pair.nextInitiation())
        wire.withUnsafeMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            pair.mask.applyToHeader(bytes)
            pair.mask.applyToEphemeral(bytes)
            for (index, byte) in hex(point).enumerated() { bytes[12 + index] = byte }
            let key = UnsafeMutableRawPointer.allocate(byteCount: 32, alignment: 8)
            defer { key.deallocate() }
            pair.mask.derive("mac1", pair.serverKey.publicKey, into: key, byteCount: 32)
            Layout.writeMAC(after: bytes.count - 32, of: base, key: key, keyByteCount: 32)
            pair.mask.applyToEphemeral(bytes)
            pair.mask.applyToHeader(bytes)
        }
        #expect(pair.deliverToServer(wire).outcome.drop == .unauthentic)

        // Configured as the server's key.
        let initiator = HandshakeInitiator(
            local: pair.clientKey,
            remote: publicKey(hex(point)),
            mask: pair.mask,
            cipher: .auto,
            entropy: pair.entropy
        )
        initiator.start(localIndex: 1, routeIndex: 0, hello: Hello(), at: pair.now)
        var buffer = [UInt8](repeating: 0, count: 300)
        #expect(
            buffer.withUnsafeMutableBytes { initiator.nextPacket(into: $0, at: pair.now) } == nil
        )
        #expect(!initiator.isActive)
    }

    /// The fields an observer could recognise look like coin tosses: no bit leans.
    @Test func everyBitOnTheWireIsBalanced() throws {
        let pair = Pair()
        var ones = [Int](repeating: 0, count: 172 * 8)
        let rounds = 400
        for _ in 0..<rounds {
            pair.start()
            let wire = try #require(pair.nextInitiation())
            for bit in ones.indices where wire[bit / 8] >> (bit % 8) & 1 == 1 { ones[bit] += 1 }
        }
        // Five standard deviations of 400 tosses are 50; a constant bit is off by 200.
        #expect(ones.allSatisfy { abs($0 - rounds / 2) <= 55 })
    }

    @Test func masksUndoThemselves() {
        let mask = HeaderMask(serverPublicKey: publicKey(Array(0..<32 as Range<UInt8>)))
        var dice = SeededGenerator(seed: 5)
        for count in 0..<200 {
            let before = (0..<count).map { _ in UInt8(truncatingIfNeeded: dice.next()) }
            var packet = before
            packet.withUnsafeMutableBytes { mask.applyToHeader($0) }
            #expect(packet[min(12, count)...] == before[min(12, count)...])
            #expect(count < 28 || packet != before)
            packet.withUnsafeMutableBytes { mask.applyToHeader($0) }
            #expect(packet == before)
            packet.withUnsafeMutableBytes { mask.applyToEphemeral($0) }
            packet.withUnsafeMutableBytes { mask.applyToEphemeral($0) }
            #expect(packet == before)
        }
    }
}
