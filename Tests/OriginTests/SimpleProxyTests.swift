import Primitives
import Testing

@testable import Origin

@Suite struct SimpleProxyTests {
    static let golden = hex(
        """
        56EC 00000000000000000000FFFFC0000201 20010DB8000000000000000000000001 DC04 4ABC
        """
    )
    static let header = ProxyHeader("192.0.2.1:56324", "[2001:db8::1]:19132", .datagram)

    @Test func golden() {
        #expect(written { Self.header.writeSimple(into: $0) } == Self.golden)
        let datagram = Self.golden + [1, 2]
        #expect(datagram.withUnsafeBytes { ProxyHeader(simple: $0) } == Self.header)
        #expect(written(capacity: 37) { Self.header.writeSimple(into: $0) } == [])
    }

    @Test func prefixesAndWrongMagicAreRefused() {
        for count in 0..<38 {
            #expect(Self.golden.prefix(count).withUnsafeBytes { ProxyHeader(simple: $0) } == nil)
        }
        for place in 0..<2 {
            for value in UInt8.min...UInt8.max where value != Self.golden[place] {
                var bytes = Self.golden
                bytes[place] = value
                #expect(bytes.withUnsafeBytes { ProxyHeader(simple: $0) } == nil)
            }
        }
    }

    @Test func whatIsReadIsWrittenAgainBitForBit() {
        var generator = SeededGenerator(seed: 6)
        for _ in 0..<2000 {
            var bytes = hex("56EC") + generator.bytes(36)
            if generator.chance(1, in: 3) {
                bytes.replaceSubrange(2..<12, with: repeatElement(0, count: 10))
            }
            let header = bytes.withUnsafeBytes { ProxyHeader(simple: $0) }
            #expect(header != nil)
            if let header { #expect(written { header.writeSimple(into: $0) } == bytes) }
        }
    }

    @Test func onlyItsOwnHeaderIsCutOffAReply() {
        let own = Self.golden + [5, 6]
        #expect(own.withUnsafeBytes { Self.header.simpleByteCount(ofReply: $0) } == 38)
        for place in Self.golden.indices {
            var other = own
            other[place] ^= 1
            #expect(other.withUnsafeBytes { Self.header.simpleByteCount(ofReply: $0) } == 0)
        }
        #expect([].withUnsafeBytes { Self.header.simpleByteCount(ofReply: $0) } == 0)
    }
}
