import Primitives
import Testing

@testable import Session

/// Slots and handles against a dictionary that never uses one twice.
@Suite struct SlotMapTests {
    private enum Tag {}

    /// Counts how many of it there are.
    private struct Element: ~Copyable {
        let handle: Handle<Tag>
        let value: Int
        let living: Counter

        init(_ handle: Handle<Tag>, _ value: Int, _ living: Counter) {
            self.handle = handle
            self.value = value
            self.living = living
            living.count += 1
        }

        deinit { self.living.count -= 1 }
    }

    private final class Counter {
        var count = 0
    }

    @Test func findsWhatIsThereAndNothingElse() {
        let living = Counter()
        var model: [Handle<Tag>: Int] = [:]
        var dead: [Handle<Tag>] = []
        do {
            let map = SlotMap<Element, Tag>(limit: 200)
            var dice = SeededGenerator(seed: 5)
            for step in 0..<5_000 {
                if dice.chance(11, in: 20) {
                    let made = map.insert { Element($0, step, living) }
                    #expect((made == nil) == (model.count == 200))
                    guard let made else { continue }
                    #expect(made.pointee.handle.slot < 200, "slots are dense")
                    model[made.pointee.handle] = step
                } else if let handle = model.keys.min(by: { $0.slot < $1.slot }) {
                    map.release(handle.slot)
                    model[handle] = nil
                    dead.append(handle)
                }
                #expect(map.count == model.count && living.count == model.count)
                #expect(map.isFull == (model.count == 200))
            }
            for (handle, value) in model {
                #expect(map.find(handle)?.pointee.value == value)
                #expect(map.live(handle.slot)?.pointee.handle == handle)
            }
            #expect(dead.allSatisfy { map.find($0) == nil })
            #expect(map.live(map.slots.upperBound) == nil)
            var seen: Set<UInt32> = []
            for _ in 0..<4 { map.sample { seen.insert($0.pointee.handle.slot) } }
            #expect(seen == Set(model.keys.map(\.slot)), "the sample comes round to all of them")
        }
        #expect(living.count == 0, "what is left ends with the map")
    }

    @Test func addressesDoNotMove() {
        let map = SlotMap<Element, Tag>(limit: 1_000)
        let first = map.insert { Element($0, 1, Counter()) }
        for _ in 0..<500 { _ = map.insert { Element($0, 2, Counter()) } }
        #expect(map.live(0) == first)
        #expect(first?.pointee.value == 1)
    }
}
