import Glibc
import LinuxIO
import Primitives
import Synchronization

/// Runs scenarios.
///
/// Needs root, for namespaces and devices.
public final class Laboratory {
    private let interruptions: Interruptions
    private let options: LabOptions
    private let say: (String) -> Void

    /// - Parameter say: told of every run in one line.
    ///
    /// Must be made before any other thread.
    public init(_ options: LabOptions, say: @escaping (String) -> Void) throws {
        guard geteuid() == 0 else {
            throw LabFailure("the laboratory makes network namespaces and needs root")
        }
        self.interruptions = try Interruptions()
        self.options = options
        self.say = say
    }

    /// The scenario as the options change it.
    private func adjusted(_ scenario: Scenario) -> Scenario {
        var scenario = self.options.isShortened ? scenario.shortened() : scenario
        if let duration = self.options.duration { scenario.duration = duration }
        let (stacks, measures) = (self.options.stacks, self.options.measures)
        if !stacks.isEmpty { scenario.stacks = stacks }
        if !measures.isEmpty { scenario.measures = measures }
        return scenario
    }

    /// Runs every measure with every loss and seed, the stacks one after the other within each, so
    /// that what changes on the machine meanwhile meets all of them.
    public func run(_ scenario: Scenario) throws -> Report {
        let scenario = self.adjusted(scenario)
        var report = Report(scenario: scenario, machine: Machine.describe())
        let losses: [UInt32?] = scenario.losses.isEmpty ? [nil] : scenario.losses
        var runs: [RunResult] = []
        for measure in scenario.measures {
            for loss in losses {
                for seed in scenario.seeds {
                    for stack in scenario.stacks where stack.supports(measure) {
                        runs.append(
                            RunResult(stack: stack, measure: measure, seed: seed, loss: loss)
                        )
                    }
                }
            }
        }
        for (index, run) in runs.enumerated() {
            try self.add(run, "\(index + 1)/\(runs.count)", to: &report)
        }
        return report
    }

    /// Runs what `run` describes, unless its stack was skipped before.
    private func add(_ run: RunResult, _ place: String, to report: inout Report) throws {
        let name = "\(report.scenario.name) \(place)"
        guard report.skipped[run.stack] == nil else { return }
        do {
            let result = try self.measured(run, report.scenario)
            report.results.append(result)
            self.say("\(name): \(Report.line(result))")
        } catch let skip as SkippedStack {
            report.skipped[run.stack] = skip.reason
            self.say("\(name): \(run.stack.rawValue) skipped: \(skip.reason)")
        } catch let interruption as LabInterruption {
            throw interruption
        } catch {
            let words = "\(run.measure.rawValue) \(run.stack.rawValue) seed \(run.seed): \(error)"
            report.failures.append(words)
            self.say("\(name): failed: \(words)")
        }
    }

    private func measured(_ run: RunResult, _ scenario: Scenario) throws -> RunResult {
        var result = run
        let scenario = run.loss.map { scenario.losing($0) } ?? scenario
        result.loadAverage = Machine.loadAverage()
        let bed = try TestBed(scenario, seed: run.seed, options: self.options)
        var isOpen = true
        defer { if isOpen { bed.close() } }
        let carrier = try Carrier.start(run.stack, in: bed, for: run.measure, self.interruptions)
        result.coldStart = carrier.coldStart
        let companions = try Companions(run.stack.companions(of: scenario), carrier, in: bed.client)
        defer { companions.close() }
        try self.measure(&result, scenario, carrier, bed)
        if let strangers = bed.backend?.counts.strangers.load(ordering: .relaxed), strangers > 0 {
            throw LabFailure("the backend saw another address than the player's \(strangers) times")
        }
        isOpen = false
        bed.close()
        (result.linkLatenessP99, result.linkLatenessMaximum) = bed.emulator.lateness
        return result
    }

    private func measure(
        _ result: inout RunResult,
        _ scenario: Scenario,
        _ carrier: Carrier,
        _ bed: TestBed
    ) throws {
        let (stack, measure) = (result.stack, result.measure)
        let meter = Meter(
            emulator: bed.emulator,
            processes: carrier.processes,
            timeline: scenario.timeline
        )
        let hasProcesses = !carrier.processes.isEmpty
        switch measure {
        case .echo:
            let echo = try self.startEcho(scenario, stack, measure, carrier, bed, meter)
            result.take(try self.interruptions.wait(for: echo), hasProcesses: hasProcesses)
        case .lookups:
            let load = LookupLoad(
                target: carrier.echo,
                count: Int(scenario.duration.milliseconds * 20 / 1_000),
                perSecond: 20,
                byteCount: scenario.echo.byteCount,
                claim: carrier.claim
            )
            let (client, isUrgent) = (bed.client, self.options.isUrgent)
            let outcome = try Outcome(named: "lab-lookups") {
                try load.run(in: client, meter: meter, isUrgent: isUrgent)
            }
            result.take(try self.interruptions.wait(for: outcome), hasProcesses: hasProcesses)
        case .bulk, .upload:
            let bulk = try self.startBulk(scenario, measure, carrier, bed, meter)
            result.take(try self.interruptions.wait(for: bulk), hasProcesses: hasProcesses)
        case .beside:
            let bulk = try self.startBulk(scenario, measure, carrier, bed, meter)
            let echo = try self.startEcho(scenario, stack, measure, carrier, bed, meter)
            let exchange = try self.interruptions.wait(for: echo)
            result.take(try self.interruptions.wait(for: bulk), hasProcesses: hasProcesses)
            result.roundTrips = exchange.roundTrips
            result.duplicates = exchange.duplicates
        case .setup:
            let probe = SetupProbe(
                target: carrier.echo,
                namespace: bed.client,
                congestion: carrier.congestion,
                claim: carrier.claim
            )
            let outcome = try Outcome(named: "lab-setup") { try probe.run(20) }
            result.setups = try self.interruptions.wait(for: outcome)
        }
    }

    private func startEcho(
        _ scenario: Scenario,
        _ stack: Stack,
        _ measure: Measure,
        _ carrier: Carrier,
        _ bed: TestBed,
        _ meter: Meter
    ) throws -> Outcome<EchoResult> {
        let perSecond = scenario.echo.messagesPerSecond
        let messages = { (interval: Instant.Interval) in
            Int(interval.nanoseconds * perSecond / 1_000_000_000)
        }
        // Alone, an exchange needs no longer than the first round trips.
        let warmUp = measure == .echo ? min(scenario.warmUp, .seconds(1)) : scenario.warmUp
        let load = EchoLoad(
            target: carrier.echo,
            transport: stack.transport,
            shape: scenario.echo,
            warmUpCount: messages(warmUp),
            count: messages(scenario.duration),
            congestion: carrier.congestion,
            claim: carrier.claim
        )
        let (client, isUrgent) = (bed.client, self.options.isUrgent)
        return try Outcome(named: "lab-echo") {
            try load.run(in: client, meter: meter, isUrgent: isUrgent)
        }
    }

    private func startBulk(
        _ scenario: Scenario,
        _ measure: Measure,
        _ carrier: Carrier,
        _ bed: TestBed,
        _ meter: Meter
    ) throws -> Outcome<BulkResult> {
        let load = BulkLoad(
            target: carrier.bulk,
            warmUp: scenario.warmUp,
            duration: scenario.duration,
            congestion: carrier.congestion,
            claim: carrier.claim,
            sink: measure == .upload ? bed.backend?.counts : nil
        )
        let (client, isUrgent) = (bed.client, self.options.isUrgent)
        return try Outcome(named: "lab-bulk") {
            try load.run(in: client, meter: meter, isUrgent: isUrgent)
        }
    }
}

/// The machine a report was made on.
enum Machine {
    static func loadAverage() -> String {
        let text = TextFile.read("/proc/loadavg") ?? ""
        return text.split(separator: " ").prefix(3).joined(separator: " ")
    }

    static func describe() -> [(String, String)] {
        let kernel = TextFile.read("/proc/sys/kernel/osrelease") ?? ""
        let information = TextFile.read("/proc/cpuinfo") ?? ""
        let model = information.split(separator: "\n").first { $0.hasPrefix("model name") }
        let name = model?.split(separator: ":").last.map(String.init) ?? "unknown"
        return [
            ("kernel", Self.trimmed(kernel)), ("processor", Self.trimmed(name)),
            ("cores", "\(sysconf(Int32(_SC_NPROCESSORS_ONLN)))"),
            ("load average at the start", Self.loadAverage()),
        ]
    }

    private static func trimmed(_ text: String) -> String {
        text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }
}

extension Laboratory {
    /// The scenarios whose files lie in `folder`, by name.
    public static func scenarios(in folder: String) throws(LabFailure) -> [Scenario] {
        var scenarios: [Scenario] = []
        for name in try TextFile.names(in: folder) where name.hasSuffix(".toml") {
            scenarios.append(try Scenario.load(path: "\(folder)/\(name)"))
        }
        return scenarios
    }
}
