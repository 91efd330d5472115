import Erasure
import Primitives
import Testing

@Suite struct ReedSolomonTests {
    /// Shards of a coded block.
    private func block(_ code: ReedSolomon, byteCount: Int, seed: UInt64) -> Buffers {
        var generator = SeededGenerator(seed: seed)
        let data = (0..<code.dataCount).map { _ in generator.bytes(byteCount) }
        let empty = [[UInt8]](repeating: [], count: code.parityCount)
        let shards = Buffers(data + empty, byteCount: byteCount)
        code.encode(shards.all, byteCount: byteCount)
        return shards
    }

    @Test(arguments: Galois.available)
    func parityIsTheCauchyMatrixTimesTheData(galois: Galois) {
        let code = ReedSolomon(dataCount: 10, parityCount: 6, galois: galois)
        let shards = self.block(code, byteCount: 131, seed: 1)
        for row in 0..<6 {
            let factors = (0..<10).map { ReferenceField.inverse(UInt8(10 + row) ^ UInt8($0)) }
            let expected = ReferenceField.combine(
                factors,
                (0..<10).map { shards[$0] },
                count: 131
            )
            #expect(shards[10 + row] == expected)
        }
        #expect(shards.areIntact)
    }

    @Test(arguments: Galois.available)
    func everyPatternOfLossIsDecoded(galois: Galois) {
        for (dataCount, parityCount) in [(1, 1), (4, 2), (3, 3), (5, 4)] {
            let code = ReedSolomon(
                dataCount: dataCount,
                parityCount: parityCount,
                galois: galois
            )
            let total = dataCount + parityCount
            let shards = self.block(code, byteCount: 40, seed: 2)
            let whole = (0..<total).map { shards[$0] }
            for pattern in 0..<(1 << total) {
                let isPresent = (0..<total).map { (pattern >> $0) & 1 == 1 }
                for index in 0..<total {
                    shards[index] =
                        isPresent[index] ? whole[index] : [UInt8](repeating: 0xEE, count: 40)
                }
                let isDecoded = isPresent.withUnsafeBufferPointer {
                    code.decode(shards.all, isPresent: $0, byteCount: 40)
                }
                let isPossible =
                    pattern.nonzeroBitCount >= dataCount
                    || isPresent[..<dataCount].allSatisfy { $0 }
                #expect(isDecoded == isPossible)
                guard isPossible else { continue }
                for index in 0..<dataCount { #expect(shards[index] == whole[index]) }
            }
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func largeBlocksSurviveRandomLoss(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let dataCount = 1 + Int(generator.below(60))
        let parityCount = 1 + Int(generator.below(30))
        let code = ReedSolomon(dataCount: dataCount, parityCount: parityCount)
        let byteCount = 1 + Int(generator.below(100))
        let shards = self.block(code, byteCount: byteCount, seed: seed)
        let whole = (0..<dataCount).map { shards[$0] }
        var isPresent = [Bool](repeating: true, count: dataCount + parityCount)
        for _ in 0..<parityCount {
            isPresent[Int(generator.below(UInt64(isPresent.count)))] = false
        }
        for index in 0..<dataCount where !isPresent[index] {
            shards[index] = generator.bytes(byteCount)
        }
        let isDecoded = isPresent.withUnsafeBufferPointer {
            code.decode(shards.all, isPresent: $0, byteCount: byteCount)
        }
        #expect(isDecoded)
        for index in 0..<dataCount { #expect(shards[index] == whole[index]) }
    }

    @Test func theLargestBlockIs256Shards() {
        let code = ReedSolomon(dataCount: 200, parityCount: 56)
        let shards = self.block(code, byteCount: 16, seed: 3)
        let whole = (0..<200).map { shards[$0] }
        let isPresent = (0..<256).map { $0 % 4 != 1 || $0 >= 200 }
        for index in 0..<200 where !isPresent[index] {
            shards[index] = [UInt8](repeating: 0, count: 16)
        }
        let isDecoded = isPresent.withUnsafeBufferPointer {
            code.decode(shards.all, isPresent: $0, byteCount: 16)
        }
        #expect(isDecoded)
        for index in 0..<200 { #expect(shards[index] == whole[index]) }
    }
}
