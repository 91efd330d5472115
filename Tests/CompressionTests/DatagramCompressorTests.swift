import Primitives
import Testing

@testable import Compression

@Suite("A compressed datagram")
struct DatagramCompressorTests {
    let compressor = DatagramCompressor()

    private func compress(_ datagram: [UInt8], room: Int = 70_000) -> [UInt8]? {
        var output = [UInt8](repeating: 0, count: room)
        let count = datagram.withUnsafeBytes { source in
            output.withUnsafeMutableBytes { self.compressor.compressDatagram(source, into: $0) }
        }
        return count.map { Array(output[..<$0]) }
    }

    private func decompress(_ datagram: [UInt8], room: Int = 70_000) -> [UInt8]? {
        var output = [UInt8](repeating: 0, count: room)
        let count = datagram.withUnsafeBytes { source in
            output.withUnsafeMutableBytes { self.compressor.decompressDatagram(source, into: $0) }
        }
        return count.map { Array(output[..<$0]) }
    }

    @Test("comes back, and is smaller or not compressed at all")
    func roundTrip() throws {
        var compressedCount = 0
        for seed in 0..<300 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            let count = Int(generator.below(seed % 10 == 0 ? 65_508 : 1500))
            let datagram =
                seed % 3 == 0 ? Sample.noise(count, seed: seed) : Sample.text(count, seed: seed)
            guard let compressed = self.compress(datagram) else { continue }
            compressedCount += 1
            #expect(compressed.count < datagram.count)
            #expect(self.decompress(compressed) == datagram)
        }
        #expect(compressedCount > 150)
    }

    @Test("is refused when it would not be smaller or has no room")
    func refused() {
        #expect(self.compress([]) == nil)
        #expect(self.compress([1]) == nil)
        #expect(self.compress(Sample.noise(1000, seed: 1)) == nil)
        #expect(self.compress(Sample.text(1000, seed: 1), room: 20) == nil)
        #expect(self.compress(Sample.text(65_508, seed: 1)) == nil)
        #expect(self.decompress([]) == nil)
    }

    @Test("never unfolds beyond what UDP carries or the room given")
    func bounded() throws {
        let text = Sample.text(DatagramCompressor.largestDatagram, seed: 3)
        let compressed = try #require(self.compress(text))
        #expect(self.decompress(compressed) == text)
        #expect(self.decompress(compressed, room: text.count - 1) == nil)
        // A peer would not take what unfolds to so much more.
        #expect(self.compress([UInt8](repeating: 0, count: 1200)) == nil)

        let deflater = StreamDeflater()
        var bomb = [UInt8](repeating: 0, count: 4096)
        let step = [UInt8](repeating: 0, count: 1 << 20).withUnsafeBytes { source in
            bomb.withUnsafeMutableBytes { deflater.compress(source, into: $0, flush: true) }
        }
        #expect(self.decompress(Array(bomb[..<step.produced]) + [3, 0], room: 2 << 20) == nil)
    }

    @Test("costs its flow what it unfolds to, whole or damaged")
    func charged() throws {
        let text = Sample.text(20_000, seed: 12)
        let compressed = try #require(self.compress(text))
        for isDamaged in [false, true] {
            var allowance = InflationAllowance()
            var output = [UInt8](repeating: 0, count: 70_000)
            var input = compressed
            if isDamaged { input.append(0) }
            for turn in 1...4 {
                let count = input.withUnsafeBytes { source in
                    output.withUnsafeMutableBytes {
                        self.compressor.decompressDatagram(source, into: $0, within: &allowance)
                    }
                }
                #expect(count == (isDamaged || turn == 4 ? nil : text.count))
                let left = InflationAllowance.burst - turn * text.count
                #expect(allowance.byteCount == (turn == 4 ? -1 : left))
            }
        }
    }

    @Test("survives damage, and the compressor with it")
    func damage() throws {
        let datagram = Sample.text(700, seed: 8)
        let compressed = try #require(self.compress(datagram))
        for index in compressed.indices {
            var damaged = compressed
            damaged[index] ^= 0x55
            _ = self.decompress(damaged)
            #expect(self.decompress(Array(compressed[..<index])) == nil)
        }
        #expect(self.decompress(compressed + [0]) == nil)
        #expect(self.decompress(compressed) == datagram)
    }
}
