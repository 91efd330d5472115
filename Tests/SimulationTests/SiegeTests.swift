import CPoison
import Primitives
import Testing

@testable import Simulation

/// A few short sieges in the debug build; the many are run by `testkit soak`.
@Suite struct SiegeTests {
    @Test(arguments: [3] as [UInt64])
    func everyPromiseIsKept(seed: UInt64) {
        defer { CPoison_stop() }
        let wars = ([0x5A, 0xA7] as [Int32]).map { poison in
            CPoison_fill(poison)
            let war = Siege(seed, length: .seconds(4))
            war.run()
            return war
        }
        let peace = Siege(seed, isAtWar: false, length: .seconds(4))
        peace.run()
        #expect(wars[0].violations == [], "seed \(seed)")
        #expect(wars[0].digest == wars[1].digest, "seed \(seed)")
        #expect(wars[0].delays(against: peace) == [], "seed \(seed)")
        // It was one.
        #expect(wars[0].statistics.hostileSessions > 2)
        #expect(wars[0].statistics.drops.count > 3)
        #expect(peace.statistics.drops["malformed"] == nil)
    }

    /// The bombs are what they claim to be.
    @Test func aBombIsMuchShorterThanWhatItHolds() {
        #expect(DeflateBomb.bytes(of: 65_536, isFinal: true).count < 500)
    }
}
