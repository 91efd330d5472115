import ArgumentParser
import Glibc
import Primitives
import Trials

/// Measures the engine against the bars of a bad network, in virtual time.
struct TrialBars: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trials",
        abstract: "Downloads, rivals, steps and video held to their bars, in virtual time.",
        discussion: """
            Prints the median of each figure over the seeds, then the worst; ends with 1 if a \
            median misses. All of them take minutes.

            Groups: \(Self.groups.joined(separator: ", "))
            Example: testkit trials --name echo --seeds 1
            """
    )

    private static let groups = Set(Bar.all.map(\.group)).sorted()

    @Option(help: "Trials of this group alone.")
    var group: String?

    @Option(help: ArgumentHelp("Trials whose name has this in it.", valueName: "part"))
    var name: String?

    @Option(help: "Runs of each trial.")
    var seeds: UInt64 = 3

    @Option(help: "The first seed.")
    var first: UInt64 = 1

    func validate() throws {
        guard self.seeds > 0 else { throw ValidationError("--seeds is at least 1") }
        guard self.group.map(Self.groups.contains) ?? true else {
            throw ValidationError("the groups are \(Self.groups.joined(separator: ", "))")
        }
        guard self.name.map({ part in Bar.all.contains { $0.trial.name.contains(part) } }) ?? true
        else { throw ValidationError("no trial has that in its name") }
    }

    func run() throws {
        var missed = 0
        for bar in Bar.all {
            guard self.group == nil || bar.group == self.group,
                self.name.map(bar.trial.name.contains) ?? true
            else { continue }
            let outcomes = (self.first..<self.first + self.seeds).map {
                Course(bar.trial, seed: $0).run()
            }
            var line = Self.pad(bar.trial.name, 36)
            for check in bar.checks {
                let values = outcomes.map(check.figure).sorted()
                let median = values[values.count / 2]
                let worst = check.isCeiling ? values[values.count - 1] : values[0]
                let isKept = check.isKept(by: median)
                if !isKept { missed += 1 }
                let bound = "\(check.isCeiling ? "<=" : ">=") \(Self.round(check.bound))"
                line += " | \(check.label) \(Self.round(median)) (\(Self.round(worst))) \(bound)"
                line += isKept ? "" : " MISSED"
            }
            print(line)
            fflush(nil)
        }
        print("missed: \(missed)")
        if missed > 0 { throw ExitCode.failure }
    }

    /// Three decimals at most.
    private static func round(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }

    private static func pad(_ text: String, _ count: Int) -> String {
        text + String(repeating: " ", count: max(0, count - text.count))
    }
}
