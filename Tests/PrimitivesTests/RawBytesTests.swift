import Primitives
import Testing

/// Reader and writer against arrays and arithmetic byte by byte.
@Suite struct RawBytesTests {
    /// One field of each width, written and read at every alignment, in random order.
    @Test(arguments: UInt64(0)..<24)
    func readsWhatWasWritten(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var model: [UInt8] = []
        var widths: [Int] = []
        let written = [UInt8](unsafeUninitializedCapacity: 4096) { target, count in
            guard let base = target.baseAddress else { return }
            var writer = ByteWriter(base, capacity: 4096)
            while writer.room >= 64 {
                let width = [1, 2, 4, 8, 0][Int(random.below(5))]
                let value = random.next()
                widths.append(width)
                switch width {
                case 1: writer.write(UInt8(truncatingIfNeeded: value))
                case 2: writer.write(UInt16(truncatingIfNeeded: value))
                case 4: writer.write(UInt32(truncatingIfNeeded: value))
                case 8: writer.write(value)
                default:
                    let run = (0..<random.below(40)).map { UInt8($0 &+ value & 127) }
                    run.withUnsafeBytes { writer.write($0) }
                    widths[widths.count - 1] = -run.count
                    model += run
                }
                for byte in 0..<width { model.append(UInt8(value >> (8 * UInt64(byte)) & 255)) }
                #expect(writer.count == model.count && writer.room == 4096 - model.count)
            }
            count = writer.count
        }
        #expect(written == model)
        written.withUnsafeBytes { self.readBack($0, model, widths) }
    }

    private func readBack(_ bytes: UnsafeRawBufferPointer, _ model: [UInt8], _ widths: [Int]) {
        var reader = ByteReader(bytes)
        var at = 0
        for width in widths {
            let value = (0..<max(width, 0)).reduce(UInt64(0)) {
                $0 | UInt64(model[at + $1]) << (8 * UInt64($1))
            }
            switch width {
            case 1: #expect(reader.read(UInt8.self).map(UInt64.init) == value)
            case 2: #expect(reader.read(UInt16.self).map(UInt64.init) == value)
            case 4: #expect(reader.read(UInt32.self).map(UInt64.init) == value)
            case 8: #expect(reader.read(UInt64.self) == value)
            default:
                let run = reader.read(count: -width)
                #expect(run?.elementsEqual(model[at..<at - width]) == true)
            }
            at += abs(width)
            #expect(reader.remaining == model.count - at)
            #expect(reader.rest.elementsEqual(model[at...]))
        }
    }

    /// A peer's length is weather: too long or negative is nil, and nothing is consumed.
    @Test(arguments: 0...9)
    func isNilPastTheEnd(length: Int) {
        let bytes = [UInt8](repeating: 7, count: length)
        bytes.withUnsafeBytes { buffer in
            for count in [-1, Int.min, length + 1, Int.max] {
                var reader = ByteReader(buffer)
                #expect(reader.read(count: count) == nil && reader.remaining == length)
            }
            var reader = ByteReader(buffer)
            #expect((reader.read(UInt64.self) != nil) == (length >= 8))
            #expect(reader.remaining == (length >= 8 ? length - 8 : length))
            var whole = ByteReader(buffer)
            #expect(whole.read(count: length)?.count == length)
            #expect(whole.read(UInt8.self) == nil && whole.rest.isEmpty)
        }
    }

    /// Our own overrun is a mistake of ours and ends the process before it touches memory.
    @Test func trapsWhenOverrunOrNegative() async {
        await #expect(processExitsWith: .failure) {
            var bytes = [UInt8](repeating: 0, count: 64)
            bytes.withUnsafeMutableBytes { buffer in
                guard let base = buffer.baseAddress else { return }
                var writer = ByteWriter(base, capacity: 3)
                writer.write(UInt32(1))
            }
        }
        await #expect(processExitsWith: .failure) {
            var bytes = [UInt8](repeating: 0, count: 64)
            bytes.withUnsafeMutableBytes { buffer in
                guard let base = buffer.baseAddress else { return }
                var writer = ByteWriter(base, capacity: 3)
                writer.write(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<4]))
            }
        }
        await #expect(processExitsWith: .failure) {
            let bytes = [UInt8](repeating: 0, count: 8)
            bytes.withUnsafeBytes { buffer in
                guard let base = buffer.baseAddress else { return }
                _ = ByteReader(base, count: -1)
            }
        }
    }
}
