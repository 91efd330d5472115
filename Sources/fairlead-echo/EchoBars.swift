import Glibc
import Primitives
import Trials

/// Measures what a game's messages suffer and cost on bad paths, against the bars.
///
///     fairlead-echo [--sessions 20] [--flows 1] [--seconds 60] [--first 1] [--only TEXT]
///
/// Each row pools that many sessions, which start cold one after the other; `--flows` puts so many
/// flows into each.
@main
enum EchoBars {
    static func main() {
        let sessions = Self.number("--sessions") ?? 20
        let flows = Self.number("--flows") ?? 1
        let seconds = Self.number("--seconds") ?? 60
        let first = Self.number("--first") ?? 1
        let only = Self.text("--only")
        print(
            "| path | undelivered % | in 5 s | p50 | p99 | p99.9 | past age % "
                + "| kbit/s | packets/msg | B/msg | x UDP | bulk Mbit/s | missed |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
        var failed = 0
        for bar in EchoBar.all {
            guard only.map({ bar.name.hasPrefix($0) }) ?? true else { continue }
            var settings = bar.settings
            settings.flows = Int(flows)
            settings.seconds = seconds
            var pooled = EchoResult()
            for seed in first..<first + sessions {
                pooled.add(EchoTrial(settings, seed: seed).run())
            }
            let misses = bar.misses(pooled)
            failed += misses.isEmpty ? 0 : 1
            Self.row(bar, pooled, misses)
        }
        exit(failed == 0 ? 0 : 1)
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

    private static func number(_ name: String) -> UInt64? { Self.text(name).flatMap { UInt64($0) } }

    private static func text(_ name: String) -> String? {
        let arguments = CommandLine.arguments
        guard let place = arguments.firstIndex(of: name), place + 1 < arguments.count else {
            return nil
        }
        return arguments[place + 1]
    }
}
