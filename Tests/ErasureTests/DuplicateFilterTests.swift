import Erasure
import Primitives
import Testing

@Suite struct DuplicateFilterTests {
    /// Against a set that remembers everything, with jumps, wrap-around and stragglers.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func agreesWithASet(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var filter = DuplicateFilter()
        var seen: Set<UInt32> = []
        var newest = UInt32(truncatingIfNeeded: UInt64.max - generator.below(3000))
        let isFirstNew = filter.admit(newest)
        #expect(isFirstNew)
        seen.insert(newest)
        for _ in 0..<5000 {
            let forward = UInt32(generator.below(generator.chance(1, in: 100) ? 2000 : 3))
            let number =
                generator.chance(1, in: 2)
                ? newest &+ forward : newest &- UInt32(generator.below(1200))
            let distance = Int(Int32(bitPattern: number &- newest))
            let expected = distance > -DuplicateFilter.window && !seen.contains(number)
            let isNew = filter.admit(number)
            #expect(isNew == expected)
            seen.insert(number)
            if distance > 0 { newest = number }
        }
    }
}
