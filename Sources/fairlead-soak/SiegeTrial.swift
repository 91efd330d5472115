import CPoison
import Simulation

/// One siege: at war, at war over memory that holds other bytes, and in peace.
enum SiegeTrial {
    /// Every so many seeds have one beside their history.
    static let interval: UInt64 = 20

    /// What went wrong; `tell` makes the first war tell what happens.
    static func faults(
        of seed: UInt64,
        adding total: inout Siege.Statistics,
        tell: ((Siege) -> Void)? = nil
    ) -> [String] {
        CPoison_fill(0x5A)
        let war = Siege(seed)
        tell?(war)
        war.run()
        total.add(war.statistics)
        guard war.violations.isEmpty else { return war.violations }
        CPoison_fill(0xA7)
        let again = Siege(seed)
        again.run()
        if again.digest != war.digest {
            return ["bytes came out that nobody wrote, or the same seed gave another siege"]
        }
        let peace = Siege(seed, isAtWar: false)
        peace.run()
        return peace.violations.map { "in peace, \($0)" } + war.delays(against: peace)
    }
}
