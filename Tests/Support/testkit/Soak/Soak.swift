import ArgumentParser
import CPoison
import Glibc
import Primitives
import Simulation

/// Runs simulated histories and says how many kept every promise.
///
/// Every twentieth seed has a siege as well: honest peers beside hostile ones.
struct Soak: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "soak",
        abstract: "Simulated histories, each held to every promise.",
        discussion: """
            Every twentieth seed has a siege as well: honest peers beside hostile ones. Ends with \
            `simulation: P passed, F failed, S skipped`. The environment variable SEED works like \
            --seed.

            Examples:
              testkit soak --seeds 300 --first 10000
              testkit soak --minutes 60
              testkit soak --seed 4711
              testkit soak --sieges 200
              testkit soak --siege 1017
            """
    )

    @Option(help: "So many histories; 300 without --minutes.")
    var seeds: UInt64?

    @Option(help: "As many histories as the time allows.")
    var minutes: UInt64?

    @Option(help: "The first seed.")
    var first: UInt64 = 0

    @Option(help: "One history, with what happens in it.")
    var seed: UInt64?

    @Option(help: "One siege, with what happens in it.")
    var siege: UInt64?

    @Option(help: "So many sieges and nothing else.")
    var sieges: UInt64?

    func validate() throws {
        let tasks = [self.seeds ?? self.minutes, self.seed, self.siege, self.sieges]
        guard tasks.compactMap(\.self).count < 2
        else { throw ValidationError("histories, one history, one siege or sieges: choose one") }
    }

    /// The seed at work, for the last words of a process that a trap ends.
    nonisolated(unsafe) private static var current: UInt64 = 0

    func run() throws {
        for trap in [SIGILL, SIGTRAP] {
            signal(trap) { number in
                print("a trap at seed \(Soak.current)")
                fflush(nil)
                signal(number, SIG_DFL)
                raise(number)
            }
        }
        if let seed = self.seed ?? Self.environment("SEED") {
            return try Self.end(Self.replay(seed))
        }
        if let seed = self.siege { return try Self.end(Self.replaySiege(seed)) }
        if let count = self.sieges {
            var sieges = Siege.Statistics()
            let seeds = self.first..<self.first + count
            let failed = seeds.count { !Self.survives($0, adding: &sieges) }
            return try Self.end(failed + Self.conclude(sieges) == 0)
        }
        try Self.end(self.soak() == 0)
    }

    private static func end(_ isGood: Bool) throws { if !isGood { throw ExitCode.failure } }

    /// Returns how much failed.
    private func soak() -> Int {
        let count = self.seeds ?? (self.minutes == nil ? 300 : .max)
        let deadline = self.minutes.map { Self.seconds() + $0 * 60 } ?? .max
        var passed = 0
        var failed = Self.testTheChecks()
        passed += Sabotage.allCases.count - 1 - failed
        var seed = self.first
        var total = World.Statistics()
        var sieges = Siege.Statistics()
        while seed - self.first < count, Self.seconds() < deadline {
            if Self.runs(seed, adding: &total) { passed += 1 } else { failed += 1 }
            if seed % SiegeTrial.interval == 0 {
                if Self.survives(seed, adding: &sieges) { passed += 1 } else { failed += 1 }
            }
            seed += 1
        }
        print("histories: \(seed - self.first), \(total)")
        failed += Self.conclude(sieges)
        print("simulation: \(passed) passed, \(failed) failed, 0 skipped")
        return failed
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

    private static func environment(_ name: String) -> UInt64? {
        getenv(name).flatMap { UInt64(String(cString: $0)) }
    }
}
