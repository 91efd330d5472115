import Primitives
import Testing

@testable import Lab

@Suite struct PortTranslationTests {
    /// An IPv4 packet with a right checksum over pseudo-header and transport.
    static func packet(_ number: UInt8, _ ports: (UInt16, UInt16), _ payload: [UInt8]) -> [UInt8] {
        let header = number == 17 ? 8 : 20
        var packet = [UInt8](repeating: 0, count: 20 + header) + payload
        packet[0] = 0x45
        packet[9] = number
        packet.replaceSubrange(12..<20, with: [10, 88, 1, 2, 10, 88, 2, 2])
        for (index, port) in [ports.0, ports.1].enumerated() {
            packet[20 + 2 * index] = UInt8(port >> 8)
            packet[21 + 2 * index] = UInt8(truncatingIfNeeded: port)
        }
        let sum = ~Self.sum(packet)
        let place = number == 17 ? 26 : 36
        packet[place] = UInt8(sum >> 8)
        packet[place + 1] = UInt8(truncatingIfNeeded: sum)
        return packet
    }

    /// The ones' complement sum of everything the checksum covers; 0xFFFF when it is right.
    static func sum(_ packet: [UInt8]) -> UInt16 {
        let length = packet.count - 20
        var bytes = Array(packet[12...]) + [0, packet[9], UInt8(length >> 8), UInt8(length & 255)]
        if length % 2 == 1 { bytes.insert(0, at: 8 + length) }
        var sum: UInt32 = 0
        for index in stride(from: 0, to: bytes.count, by: 2) {
            sum += UInt32(bytes[index]) << 8 | UInt32(bytes[index + 1])
        }
        while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
        return UInt16(sum)
    }

    static func port(_ packet: [UInt8], _ offset: Int) -> UInt16 {
        UInt16(packet[offset]) << 8 | UInt16(packet[offset + 1])
    }

    @Test(arguments: [UInt8(6), 17])
    func everyPortComesBackWithARightChecksum(number: UInt8) {
        var random = SeededGenerator(seed: UInt64(number))
        var nat = PortTranslation()
        nat.rebind()
        for _ in 0..<500 {
            let own = UInt16(1_024 + random.below(64_000))
            let payload = (0..<random.below(40)).map { _ in UInt8(truncatingIfNeeded: random.next())
            }
            var up = Self.packet(number, (own, 4_600), payload)
            #expect(Self.sum(up) == 0xFFFF)
            up.withUnsafeMutableBytes { nat.translateUp($0) }
            let outer = Self.port(up, 20)
            #expect(outer != own && Self.sum(up) == 0xFFFF)
            var down = Self.packet(number, (4_600, outer), payload)
            let passes = down.withUnsafeMutableBytes { nat.translateDown($0) }
            #expect(passes && Self.port(down, 22) == own && Self.sum(down) == 0xFFFF)
        }
    }

    @Test func anOldMappingIsGone() {
        var nat = PortTranslation()
        var up = Self.packet(17, (5_000, 4_600), [1])
        up.withUnsafeMutableBytes { nat.translateUp($0) }
        #expect(Self.port(up, 20) == 5_000)
        nat.rebind()
        var down = Self.packet(17, (4_600, 5_000), [1])
        let before = down.withUnsafeMutableBytes { nat.translateDown($0) }
        #expect(!before)
        up.withUnsafeMutableBytes { nat.translateUp($0) }
        let first = Self.port(up, 20)
        nat.rebind()
        down = Self.packet(17, (4_600, first), [1])
        let after = down.withUnsafeMutableBytes { nat.translateDown($0) }
        #expect(!after)
    }
}
