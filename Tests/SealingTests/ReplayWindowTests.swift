import Primitives
import Sealing
import Testing

@Suite struct ReplayWindowTests {
    /// Everything the window must know, without forgetting: a set, and the highest number.
    private struct Model {
        var seen: Set<UInt64> = []
        var highest: UInt64 = 0

        func isFresh(_ counter: UInt64) -> Bool {
            let isTooOld = counter <= self.highest && self.highest - counter >= ReplayWindow.reach
            return !isTooOld && !self.seen.contains(counter)
        }

        mutating func accept(_ counter: UInt64) {
            self.seen.insert(counter)
            self.highest = max(self.highest, counter)
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func agreesWithASet(seed: UInt64) {
        var dice = SeededGenerator(seed: seed)
        var window = ReplayWindow()
        var model = Model()
        var disagreements = 0
        for _ in 0..<3000 {
            let base = model.highest
            let counter: UInt64 =
                switch dice.below(20) {
                case 0: base &+ dice.below(30_000)
                case 1: base &+ 64 * dice.below(300)
                case 2...4: base - min(base, dice.below(8300))
                case 5: base - min(base, ReplayWindow.reach - 1 + dice.below(3))
                default: base &+ dice.below(4) &- min(base, dice.below(9))
                }
            let isFresh = window.isFresh(counter)
            if isFresh != model.isFresh(counter) { disagreements += 1 }
            if isFresh {
                window.accept(counter)
                model.accept(counter)
            }
        }
        #expect(disagreements == 0)
    }

    @Test func keepsItsEdges() {
        let reach = ReplayWindow.reach
        var window = ReplayWindow()
        var answers: [Bool] = []
        func ask(_ counter: UInt64, _ window: inout ReplayWindow) {
            answers.append(window.isFresh(counter))
            if window.isFresh(counter) { window.accept(counter) }
        }
        for counter in [0, 1, 1, 9, 8, 7, 7, 6, 5, 0] { ask(UInt64(counter), &window) }
        #expect(answers == [true, true, false, true, true, true, false, true, true, false])
        answers = []
        ask(reach + 16, &window)
        ask(16, &window)
        ask(17, &window)
        ask(17, &window)
        #expect(answers == [true, false, true, false])
        answers = []
        let last: UInt64 = 1 << 56 - 1
        ask(last, &window)
        ask(last, &window)
        ask(last - reach, &window)
        ask(last - reach + 1, &window)
        #expect(answers == [true, false, false, true])
    }
}
