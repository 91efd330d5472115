import Primitives
import Testing

/// The ring against a dictionary by index.
@Suite struct IndexedRingTests {
    @Test(arguments: UInt64(0)..<16)
    func keepsWhatADictionaryKeeps(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var ring = IndexedRing<UInt64>(capacity: 1 << Int(random.below(5)))
        var head = [0, UInt64(UInt32.max) - 50, 1 << 60][Int(seed % 3)]
        var tail = head
        var model: [UInt64: UInt64] = [:]
        for _ in 0..<2000 {
            switch random.below(7) {
            case 0, 1, 2:
                let live = head..<tail
                ring.grow(toHold: live.count + 1, keeping: live)
                let value = random.next()
                ring[tail] = value
                model[tail] = value
                tail += 1
            case 3 where tail > head:
                let index = head + random.below(tail - head)
                ring.pointer(index).pointee &+= 1
                model[index, default: 0] &+= 1
            case 4, 5:
                head += random.below(min(tail - head, 3) + 1)
            default:
                for index in head..<tail where ring[index] != model[index] {
                    Issue.record("seed \(seed): index \(index) differs")
                }
            }
        }
        for index in head..<tail { #expect(ring[index] == model[index]) }
    }

    @Test func trapsOnWhatCannotBe() async {
        await #expect(processExitsWith: .failure) { _ = IndexedRing<UInt8>(capacity: 3) }
        await #expect(processExitsWith: .failure) { _ = IndexedRing<UInt8>(capacity: 0) }
        await #expect(processExitsWith: .failure) {
            var ring = IndexedRing<UInt8>(capacity: 4)
            ring.grow(toHold: 8, keeping: 0..<5)
        }
    }
}
