import Netem
import Primitives

/// Everything a scenario came to, and how it is written down.
public struct Report: Sendable {
    /// What was run.
    public var scenario: Scenario
    /// What it ran on, as pairs of a name and a value.
    public var machine: [(String, String)]
    /// One result for each run that ended well.
    public var results: [RunResult] = []
    /// Stacks that could not run here, and why.
    public var skipped: [Stack: String] = [:]
    /// Runs that failed, a line each with the cause.
    public var failures: [String] = []

    /// A report of a scenario of which nothing has run.
    public init(scenario: Scenario, machine: [(String, String)] = []) {
        self.scenario = scenario
        self.machine = machine
    }

    /// The losses the scenario tries; `nil` alone when it leaves the link as it is.
    var losses: [UInt32?] { self.scenario.losses.isEmpty ? [nil] : self.scenario.losses }

    /// The runs of one measure and loss, pooled over the seeds, in the scenario's order of stacks.
    func pooled(_ measure: Measure, loss: UInt32? = nil) -> [PooledResult] {
        self.scenario.stacks.compactMap { stack in
            let runs = self.results.filter {
                $0.stack == stack && $0.measure == measure && $0.loss == loss
            }
            return runs.isEmpty ? nil : PooledResult(stack: stack, runs: runs)
        }
    }

    /// Writes `results.json`, `report.md` and the plots into `folder`, which is made.
    public func write(to folder: String) throws(LabFailure) {
        try TextFile.makeFolder(folder)
        try TextFile.write(self.json.description + "\n", to: "\(folder)/results.json")
        try TextFile.write(self.markdown, to: "\(folder)/report.md")
        for (name, plot) in self.plots { try TextFile.write(plot, to: "\(folder)/\(name)") }
    }

    /// One line about one run, for the terminal.
    static func line(_ result: RunResult) -> String {
        let pooled = PooledResult(stack: result.stack, runs: [result])
        var text = "\(result.measure.rawValue) \(result.stack.rawValue) seed \(result.seed):"
        if !result.roundTrips.isEmpty {
            let quantiles = [0.5, 0.95, 0.99].map { Decimal.text(pooled.answered.quantile($0)) }
            text += " p50/p95/p99 \(quantiles.joined(separator: "/")) ms,"
            text += " undelivered \(pooled.undelivered) of \(pooled.sent)"
        }
        if let loss = result.loss { text = "\(Self.percent(loss)) loss, " + text }
        if let goodput = result.goodput {
            text += " \(Decimal.text(goodput)) Mbit/s, wire/goodput "
            text += Decimal.text(result.wirePerGoodput, 2)
        }
        if !result.setups.isEmpty {
            text +=
                " set-up p50 \(Decimal.text(Samples(result.setups.compactMap { $0 }).median)) ms"
        }
        return text + " (link late p99 \(Decimal.text(result.linkLatenessP99, 0)) µs)"
    }
}

/// The runs of one stack and one measure, with different seeds.
struct PooledResult {
    let stack: Stack
    let runs: [RunResult]
    /// Round trips of all messages that were answered.
    let answered: Samples
    let sent: Int

    init(stack: Stack, runs: [RunResult]) {
        self.stack = stack
        self.runs = runs
        let all = runs.flatMap(\.roundTrips)
        self.answered = Samples(all.compactMap { $0 })
        self.sent = all.count
    }

    var undelivered: Int { self.sent - self.answered.count }

    /// The median over the runs that have the value.
    func median(_ value: (RunResult) -> Double?) -> Double? {
        Samples(self.runs.compactMap(value)).median
    }

    /// `12.3 (11.0–13.5)`: the median with the least and the greatest, or one value alone.
    func range(_ places: Int = 1, _ value: (RunResult) -> Double?) -> String {
        let samples = Samples(self.runs.compactMap(value))
        guard let least = samples.sorted.first, let greatest = samples.sorted.last else {
            return "–"
        }
        let middle = Decimal.text(samples.median, places)
        if samples.count == 1 { return middle }
        return "\(middle) (\(Decimal.text(least, places))–\(Decimal.text(greatest, places)))"
    }
}
