import Primitives
import Testing

@testable import Origin

@Suite struct ProxyV2Tests {
    static let signature = hex("0D0A0D0A 000D0A51 5549540A")
    static let tcp4 =
        signature + hex("21 11 000C C0000201 C6336402 DC04 01BB")
    static let tcp6 =
        signature
        + hex("21 21 0024 20010DB8000000000000000000000001 FD000000000000000000000000000005")
        + hex("DC04 01BB")

    static let full = ProxyTLVs(
        uniqueID: Array("player-77".utf8),
        authority: Array("play.example.net".utf8),
        keyFingerprint: Array(1...16),
        hasChecksum: true
    )

    @Test func goldenHeaders() {
        let four = ProxyHeader("192.0.2.1:56324", "198.51.100.2:443")
        let six = ProxyHeader("[2001:db8::1]:56324", "[fd00::5]:443")
        #expect(written { four.writeV2(into: $0) } == Self.tcp4)
        #expect(written { six.writeV2(into: $0) } == Self.tcp6)
        #expect(parsed(Self.tcp4 + [9])?.header == four)
        #expect(parsed(Self.tcp4 + [9])?.byteCount == 28)
        #expect(parsed(Self.tcp6)?.header == six)
        #expect(parsed(Self.tcp6)?.byteCount == 52)
        let datagram = ProxyHeader("192.0.2.1:56324", "198.51.100.2:443", .datagram)
        #expect(written { datagram.writeV2(into: $0) }[13] == 0x12)
        let local = written { ProxyHeader.writeLocalV2(into: $0) }
        #expect(local == Self.signature + hex("20 00 0000"))
    }

    /// The vectors of RFC 3720 B.4, and the usual one.
    @Test(
        arguments: [
            (Array("123456789".utf8), 0xE306_9283), (Array(repeating: 0, count: 32), 0x8A91_36AA),
            (Array(repeating: 0xFF, count: 32), 0x62A8_AB43), (Array(0..<32), 0x46DD_794E),
        ] as [([UInt8], UInt32)]
    )
    func castagnoli(bytes: [UInt8], expected: UInt32) {
        var checksum = CRC32C()
        bytes.withUnsafeBytes { checksum.update($0) }
        #expect(checksum.value == expected)
    }

    @Test func allExtensions() throws {
        let tlvs = try #require(Self.full)
        let header = ProxyHeader("192.0.2.1:56324", "198.51.100.2:443")
        let bytes = written { header.writeV2(tlvs, into: $0) }
        #expect(bytes.count == header.v2ByteCount(tlvs))
        #expect(Array(bytes[28..<31]) == hex("03 0004"))
        let rest =
            hex("02 0010") + Array("play.example.net".utf8) + hex("05 0009")
            + Array("player-77".utf8) + hex("E5 0010") + Array(1...16)
        #expect(Array(bytes[35...]) == rest)
        var parser = ProxyHeaderParser(accepting: .v2)
        let outcome = bytes.withUnsafeBytes { parser.feed($0) }
        #expect(outcome == .header(header, consumed: bytes.count))
        #expect(parser.uniqueID == Array("player-77".utf8))
        #expect(parser.authority == Array("play.example.net".utf8))
        #expect(!parser.isLocal)
        #expect(written(capacity: bytes.count - 1) { header.writeV2(tlvs, into: $0) } == [])
    }

    @Test func extensionsHaveLimits() {
        #expect(ProxyTLVs(uniqueID: Array(repeating: 1, count: 128)) != nil)
        #expect(ProxyTLVs(uniqueID: Array(repeating: 1, count: 129)) == nil)
        #expect(ProxyTLVs(authority: Array(repeating: 1, count: 256)) == nil)
        #expect(ProxyTLVs(keyFingerprint: Array(repeating: 1, count: 65)) == nil)
        let tooLong = Self.with(hex("05 0081") + Array(repeating: 1, count: 129))
        #expect(fault(tooLong) == .extensions)
    }

    /// TCP over IPv4 with these extensions behind the addresses.
    static func with(_ extensions: [UInt8], command: UInt8 = 0x21) -> [UInt8] {
        let count = 12 + extensions.count
        return Self.signature + [command, 0x11, UInt8(count >> 8), UInt8(count & 255)]
            + Self.tcp4[16...] + extensions
    }

    @Test func localAndUnspecifiedMeanThePeer() {
        for (tail, isLocal) in [
            ("20 00 0000", true), ("20 11 0000", true), ("20 FF 0003 010203", true),
            ("20 21 0002 0102", true), ("20 11 000F C0000201 C6336402 DC04 01BB 04FFFF", true),
            ("21 00 0000", false), ("21 00 0004 04000141", false),
        ] {
            let bytes = Self.signature + hex(tail)
            var parser = ProxyHeaderParser(accepting: .v2)
            let outcome = bytes.withUnsafeBytes { parser.feed($0) }
            #expect(outcome == .header(nil, consumed: bytes.count))
            #expect(parser.isLocal == isLocal)
        }
    }

    @Test(
        arguments: [
            ("11 11 000C", .version), ("31 11 000C", .version), ("22 11 000C", .command),
            ("21 31 00D8", .family), ("21 32 00D8", .family), ("21 10 000C", .family),
            ("21 01 000C", .family), ("21 13 000C", .family), ("21 41 000C", .family),
            ("21 11 0000", .length), ("21 11 000B", .length), ("21 21 0000", .length),
            ("21 21 0023", .length), ("21 12 000C", .transport), ("21 22 0024", .transport),
            ("21 11 1001", .oversize), ("21 11 FFFF", .oversize), ("20 00 FFFF", .oversize),
        ] as [(String, HeaderFault)]
    )
    func refusesWithoutWaitingForTheRest(tail: String, expected: HeaderFault) {
        #expect(fault(Self.signature + hex(tail)) == expected)
    }

    @Test(arguments: [
        "04", "0400", "04 0001", "04 0002 41", "03 0003 010203", "03 0005 0102030405",
        "04 0000 05",
    ])
    func extensionsMustEndWhereTheHeaderEnds(tail: String) {
        #expect(fault(Self.with(hex(tail)) + Array(repeating: 0, count: 64)) == .extensions)
    }

    @Test func aWrongOrDoubledChecksumIsRefused() throws {
        #expect(fault(Self.with(hex("03 0004 00000000"))) == .checksum)
        #expect(fault(Self.with(hex("03 0004 00000000"), command: 0x20)) == .checksum)
        let tlvs = try #require(ProxyTLVs(hasChecksum: true))
        let good = written { Self.header.writeV2(tlvs, into: $0) }
        #expect(parsed(good)?.header == Self.header)
        let doubled = Self.with(Array(good[28...]) + Array(good[28...]))
        #expect(fault(doubled) == .extensions)
    }

    static let header = ProxyHeader("192.0.2.1:56324", "198.51.100.2:443")

    @Test func everySplitGivesTheSame() throws {
        let bytes = written { Self.header.writeV2(Self.full ?? .none, into: $0) }
        for cut in 0..<bytes.count {
            #expect(feed(Array(bytes[..<cut])).outcome == .needMore)
            let result = parsed(bytes + [7, 7], cuts: [cut])
            #expect(result?.header == Self.header && result?.byteCount == bytes.count)
        }
        let result = parsed(bytes + [7, 7], cuts: Array(1..<bytes.count))
        #expect(result?.header == Self.header && result?.byteCount == bytes.count)
    }

    @Test func theLongestHeaderFits() {
        let padding = 4096 - 12 - 3
        let tail = [0x04, UInt8(padding >> 8), UInt8(padding & 255)]
        let bytes = Self.with(tail + Array(repeating: 0, count: padding))
        #expect(bytes.count == 16 + 4096)
        #expect(parsed(bytes, cuts: [1000, 2000, 3000, 4111])?.header == Self.header)
        #expect(parsed(bytes, cuts: [4111])?.byteCount == bytes.count)
    }

    @Test(arguments: [Self.tcp4, Self.tcp6])
    func withoutAChecksumOnlyAddressBytesChangeAddresses(original: [UInt8]) {
        let expected = parsed(original)?.header
        for place in original.indices {
            for value in UInt8.min...UInt8.max where value != original[place] {
                var bytes = original
                bytes[place] = value
                guard let result = parsed(bytes + [1, 2, 3]) else { continue }
                if place < 16 {
                    // LOCAL is the only other thing a damaged head can say.
                    #expect(result.header == nil && bytes[12] == 0x20)
                } else {
                    #expect(result.header != nil && result.header != expected)
                }
            }
        }
    }

    @Test(arguments: [4, 6])
    func withAChecksumNoChangeOfAByteYieldsAnotherAddress(family: Int) throws {
        let expected =
            family == 4
            ? Self.header : ProxyHeader("[2001:db8::1]:56324", "[fd00::5]:443")
        let original = written { expected.writeV2(Self.full ?? .none, into: $0) }
        let checksumPlace = expected.v2ByteCount()
        var accepted = 0
        for place in original.indices {
            for value in UInt8.min...UInt8.max where value != original[place] {
                var bytes = original
                bytes[place] = value
                guard let result = parsed(bytes + [1, 2, 3]) else { continue }
                accepted += 1
                // Only a change that makes the checksum itself unreadable can pass.
                #expect(result.header == expected, "byte \(place) = \(value)")
                #expect((checksumPlace..<checksumPlace + 3).contains(place) || place == 15)
            }
        }
        #expect(accepted < 600)
    }

    @Test func noiseBehindTheSignatureNeverTraps() {
        var generator = SeededGenerator(seed: 4)
        var accepted = 0
        for _ in 0..<20_000 {
            var bytes = Self.signature + generator.bytes(Int(generator.below(80)))
            if bytes.count > 15, generator.chance(3, in: 4) {
                bytes[12] = generator.chance(1, in: 2) ? 0x21 : 0x20
                bytes[13] = [0x00, 0x11, 0x21, 0x12, 0x22][Int(generator.below(5))]
                bytes[14] = 0
                bytes[15] = UInt8(generator.below(64))
            }
            if let result = parsed(bytes) {
                accepted += 1
                #expect(result.byteCount <= bytes.count)
            }
        }
        #expect(accepted > 100)
    }

    @Test func whatIsWrittenIsReadBack() throws {
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<1000 {
            let header = generator.header(.stream)
            let tlvs = try #require(
                ProxyTLVs(
                    uniqueID: generator.bytes(Int(generator.below(129))),
                    authority: generator.bytes(Int(generator.below(256))),
                    keyFingerprint: generator.bytes(Int(generator.below(33))),
                    hasChecksum: generator.chance(1, in: 2)
                )
            )
            let bytes = written { header.writeV2(tlvs, into: $0) }
            var parser = ProxyHeaderParser(accepting: .v2)
            let outcome = bytes.withUnsafeBytes { parser.feed($0) }
            #expect(outcome == .header(header, consumed: bytes.count))
            #expect(parser.uniqueID == tlvs.uniqueID && parser.authority == tlvs.authority)
        }
    }

    @Test func oneListenerCanTakeBothVersionsButNeverGuessesBeyondThem() {
        #expect(parsed(Self.tcp4, accepting: .either) != nil)
        #expect(fault(Self.tcp4, accepting: .v1) == .versionTwo)
        #expect(fault(Array("PROXY UNKNOWN\r\n".utf8), accepting: .v2) == .versionOne)
        #expect(fault([0x56, 0xEC], accepting: .either) == .signature)
    }
}
