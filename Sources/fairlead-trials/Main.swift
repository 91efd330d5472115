import Glibc
import Primitives
import Trials

/// Measures the engine against the bars of a bad network, in virtual time.
///
///     fairlead-trials [--group NAME] [--name PART] [--seeds N] [--first N]
///
/// Prints the median of each figure over the seeds, then the worst; exits 1 if a median misses.
@main
enum Main {
    private static let usage = """
        usage: fairlead-trials [--group NAME] [--name PART] [--seeds N] [--first N]

        Measures the engine against its bars in virtual time: minutes for all of them.
        Groups: \(Set(Bar.all.map(\.group)).sorted().joined(separator: ", "))
        Example: fairlead-trials --name echo --seeds 1
        """

    static func main() {
        let known = ["--group", "--name", "--seeds", "--first"]
        let words = CommandLine.arguments.dropFirst()
        let isHelp = words.contains("--help") || words.contains("-h")
        let names = words.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
        if isHelp || words.count % 2 != 0 || !names.allSatisfy(known.contains) {
            print(Self.usage)
            exit(isHelp ? 0 : 2)
        }
        let group = Self.option("--group")
        let part = Self.option("--name")
        let seeds = Self.option("--seeds").flatMap { Int($0) } ?? 3
        let first = Self.option("--first").flatMap { UInt64($0) } ?? 1
        var missed = 0
        for bar in Bar.all {
            guard group == nil || bar.group == group, part.map(bar.trial.name.contains) ?? true
            else { continue }
            let outcomes = (0..<UInt64(seeds)).map { Course(bar.trial, seed: first + $0).run() }
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
        exit(missed == 0 ? 0 : 1)
    }

    private static func option(_ name: String) -> String? {
        let arguments = CommandLine.arguments
        guard let index = arguments.firstIndex(of: name), index + 1 < arguments.count else {
            return nil
        }
        return arguments[index + 1]
    }

    /// Three decimals at most.
    private static func round(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }

    private static func pad(_ text: String, _ count: Int) -> String {
        text + String(repeating: " ", count: max(0, count - text.count))
    }
}
