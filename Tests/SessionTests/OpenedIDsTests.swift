import Primitives
import Testing

@testable import Session

@Suite struct OpenedIDsTests {
    /// The last 8192 ids are told apart; older ones count as used.
    @Test func remembersWhatWasOpened() {
        var dice = SeededGenerator(seed: 5)
        var ids = OpenedIDs()
        var model: Set<UInt32> = []
        var highest: UInt32 = 0
        for step in 0..<20_000 {
            let id = UInt32(max(0, step - Int(dice.below(3000))) + 1)
            let known = ids.contains(id)
            let isBelow = highest >= 8192 && id <= highest - 8192
            #expect(known == (model.contains(id) || isBelow))
            if dice.chance(1, in: 2) {
                ids.insert(id)
                model.insert(id)
                highest = max(highest, id)
            }
        }
    }
}
