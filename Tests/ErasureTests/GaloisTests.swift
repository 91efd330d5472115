import Erasure
import Primitives
import Testing

@Suite struct GaloisTests {
    @Test func theTablesAreTheField() {
        var wrong = 0
        for a in 0...255 {
            for b in 0...255 where Galois.multiply(UInt8(a), UInt8(b)) != ReferenceField.table[a][b]
            {
                wrong += 1
            }
        }
        #expect(wrong == 0)
        for a in UInt8(1)...255 {
            #expect(ReferenceField.table[Int(a)][Int(Galois.inverse(a))] == 1)
        }
        // RFC 8681 and every RAID-6 use the generator 2 of this polynomial: 2^8 = 0x1d.
        #expect(Galois.multiply(0x80, 2) == 0x1D)
    }

    @Test func theBestKernelIsTheLastOne() {
        #expect(Galois.available.first?.name == "portable")
        #expect(Galois.available.last == Galois.best)
    }

    @Test(arguments: Galois.available)
    func multipliesEveryByteByEveryFactor(galois: Galois) {
        let source = Buffers([(0...255).map { UInt8($0) }], byteCount: 256)
        let target = Buffers([[]], byteCount: 256)
        for factor in 0...255 {
            target[0] = [UInt8](repeating: 0x5A, count: 256)
            galois.multiplyAdd(target.all[0], source.all[0], count: 256, factor: UInt8(factor))
            #expect(target[0] == ReferenceField.table[factor].map { $0 ^ 0x5A })
        }
    }

    @Test(arguments: Galois.available)
    func scalesInPlaceAtEveryLength(galois: Galois) {
        var generator = SeededGenerator(seed: 7)
        for length in 0...200 {
            let bytes = generator.bytes(length)
            let factor = UInt8(generator.below(256))
            let buffer = Buffers([bytes], byteCount: length)
            galois.multiplyAdd(buffer.all[0], buffer.all[0], count: length, factor: factor)
            #expect(buffer[0] == bytes.map { ReferenceField.table[Int(factor ^ 1)][Int($0)] })
            #expect(buffer.areIntact)
        }
    }

    @Test(arguments: Galois.available, 0..<60 as Range<UInt64>)
    func combinesLikeTheReference(galois: Galois, seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let inputs = Int(generator.below(12))
        let outputs = 1 + Int(generator.below(9))
        let length = Int(generator.below(300))
        let adds = generator.chance(1, in: 2)
        let factors = generator.bytes(inputs * outputs)
        let data = (0..<inputs).map { _ in generator.bytes(length) }
        let before = (0..<outputs).map { _ in generator.bytes(length) }
        let sources = Buffers(data, byteCount: length)
        let targets = Buffers(before, byteCount: length)
        sources.sources.withUnsafeBufferPointer { sources in
            targets.targets.withUnsafeBufferPointer { targets in
                factors.withUnsafeBufferPointer { factors in
                    guard let factors = factors.baseAddress else { return }
                    galois.combine(
                        sources,
                        factors: factors,
                        into: targets,
                        count: length,
                        adds: adds
                    )
                }
            }
        }
        guard inputs > 0 else { return }
        for output in 0..<outputs {
            let row = Array(factors[output * inputs..<(output + 1) * inputs])
            var expected = ReferenceField.combine(row, data, count: length)
            if adds { expected = zip(expected, before[output]).map { $0 ^ $1 } }
            #expect(targets[output] == expected)
        }
        #expect(targets.areIntact && sources.areIntact)
        for input in 0..<inputs { #expect(sources[input] == data[input]) }
    }
}
