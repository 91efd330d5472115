import Primitives
import Testing

/// The ring against a dictionary of bytes by offset.
@Suite struct ByteRingTests {
    @Test(arguments: UInt64(0)..<24)
    func keepsWhatADictionaryKeeps(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        // Every third ring begins just below the end of 32 bits, every third far above it.
        var start = [0, UInt64(UInt32.max) - 3000, 1 << 50][Int(seed % 3)]
        var end = start
        var ring = ByteRing()
        var model: [UInt64: UInt8] = [:]
        for _ in 0..<400 {
            switch random.below(5) {
            case 0, 1:
                let bytes = (0..<random.below(700)).map { _ in UInt8(random.below(256)) }
                ring.grow(
                    toHold: Int(end - start) + bytes.count,
                    keeping: start..<end,
                    beginningAt: 64
                )
                bytes.withUnsafeBytes { ring.place($0, at: end) }
                for (index, byte) in bytes.enumerated() { model[end + UInt64(index)] = byte }
                end += UInt64(bytes.count)
            case 2 where end > start:
                // Overwrites in the middle of what lives.
                let at = start + random.below(end - start)
                let bytes = [UInt8](repeating: UInt8(random.below(256)), count: 1)
                bytes.withUnsafeBytes { ring.place($0, at: at) }
                model[at] = bytes[0]
            case 3:
                start += random.below(end - start + 1)
            default:
                let from = start + random.below(end - start + 1)
                let count = Int(random.below(end - from + 1))
                self.expect(ring, model, from: from, count: count)
            }
        }
        self.expect(ring, model, from: start, count: Int(end - start))
        ring.release()
        #expect(ring.capacity == 0)
    }

    private func expect(
        _ ring: borrowing ByteRing,
        _ model: [UInt64: UInt8],
        from: UInt64,
        count: Int
    ) {
        let wanted = (0..<count).map { model[from + UInt64($0)] }
        let copied = UnsafeMutableRawBufferPointer.allocate(byteCount: count + 1, alignment: 1)
        defer { copied.deallocate() }
        copied[count] = 0xA5
        if let target = copied.baseAddress { ring.copy(from: from, count: count, to: target) }
        #expect(copied.dropLast().map(Optional.some) == wanted && copied[count] == 0xA5)
        let run = ring.contiguous(from: from, count: count)
        #expect(run.count <= count && (count == 0 || run.count > 0))
        #expect(run.map(Optional.some) == [UInt8?](wanted.prefix(run.count)))
    }

    /// What overruns is our own mistake, and ends the process before it touches memory.
    @Test func trapsBeyondItsCapacity() async {
        await #expect(processExitsWith: .failure) {
            var ring = ByteRing()
            ring.grow(toHold: 64, keeping: 0..<0, beginningAt: 64)
            let bytes = [UInt8](repeating: 1, count: 65)
            bytes.withUnsafeBytes { ring.place($0, at: 0) }
        }
        await #expect(processExitsWith: .failure) {
            var ring = ByteRing()
            ring.grow(toHold: 64, keeping: 0..<0, beginningAt: 48)
        }
        await #expect(processExitsWith: .failure) {
            var ring = ByteRing()
            ring.grow(toHold: 64, keeping: 0..<0, beginningAt: 64)
            _ = ring.contiguous(from: 0, count: -1)
        }
    }
}
