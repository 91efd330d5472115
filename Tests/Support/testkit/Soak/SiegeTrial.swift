import CPoison
import Simulation

/// One siege: at war, at war over memory that holds other bytes, and in peace.
enum SiegeTrial {
    /// Every so many seeds have one beside their history.
    static let interval: UInt64 = 20

    /// What the server cannot have failed to see in so many sieges that each deed was tried often.
    static func unseen(in total: Siege.Statistics) -> [String] {
        guard total.sieges >= 50 else { return [] }
        return [
            "compression-forbidden", "flow-evicted", "handshake-limited", "handshake-refused",
            "inflation-budget", "malformed", "protocol-violation", "reassembly-full",
            "reassembly-stale", "repair-budget", "replayed", "session-memory", "stream-evicted",
            "stream-limit", "unauthentic", "unknown-flow", "unknown-session", "unknown-stream",
        ].filter { total.drops[$0] == nil }
    }

    /// What went wrong; `tell` makes the first war tell what happens.
    static func faults(
        of seed: UInt64,
        adding total: inout Siege.Statistics,
        tell: ((Siege) -> Void)? = nil
    ) -> [String] {
        CPoison_fill(0x5A)
        let war = Siege(seed)
        tell?(war)
        war.heap = { Int(clamping: CPoison_heap()) }
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
