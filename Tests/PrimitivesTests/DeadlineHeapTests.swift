import Primitives
import Testing

/// The heap against an array that is searched from end to end.
@Suite struct DeadlineHeapTests {
    @Test(arguments: UInt64(0)..<16)
    func findsTheEarliestAsASearchDoes(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var heap = DeadlineHeap()
        let slots = 1 + Int(random.below(60))
        var model = [Instant](repeating: .never, count: slots)
        // Few different times, so that equal ones are common.
        let times = 1 + random.below(seed % 2 == 0 ? 12 : 1_000_000)
        for _ in 0..<3000 {
            let slot = Int(random.below(UInt64(slots)))
            let at: Instant =
                random.chance(1, in: 4) ? .never : Instant(nanoseconds: random.below(times))
            heap.set(slot, to: at)
            model[slot] = at
            let earliest = model.min() ?? .never
            #expect(heap.next == earliest)
            let now = Instant(nanoseconds: random.below(times))
            if let due = heap.due(at: now) {
                #expect(model[due] == earliest && earliest <= now)
            } else {
                #expect(earliest > now)
            }
        }
        // Taken out one by one they come in order.
        var last = Instant(nanoseconds: 0)
        while let slot = heap.due(at: Instant(nanoseconds: .max - 1)) {
            #expect(model[slot] >= last)
            last = model[slot]
            heap.set(slot, to: .never)
            model[slot] = .never
        }
        #expect(model.allSatisfy { $0 == .never } && heap.next == .never)
    }

    @Test func trapsOnANegativeSlot() async {
        await #expect(processExitsWith: .failure) {
            var heap = DeadlineHeap()
            heap.set(-1, to: Instant(nanoseconds: 1))
        }
    }
}
