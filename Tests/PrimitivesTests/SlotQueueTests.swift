import Primitives
import Testing

/// The queue against an array.
@Suite struct SlotQueueTests {
    @Test(arguments: UInt64(0)..<16)
    func keepsTheOrderOfAnArray(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var queue = SlotQueue()
        var model: [UInt32] = []
        // In turns it grows and drains.
        for step in 0..<4000 {
            let growing = step / 500 % 2 == 0
            if random.below(2000) == 0 {
                queue.removeAll()
                model.removeAll()
            } else if random.chance(growing ? 2 : 1, in: 3) {
                let slot = UInt32(truncatingIfNeeded: random.next())
                queue.append(slot)
                model.append(slot)
            } else {
                #expect(queue.popFirst() == (model.isEmpty ? nil : model.removeFirst()))
            }
            #expect(queue.count == model.count && queue.isEmpty == model.isEmpty)
            #expect(queue.first == model.first)
        }
    }
}
