import Primitives
import Testing

@testable import Sealing

@Suite struct RecordTests {
    private static func keys() throws -> TransportKeys {
        try Pair(ciphers: CipherSet(.chacha20Poly1305)).shakeHands().client.keys
    }

    @Test func headersParse() {
        var bytes = [UInt8](repeating: 0, count: 28)
        RecordHeader(receiverIndex: 0x0403_0201, counter: 0x0B_0A09_0807_0605, type: 4)
            .writeForTest(into: &bytes)
        #expect(Array(bytes[..<12]) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 4])
        let header = bytes.withUnsafeBytes { RecordHeader(unmasked: $0) }
        #expect(header?.receiverIndex == 0x0403_0201)
        #expect(header?.counter == 0x0B_0A09_0807_0605)
        #expect(header?.recordType == .data)
        #expect(bytes[..<27].withUnsafeBytes { RecordHeader(unmasked: $0) } == nil)
        bytes[11] = 0x14
        #expect(bytes.withUnsafeBytes { RecordHeader(unmasked: $0) } == nil)
        bytes[11] = 9
        #expect(bytes.withUnsafeBytes { RecordHeader(unmasked: $0)?.recordType } == nil)
    }

    @Test func limitsAreWhatTheCiphersAllow() {
        #expect(Cipher.aes256GCM.sealLimit == 1 << 28)
        #expect(Cipher.chacha20Poly1305.sealLimit == (1 << 56) - 1)
        #expect(Cipher.allCases.map(\.label) == ["chacha20-poly1305", "aes-256-gcm"])
    }

    /// Packet numbers run on from key to key, so what counts is how many this key has sealed.
    @Test func keysKnowWhenTheyAreUsedUp() throws {
        let keys = try Self.keys()
        _ = sealed([], keys, receiverIndex: 0, counter: KeyLifetime.rekeyAfterPackets)
        #expect(keys.sealedCount == 1)
        #expect(!keys.needsRekey && !keys.isExhausted)
        keys.sealedCount = KeyLifetime.rekeyAfterPackets - 1
        #expect(!keys.needsRekey)
        _ = sealed([], keys, receiverIndex: 0, counter: KeyLifetime.rekeyAfterPackets + 1)
        #expect(keys.needsRekey && !keys.isExhausted)
        keys.sealedCount = keys.cipher.sealLimit - 1
        _ = sealed([], keys, receiverIndex: 0, counter: RecordHeader.maximumCounter)
        #expect(keys.isExhausted)
    }

    @Test func aNonceIsNeverUsedTwice() async {
        await #expect(processExitsWith: .failure) {
            let keys = try RecordTests.keys()
            _ = sealed([1], keys, receiverIndex: 0, counter: 5)
            _ = sealed([2], keys, receiverIndex: 0, counter: 5)
        }
    }

    @Test func aKeyIsNotUsedBeyondItsLimit() async {
        await #expect(processExitsWith: .failure) {
            let keys = try RecordTests.keys()
            keys.sealedCount = keys.cipher.sealLimit
            _ = sealed([1], keys, receiverIndex: 0, counter: 0)
        }
        await #expect(processExitsWith: .failure) {
            let keys = try RecordTests.keys()
            _ = sealed([1], keys, receiverIndex: 0, counter: RecordHeader.maximumCounter + 1)
        }
    }

    @Test func slotsAreWipedAndUsedAgain() {
        let arena = KeyArena()
        var taken = (0..<200).map { _ in arena.take() }
        #expect(Set(taken).count == 200)
        for slot in taken {
            #expect(Int(bitPattern: slot) % 64 == 0)
            UnsafeMutableRawBufferPointer(start: slot, count: KeyArena.slotByteCount)
                .copyBytes(from: repeatElement(0xAA, count: KeyArena.slotByteCount))
        }
        while let slot = taken.popLast() { arena.giveBack(slot) }
        for _ in 0..<200 {
            let slot = UnsafeRawBufferPointer(start: arena.take(), count: KeyArena.slotByteCount)
            #expect(slot.allSatisfy { $0 == 0 })
        }
    }

    @Test func keysOutliveTheHandshakeThatMadeThem() throws {
        var pair: Pair? = Pair()
        let both = try #require(try pair?.shakeHands())
        let mask = try #require(pair?.mask)
        pair = nil
        let record = sealed([1, 2], both.client.keys, receiverIndex: 1, counter: 0)
        #expect(opened(record, both.server.keys, mask) == [1, 2])
    }
}

extension RecordHeader {
    fileprivate func writeForTest(into bytes: inout [UInt8]) {
        bytes.withUnsafeMutableBytes { if let base = $0.baseAddress { self.write(to: base) } }
    }
}
