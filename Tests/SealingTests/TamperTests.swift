import Primitives
import Testing

@testable import Sealing

/// Whatever is changed on the way is noticed, and noticing changes nothing.
@Suite struct TamperTests {
    /// `wire` with the lowest or highest bit of one byte flipped.
    private static func flipped(_ wire: [UInt8], at index: Int) -> [UInt8] {
        var copy = wire
        copy[index] ^= index % 2 == 0 ? 1 : 0x80
        return copy
    }

    @Test func everyByteOfAnInitiationCounts() throws {
        let pair = Pair()
        pair.start()
        let wire = try #require(pair.nextInitiation())
        #expect(wire.count == 172)
        // mac2 means nothing while the server is at ease, but the masks depend on it.
        for index in wire.indices {
            let (outcome, reply) = pair.deliverToServer(Self.flipped(wire, at: index))
            #expect(outcome.drop != nil && reply == nil, "byte \(index)")
        }
        for count in 0..<wire.count {
            #expect(pair.deliverToServer(Array(wire[..<count])).outcome.drop != nil)
        }
        #expect(pair.deliverToServer(wire).outcome.established != nil)
    }

    /// With a mac1 that fits, as every customer can make one, the header included.
    @Test func everyByteOfAnInitiationIsAuthenticated() throws {
        let pair = Pair()
        pair.start()
        let wire = try #require(pair.nextInitiation())
        let key = UnsafeMutableRawPointer.allocate(byteCount: 32, alignment: 8)
        defer { key.deallocate() }
        pair.mask.derive("mac1", pair.serverKey.publicKey, into: key, byteCount: 32)
        for index in 0..<140 {
            var forged = wire
            forged.withUnsafeMutableBytes { bytes in
                guard let base = bytes.baseAddress else { return }
                pair.mask.applyToHeader(bytes)
                pair.mask.applyToEphemeral(bytes)
                bytes[index] ^= 2
                Layout.writeMAC(after: bytes.count - 32, of: base, key: key, keyByteCount: 32)
                pair.mask.applyToEphemeral(bytes)
                pair.mask.applyToHeader(bytes)
            }
            let drop = pair.deliverToServer(forged).outcome.drop
            #expect(drop == ((8..<12).contains(index) ? .malformed : .unauthentic), "byte \(index)")
        }
        #expect(pair.deliverToServer(wire).outcome.established != nil)
    }

    @Test func everyByteOfAResponseCounts() throws {
        let pair = Pair()
        pair.start()
        let (_, reply) = pair.deliverToServer(pair.nextInitiation())
        let wire = try #require(reply)
        #expect(wire.count == 108)
        for index in wire.indices {
            let outcome = pair.deliverToClient(Self.flipped(wire, at: index))
            #expect(outcome.ignored != nil, "byte \(index)")
        }
        for count in 0..<wire.count {
            #expect(pair.deliverToClient(Array(wire[..<count])).ignored != nil)
        }
        #expect(pair.deliverToClient(wire).established != nil)
    }

    /// Even somebody who can make a valid mac1, as every customer can, only spoils his own packet.
    @Test func aForgedResponseDoesNotStopTheHandshake() throws {
        let pair = Pair()
        pair.start()
        let (_, reply) = pair.deliverToServer(pair.nextInitiation())
        let wire = try #require(reply)
        for index in [4, 12, 50, 90] {
            var forged = wire
            forged.withUnsafeMutableBytes { bytes in
                guard let base = bytes.baseAddress else { return }
                pair.mask.applyToHeader(bytes)
                pair.mask.applyToEphemeral(bytes)
                bytes[index] ^= 4
                let key = UnsafeMutableRawPointer.allocate(byteCount: 32, alignment: 8)
                defer { key.deallocate() }
                pair.mask.derive("mac1", pair.clientKey.publicKey, into: key, byteCount: 32)
                Layout.writeMAC(after: bytes.count - 16, of: base, key: key, keyByteCount: 32)
                pair.mask.applyToEphemeral(bytes)
                pair.mask.applyToHeader(bytes)
            }
            #expect(pair.deliverToClient(forged).ignored == .unauthentic, "byte \(index)")
        }
        #expect(pair.deliverToClient(wire).established != nil)
    }

    @Test func everyByteOfACookieCounts() throws {
        let pair = Pair(loadThreshold: 0)
        pair.start()
        let (_, reply) = pair.deliverToServer(pair.nextInitiation())
        let wire = try #require(reply)
        #expect(wire.count == 68)
        for index in wire.indices {
            let outcome = pair.deliverToClient(Self.flipped(wire, at: index))
            #expect(outcome.ignored != nil, "byte \(index)")
        }
        #expect(pair.deliverToClient(wire).isCookie)
    }

    @Test(arguments: Cipher.allCases.filter { $0 != .aes256GCM || Cipher.isAESAvailable })
    func everyByteOfARecordCounts(cipher: Cipher) throws {
        let pair = Pair(ciphers: CipherSet(cipher))
        let (client, server) = try pair.shakeHands()
        #expect(client.keys.cipher == cipher && server.keys.cipher == cipher)
        let text = Array("the quick brown fox".utf8)
        let wire = sealed(text, client.keys, receiverIndex: client.remoteIndex, counter: 7)
        for index in wire.indices {
            #expect(
                opened(Self.flipped(wire, at: index), server.keys, pair.mask) == nil,
                "byte \(index)"
            )
        }
        #expect(opened(wire, server.keys, pair.mask) == text)
        let failures = server.keys.openFailures
        #expect(failures > 0 && failures <= UInt64(wire.count))
        #expect(!server.keys.isExhausted)
    }

    @Test(arguments: Cipher.allCases.filter { $0 != .aes256GCM || Cipher.isAESAvailable })
    func everySizeMakesTheRoundTrip(cipher: Cipher) throws {
        let pair = Pair(ciphers: CipherSet(cipher))
        let (client, server) = try pair.shakeHands()
        var counter: UInt64 = 0
        for size in Array(0...80) + [255, 1024, 1400, 9000, 65_479] {
            let text = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            counter += 1
            let there = sealed(text, client.keys, receiverIndex: 1, counter: counter)
            #expect(there.count == size + 28)
            #expect(opened(there, server.keys, pair.mask) == text)
            let back = sealed(text, server.keys, receiverIndex: 1, counter: counter)
            #expect(opened(back, client.keys, pair.mask) == text)
        }
    }
}
