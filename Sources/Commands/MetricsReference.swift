import Configuration
import Primitives
import Runtime

/// `docs/METRICS.md` and what `fairlead help metrics` says, made from the tables of metrics.
enum MetricsReference {
    private static let width = 120

    /// What the numbers of a group are about, by the labels that say whose they are.
    private static let groups: [(subject: [String], heading: String)] = [
        (["version", "role"], "The program"),
        ([], "The process"),
        (["peer", "address"], "A session"),
        (["service"], "A service"),
        (["service", "backend"], "A backend"),
    ]

    static let markdown: String = {
        let parts = Self.head + Self.groups.map(Self.group) + [Self.reasons]
        return parts.joined(separator: "\n\n") + "\n"
    }()

    private static let head = [
        "# Metrics",
        Self.wrapped(
            "`make docs` writes this page from the tables that stand beside the counters."
                + " `fairlead help metrics NAME` shows the same on a terminal."
        ),
        Self.wrapped(
            "`/metrics` shows these numbers in Prometheus' text format, at the address of `admin`"
                + " and on the control socket: `curl --unix-socket /run/fairlead/server.sock"
                + " http://localhost/metrics`. A counter begins at 0 when the process starts and"
                + " only grows. A metric without anything to tell of, such as a backend's on a"
                + " client, is absent. `/status` and `fairlead status --json` show the process'"
                + " counters as `counters`, without `_total` and with the direction in the name."
        ),
    ]

    private static func group(_ subject: [String], _ heading: String) -> String {
        let rows = ProcessStatus.descriptors.filter { $0.subject == subject }.map { metric in
            let labels = metric.labels.map { "`\($0)`" }.joined(separator: " ")
            return "| `\(Self.name(metric))` | \(metric.kind.rawValue) | \(metric.unit.rawValue)"
                + " | \(labels) | \(metric.help) |"
        }
        let titles = ["| metric | type | unit | labels | |", "|---|---|---|---|---|"]
        return "## \(heading)\n\n" + (titles + rows).joined(separator: "\n")
    }

    private static let reasons =
        "## Reasons of drops\n\n"
        + Self.wrapped(
            "The label `reason` of `fairlead_drops_total` has these values, on both ends and from"
                + " the start:"
        )
        + "\n\n| reason | what is thrown away |\n|---|---|\n"
        + ProcessStatus.dropReasons.map { "| `\($0.label)` | \($0.meaning) |" }
        .joined(separator: "\n")

    /// Every metric with its sentence.
    static var overview: String {
        let names = ProcessStatus.descriptors.map(Self.name)
        let width = names.map(\.count).max() ?? 0
        let lines = zip(names, ProcessStatus.descriptors).map { name, metric in
            "  " + name + String(repeating: " ", count: width - name.count + 2) + metric.help
        }
        return "The metrics of both programs, as /metrics shows them:\n\n"
            + lines.joined(separator: "\n")
    }

    /// All about one metric; `name` with or without the program's.
    static func answer(to name: String) -> String? {
        let wanted = name.hasPrefix(Self.prefix) ? name : Self.prefix + name
        guard let metric = ProcessStatus.descriptors.first(where: { Self.name($0) == wanted })
        else { return nil }
        let facts = [
            "\(wanted): \(metric.help)",
            "  type:   \(metric.kind.rawValue)",
            "  unit:   \(metric.unit.rawValue)",
            "  labels: \(metric.labels.isEmpty ? "none" : metric.labels.joined(separator: ", "))",
        ]
        guard metric.split == "reason" else { return facts.joined(separator: "\n") }
        let reasons = ProcessStatus.dropReasons.map { "    \($0.label): \($0.meaning)" }
        return (facts + reasons).joined(separator: "\n")
    }

    static func suggestion(for name: String) -> String? {
        let wanted = name.hasPrefix(Self.prefix) ? name : Self.prefix + name
        let names = ProcessStatus.descriptors.map(Self.name)
        return names.first { $0.hasPrefix(wanted) } ?? Spelling.nearest(to: wanted, among: names)
    }

    private static let prefix = "fairlead_"

    private static func name(_ metric: MetricDescriptor) -> String { Self.prefix + metric.name }

    private static func wrapped(_ text: String) -> String {
        Paragraph.wrapped(text, width: Self.width)
    }
}
