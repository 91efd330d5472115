import ArgumentParser
import Glibc
import Primitives
import Trials

/// Measures what a game's messages suffer and cost on bad paths, against the bars.
struct EchoBars: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "echo",
        abstract: "A game's messages on bad paths, held to their bars, in virtual time.",
        discussion: """
            Each row pools many sessions, which start cold one after the other.

            Example: testkit echo --sessions 5 --only "loss 1 %"
            """
    )

    @Option(help: "Sessions a row.")
    var sessions: UInt64 = 20

    @Option(help: "Flows in each session.")
    var flows = 1

    @Option(help: "Length of each session.")
    var seconds: UInt64 = 60

    @Option(help: "The first seed.")
    var first: UInt64 = 1

    @Option(help: ArgumentHelp("Rows whose name begins so.", valueName: "text"))
    var only: String?

    func validate() throws {
        guard self.sessions > 0, self.seconds > 0, 1...1_000 ~= self.flows else {
            throw ValidationError("--sessions, --seconds and --flows are at least 1")
        }
    }

    func run() throws {
        print(
            "| path | undelivered % | in 5 s | p50 | p99 | p99.9 | past age % "
                + "| kbit/s | packets/msg | B/msg | x UDP | bulk Mbit/s | missed |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
        var failed = 0
        for bar in EchoBar.all {
            guard self.only.map({ bar.name.hasPrefix($0) }) ?? true else { continue }
            var settings = bar.settings
            settings.flows = self.flows
            settings.seconds = self.seconds
            var pooled = EchoResult()
            for seed in self.first..<self.first + self.sessions {
                pooled.add(EchoTrial(settings, seed: seed).run())
            }
            let misses = bar.misses(pooled)
            failed += misses.isEmpty ? 0 : 1
            Self.row(bar, pooled, misses)
        }
        if failed > 0 { throw ExitCode.failure }
    }

    private static func row(_ bar: EchoBar, _ result: EchoResult, _ misses: [String]) {
        let base = Double(bar.settings.roundTrip.microseconds) / 1000
        let columns = [
            bar.name,
            Self.text(result.undelivered * 100, 3),
            "\(result.earlyLosses)",
            Self.text(result.quantile(0.5) - base, 1),
            Self.text(result.quantile(0.99) - base, 1),
            Self.text(result.quantile(0.999) - base, 1),
            Self.text(result.undelivered(within: bar.settings.maximumAge) * 100, 3),
            Self.text(result.redundancyRate, 1),
            Self.text(result.packetsPerMessage, 2),
            Self.text(result.bytesPerMessage, 0),
            Self.text(bar.expansion(result), 2),
            Self.text(result.bulkRate, 1),
            misses.joined(separator: ", "),
        ]
        print("| " + columns.joined(separator: " | ") + " |")
        fflush(nil)
    }

    private static func text(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite else { return "never" }
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let rounded = (value * scale).rounded() / scale
        return digits == 0 ? "\(Int(rounded))" : "\(rounded)"
    }
}
