import CPoison
import Primitives
import Testing

@testable import Compression

@Suite("A compressed direction of a stream")
struct CompressedStreamTests {
    @Test("gives back what was written, however it is split", arguments: 0..<40 as Range<UInt64>)
    func roundTrip(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let writer = CompressedStreamWriter()
        let reader = CompressedStreamReader()
        var written: [UInt8] = []
        var framed: [UInt8] = []
        for piece in 0..<Int(generator.below(30) + 1) {
            let count = Int(generator.below(generator.chance(1, in: 3) ? 60_000 : 300))
            let bytes =
                generator.chance(2, in: 3)
                ? Sample.text(count, seed: seed &+ UInt64(piece))
                : Sample.noise(count, seed: seed &+ UInt64(piece))
            written += bytes
            framed += writer.frame(
                bytes,
                flush: generator.chance(1, in: 2),
                room: CompressedStreamWriter.leastRoom + Int(generator.below(5000))
            )
        }
        framed += writer.frame([], flush: true)
        #expect(!writer.holdsBack)

        var decoded: [UInt8] = []
        var rest = framed[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Int(generator.below(3000) + 1))
            decoded += reader.decode(Array(piece), room: Int(generator.below(3000) + 1))
            rest = rest.dropFirst(piece.count)
        }
        #expect(!reader.isCorrupt)
        #expect(reader.isBetweenBlocks)
        #expect(decoded == written)
    }

    @Test("lets everything out at a flush")
    func flushLatency() {
        let writer = CompressedStreamWriter()
        let reader = CompressedStreamReader()
        for turn in 0..<3000 as Range<UInt64> {
            let message = Sample.text(Int(turn % 90) + 1, seed: turn)
            #expect(reader.decode(writer.frame(message)) == message)
        }
    }

    @Test("holds nothing when room is scarce", arguments: [32, 33, 40, 100])
    func scarceRoom(room: Int) {
        let writer = CompressedStreamWriter()
        let message = Sample.text(20_000, seed: 4) + Sample.noise(3_000, seed: 5)
        #expect(CompressedStreamReader().decode(writer.frame(message, room: room)) == message)
    }

    @Test("writes nothing where there is no room")
    func noRoom() {
        let writer = CompressedStreamWriter()
        var scratch = [UInt8](repeating: 0, count: CompressedStreamWriter.leastRoom - 1)
        let step = [1, 2, 3].withUnsafeBytes { source in
            scratch.withUnsafeMutableBytes { writer.write(source, into: $0, flush: true) }
        }
        #expect(step == (0, 0))
    }

    @Test("grows incompressible input by less than 0.2 %")
    func expansion() {
        let writer = CompressedStreamWriter()
        let noise = Sample.noise(1 << 20, seed: 9)
        let framed = writer.frame(noise, room: 65_536)
        #expect(framed.count < noise.count + noise.count / 500)
        #expect(!writer.isCompressing)
        #expect(CompressedStreamReader().decode(framed) == noise)
    }

    @Test("makes text smaller")
    func shrinks() {
        let text = Sample.text(1 << 20, seed: 2)
        #expect(CompressedStreamWriter().frame(text, room: 65_536).count < text.count / 2)
    }

    @Test("keeps what shrinks to nothing within what a reader takes", arguments: [1, 900, 16_384])
    func thin(piece: Int) {
        var generator = SeededGenerator(seed: UInt64(piece))
        let writer = CompressedStreamWriter()
        let reader = CompressedStreamReader()
        var written: [UInt8] = []
        var decoded: [UInt8] = []
        var framed = 0
        for turn in 0..<(2 << 20) / max(piece, 200) {
            let count = Int(generator.below(UInt64(piece))) + 1
            let bytes =
                turn % 50 == 49
                ? Sample.noise(count, seed: UInt64(turn)) : [UInt8](repeating: 7, count: count)
            let block = writer.frame(bytes, room: 32_768)
            written += bytes
            framed += block.count
            decoded += reader.decode(block, room: Int(generator.below(20_000) + 1))
        }
        #expect(reader.fault == nil)
        #expect(decoded == written)
        if piece > 10_000 { #expect(framed < written.count / 15) }
    }

    /// One block of 8 MiB of zeros, as no writer of ours makes it.
    private func bomb() -> [UInt8] {
        var bomb = [UInt8](repeating: 0, count: 65_000)
        let step = [UInt8](repeating: 0, count: 8 << 20).withUnsafeBytes { source in
            bomb.withUnsafeMutableBytes { StreamDeflater().compress(source, into: $0, flush: true) }
        }
        return [1, UInt8(step.produced & 255), UInt8(step.produced >> 8)] + bomb[..<step.produced]
    }

    @Test("unfolds to no more than its share", arguments: [1, 700, 16_384, 1 << 20])
    func share(room: Int) {
        let bomb = self.bomb()
        let reader = CompressedStreamReader()
        let decoded = reader.decode(bomb, room: room)
        #expect(reader.fault == .excessive)
        #expect(
            decoded.count <= InflationAllowance.burst * 2 + InflationAllowance.ratio * bomb.count
        )
        #expect(decoded.count >= InflationAllowance.burst - room)
        #expect(reader.decode([0, 1, 0, 65]).isEmpty)
    }

    @Test("inflates nothing where it must not")
    func forbidden() {
        let reader = CompressedStreamReader()
        reader.mayInflate = false
        let writer = CompressedStreamWriter(mayCompress: false)
        let text = Sample.text(5000, seed: 6)
        #expect(reader.decode(writer.frame(text)) == text)
        writer.mayCompress = true
        #expect(reader.decode(writer.frame(text)).isEmpty)
        #expect(reader.fault == .forbidden)
    }

    @Test("begins to compress where it is told to")
    func permission() {
        let writer = CompressedStreamWriter(mayCompress: false)
        let reader = CompressedStreamReader()
        let text = Sample.text(9000, seed: 7)
        let stored = writer.frame(text)
        #expect(stored.count > text.count)
        #expect(!writer.isCompressing)
        writer.mayCompress = true
        let deflated = writer.frame(text)
        #expect(deflated.count < text.count / 2)
        #expect(reader.decode(stored + deflated) == text + text)
    }

    @Test("fills no more than the room given, whatever the input unfolds to")
    func boundedRoom() {
        let bomb = self.bomb()
        let reader = CompressedStreamReader()
        var room = [UInt8](repeating: 7, count: 1000)
        let step = bomb.withUnsafeBytes { source in
            room.withUnsafeMutableBytes {
                reader.read(source, into: UnsafeMutableRawBufferPointer(rebasing: $0[..<900]))
            }
        }
        #expect(step.produced == 900)
        #expect(room[900...].allSatisfy { $0 == 7 })
    }

    @Test("survives any one byte being changed")
    func mutation() {
        let text = Sample.text(3000, seed: 3) + Sample.noise(200, seed: 3)
        let framed = CompressedStreamWriter().frame(text)
        for index in framed.indices {
            for change in [1, 0x80, 0xFF] as [UInt8] {
                var damaged = framed
                damaged[index] ^= change
                _ = CompressedStreamReader().decode(damaged, limit: 1 << 20)
            }
        }
    }

    /// Distances that reach back to before the first byte are among what a changed bit makes of a
    /// block: they would copy whatever the window's memory held before.
    @Test("gives nothing out that nobody sent", arguments: 0..<10 as Range<UInt64>)
    func unwrittenMemory(seed: UInt64) {
        defer { CPoison_stop() }
        let framed = CompressedStreamWriter().frame(Sample.text(300, seed: seed))
        let datagram = Array(framed[3...]) + [3, 0]
        var given: [[UInt8]] = []
        for poison in [0x5A, 0xA7] as [Int32] {
            CPoison_fill(poison)
            var bytes: [UInt8] = []
            for bit in 24..<framed.count * 8 {
                var damaged = framed
                damaged[bit / 8] ^= 1 << (bit % 8)
                bytes += CompressedStreamReader().decode(damaged, limit: 1 << 16)
                var packed = datagram
                packed[bit / 8 - 3] ^= 1 << (bit % 8)
                var output = [UInt8](repeating: 0, count: 65_507)
                let count = packed.withUnsafeBytes { source in
                    output.withUnsafeMutableBytes {
                        DatagramCompressor().decompressDatagram(source, into: $0)
                    }
                }
                bytes += output[..<(count ?? 0)]
            }
            given.append(bytes)
        }
        #expect(given[0] == given[1])
        #expect(given[0].count > 10_000)
    }

    @Test("survives noise", arguments: 0..<200 as Range<UInt64>)
    func noise(seed: UInt64) {
        var noise = Sample.noise(2000, seed: seed)
        noise[0] = UInt8(seed & 1)
        _ = CompressedStreamReader().decode(noise, room: 50)
    }

    @Test(
        "refuses malformed blocks",
        arguments: [
            [2, 1, 0, 0], [0, 0, 0], [1, 0, 0], [1, 2, 0, 0xFF, 0xFF], [1, 2, 0, 3, 0],
        ]
    )
    func malformed(bytes: [UInt8]) {
        let reader = CompressedStreamReader()
        #expect(reader.decode(bytes).isEmpty)
        #expect(reader.isCorrupt)
        #expect(reader.decode([0, 1, 0, 65]).isEmpty)
    }

    @Test("knows a whole block from a cut one")
    func boundaries() {
        let framed = CompressedStreamWriter().frame(Sample.text(100, seed: 1))
        for count in 0...framed.count {
            let reader = CompressedStreamReader()
            _ = reader.decode(Array(framed[..<count]))
            #expect(reader.isBetweenBlocks == (count == 0 || count == framed.count))
        }
    }
}
