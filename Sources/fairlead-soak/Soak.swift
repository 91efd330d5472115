import CPoison
import Glibc
import Primitives
import Simulation

/// Runs simulated histories and says how many kept every promise.
///
///     fairlead-soak --seeds 300 [--first N]    that many, ending with a count
///     fairlead-soak --minutes 60 [--first N]   as many as the time allows
///     fairlead-soak --seed 41                  one, with what happened in it
///     fairlead-soak --siege 40                 one siege, likewise
///     fairlead-soak --sieges 100 [--first N]   that many sieges and nothing else
///
/// Every twentieth seed has a siege as well: honest peers beside hostile ones.
///
/// The environment variable SEED works like `--seed`.
@main
enum Soak {
    /// The seed at work, for the last words of a process that a trap ends.
    nonisolated(unsafe) private static var current: UInt64 = 0

    static func main() {
        for trap in [SIGILL, SIGTRAP] {
            signal(trap) { number in
                print("a trap at seed \(Soak.current)")
                fflush(nil)
                signal(number, SIG_DFL)
                raise(number)
            }
        }
        if let seed = Self.number("--seed") ?? Self.environment("SEED") {
            exit(Self.replay(seed) ? 0 : 1)
        }
        if let seed = Self.number("--siege") { exit(Self.replaySiege(seed) ? 0 : 1) }
        let first = Self.number("--first") ?? 0
        if let count = Self.number("--sieges") {
            var sieges = Siege.Statistics()
            let failed = (first..<first + count).count { !Self.survives($0, adding: &sieges) }
            exit(failed + Self.conclude(sieges) == 0 ? 0 : 1)
        }
        let minutes = Self.number("--minutes")
        let count = Self.number("--seeds") ?? (minutes == nil ? 300 : .max)
        let deadline = minutes.map { Self.seconds() + $0 * 60 } ?? .max
        var passed = 0
        var failed = Self.testTheChecks()
        passed += Sabotage.allCases.count - 1 - failed
        var seed = first
        var total = World.Statistics()
        var sieges = Siege.Statistics()
        while seed - first < count, Self.seconds() < deadline {
            if Self.runs(seed, adding: &total) { passed += 1 } else { failed += 1 }
            if seed % SiegeTrial.interval == 0 {
                if Self.survives(seed, adding: &sieges) { passed += 1 } else { failed += 1 }
            }
            seed += 1
        }
        print("histories: \(seed - first), \(total)")
        failed += Self.conclude(sieges)
        print("simulation: \(passed) passed, \(failed) failed, 0 skipped")
        exit(failed == 0 ? 0 : 1)
    }

    /// One history, and for every tenth the same again: it has to be the same.
    ///
    /// New memory holds other bytes the second time: so nothing is delivered or sent that nobody
    /// wrote.
    private static func runs(_ seed: UInt64, adding total: inout World.Statistics) -> Bool {
        Self.current = seed
        CPoison_fill(0x5A)
        let world = World(Scenario.drawn(from: seed))
        world.run()
        total.add(world.statistics)
        var faults = world.violations
        if faults.isEmpty, seed % 10 == 0 {
            CPoison_fill(0xA7)
            let again = World(Scenario.drawn(from: seed))
            again.run()
            if again.digest != world.digest { faults.append("the same seed gave another history") }
        }
        for fault in faults { print("seed \(seed): \(fault)") }
        return faults.isEmpty
    }

    /// Tells of all sieges; returns how many kinds of attack left no trace in any.
    private static func conclude(_ total: Siege.Statistics) -> Int {
        print("sieges: \(total)")
        let unseen = SiegeTrial.unseen(in: total)
        if !unseen.isEmpty { print("never counted: \(unseen.joined(separator: ", "))") }
        return unseen.count
    }

    private static func survives(_ seed: UInt64, adding total: inout Siege.Statistics) -> Bool {
        Self.current = seed
        let faults = SiegeTrial.faults(of: seed, adding: &total)
        for fault in faults { print("siege \(seed): \(fault)") }
        return faults.isEmpty
    }

    /// Each kind of mistake has to be found by the checks in at least one of some histories.
    ///
    /// Returns how many were not.
    private static func testTheChecks() -> Int {
        Sabotage.allCases.count { sabotage in
            guard sabotage != .none else { return false }
            let isFound = (0..<20 as Range<UInt64>).contains { seed in
                let scenario = Scenario.drawn(from: seed)
                let honest = World(scenario)
                honest.run()
                let world = World(scenario, sabotage: sabotage)
                world.run()
                return honest.violations.isEmpty && !world.violations.isEmpty
            }
            if !isFound { print("sabotage \(sabotage) was not noticed") }
            return !isFound
        }
    }

    private static func replay(_ seed: UInt64) -> Bool {
        let scenario = Scenario.drawn(from: seed)
        let world = World(scenario)
        let start = Self.seconds()
        print(scenario)
        world.narrate = { print($0.nanoseconds / 1_000, "us", $1) }
        world.run()
        print(world.statistics)
        print("virtual \(world.elapsed.milliseconds) ms, real \(Self.seconds() - start) s")
        print("digest \(String(world.digest.value, radix: 16))")
        for fault in world.violations { print(fault) }
        print(world.violations.isEmpty ? "every promise was kept" : "FAILED")
        return world.violations.isEmpty
    }

    private static func replaySiege(_ seed: UInt64) -> Bool {
        let start = Self.seconds()
        var total = Siege.Statistics()
        let faults = SiegeTrial.faults(of: seed, adding: &total) { war in
            war.narrate = { print($0.nanoseconds / 1_000, "us", $1) }
        }
        print(total)
        print("real \(Self.seconds() - start) s")
        for fault in faults { print(fault) }
        print(faults.isEmpty ? "every promise was kept" : "FAILED")
        return faults.isEmpty
    }

    private static func seconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec)
    }

    private static func number(_ name: String) -> UInt64? {
        let arguments = CommandLine.arguments
        guard let index = arguments.firstIndex(of: name) else { return nil }
        guard index + 1 < arguments.count, let value = UInt64(arguments[index + 1]) else {
            print("\(name) needs a number")
            exit(2)
        }
        return value
    }

    private static func environment(_ name: String) -> UInt64? {
        getenv(name).flatMap { UInt64(String(cString: $0)) }
    }
}
