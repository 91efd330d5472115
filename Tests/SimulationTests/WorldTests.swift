import CPoison
import Primitives
import Testing

@testable import Simulation

/// A few histories in the debug build, where every precondition and overflow check is on; the many
/// are run by `testkit soak`.
@Suite struct WorldTests {
    @Test(arguments: 1_000..<1_012 as Range<UInt64>)
    func everyPromiseIsKept(seed: UInt64) {
        let world = World(Scenario.drawn(from: seed))
        world.run()
        #expect(world.violations == [], "seed \(seed)")
    }

    /// Histories that broke a promise once: 1983, a client that answered every renewal of its keys
    /// with the next one; 9013, 20107 and 42467, endless packets with nothing but OPEN;
    /// 40730, a compressed stream whose last bytes decompressed to none; 56, a client that moved
    /// while it shook hands and went on asking with a key that was answered elsewhere; 119 and 157,
    /// memory that was charged late.
    @Test(arguments: [56, 119, 157, 1_983, 9_013, 20_107, 40_730, 42_467] as [UInt64])
    func whatWentWrongOnceDoesNotAgain(seed: UInt64) {
        let world = World(Scenario.drawn(from: seed))
        world.run()
        #expect(world.violations == [], "seed \(seed)")
    }

    /// New memory holds other bytes the second time: nothing is delivered or sent of what nobody
    /// wrote.
    @Test func theSameSeedGivesTheSameHistory() {
        defer { CPoison_stop() }
        let digests = ([0x5A, 0xA7] as [Int32]).map { poison in
            CPoison_fill(poison)
            let world = World(Scenario.drawn(from: 1_002))
            world.run()
            return world.digest
        }
        #expect(digests[0] == digests[1])
    }

    @Test func differentSeedsGiveDifferentHistories() {
        let digests = (1_000..<1_004 as Range<UInt64>).map { seed in
            let world = World(Scenario.drawn(from: seed))
            world.run()
            return world.digest
        }
        #expect(Set(digests).count == 4)
    }

    /// The test of the test: a mistake made on purpose has to be found.
    @Test(arguments: Sabotage.allCases.filter { $0 != .none })
    func sabotageIsNoticed(sabotage: Sabotage) {
        let isNoticed = (1_000..<1_010 as Range<UInt64>).contains { seed in
            let scenario = Scenario.drawn(from: seed)
            let honest = World(scenario)
            honest.run()
            let world = World(scenario, sabotage: sabotage)
            world.run()
            return honest.violations.isEmpty && !world.violations.isEmpty
        }
        #expect(isNoticed)
    }
}

@Suite struct PatternTests {
    @Test func anyPieceIsTheSameFromAnyOffset() {
        let pattern = Pattern(key: 77)
        var whole = [UInt8](repeating: 0, count: 1_000)
        whole.withUnsafeMutableBytes { pattern.fill($0, from: 0) }
        for (start, count) in [(0, 0), (1, 7), (7, 2), (8, 8), (13, 900), (999, 1)] {
            var piece = [UInt8](repeating: 0, count: count)
            piece.withUnsafeMutableBytes { pattern.fill($0, from: UInt64(start)) }
            #expect(piece == Array(whole[start..<start + count]))
            piece.withUnsafeBytes {
                #expect(pattern.firstDifference($0, from: UInt64(start)) == nil)
            }
        }
    }

    @Test func differencesAreFound() {
        let pattern = Pattern(key: 78)
        var bytes = [UInt8](repeating: 0, count: 100)
        bytes.withUnsafeMutableBytes { pattern.fill($0, from: 5) }
        bytes[61] ^= 1
        bytes.withUnsafeBytes {
            #expect(pattern.firstDifference($0, from: 5) == 61)
            #expect(pattern.firstDifference($0, from: 6) == 0)
        }
    }
}
