import Glibc
import LinuxIO
import Primitives

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

    /// Runs every measure with every seed, the stacks one after the other within each, so that what
    /// changes on the machine meanwhile meets all of them.
    public func run(_ scenario: Scenario) throws -> Report {
        let scenario = self.adjusted(scenario)
        var report = Report(scenario: scenario, machine: Machine.describe())
        for measure in scenario.measures {
            for seed in scenario.seeds {
                for stack in scenario.stacks where stack.supports(measure) {
                    if report.skipped[stack] != nil { continue }
                    do {
                        let result = try self.run(scenario, stack, measure, seed)
                        report.results.append(result)
                        self.say("\(scenario.name): \(Report.line(result))")
                    } catch let skip as SkippedStack {
                        report.skipped[stack] = skip.reason
                        self.say("\(scenario.name): \(stack.rawValue) skipped: \(skip.reason)")
                    } catch let interruption as LabInterruption {
                        throw interruption
                    } catch {
                        let run = "\(measure.rawValue) \(stack.rawValue) seed \(seed)"
                        report.failures.append("\(run): \(error)")
                        self.say("\(scenario.name): \(run) failed: \(error)")
                    }
                }
            }
        }
        return report
    }

    private func run(
        _ scenario: Scenario,
        _ stack: Stack,
        _ measure: Measure,
        _ seed: UInt64
    ) throws -> RunResult {
        var result = RunResult(stack: stack, measure: measure, seed: seed)
        result.loadAverage = Machine.loadAverage()
        let bed = try TestBed(scenario, seed: seed, options: self.options)
        var isOpen = true
        defer { if isOpen { bed.close() } }
        let carrier = try Carrier.start(stack, in: bed, for: measure, self.interruptions)
        result.coldStart = carrier.coldStart
        let meter = Meter(
            emulator: bed.emulator,
            processes: carrier.processes,
            outages: scenario.outages
        )
        let hasProcesses = !carrier.processes.isEmpty
        switch measure {
        case .echo:
            let echo = try self.startEcho(scenario, stack, measure, carrier, bed, meter)
            result.take(try self.interruptions.wait(for: echo), hasProcesses: hasProcesses)
        case .bulk:
            let bulk = try self.startBulk(scenario, carrier, bed, meter)
            result.take(try self.interruptions.wait(for: bulk), hasProcesses: hasProcesses)
        case .beside:
            let bulk = try self.startBulk(scenario, carrier, bed, meter)
            let echo = try self.startEcho(scenario, stack, measure, carrier, bed, meter)
            let exchange = try self.interruptions.wait(for: echo)
            result.take(try self.interruptions.wait(for: bulk), hasProcesses: hasProcesses)
            result.roundTrips = exchange.roundTrips
            result.duplicates = exchange.duplicates
        case .setup:
            let client = bed.client
            let (target, congestion) = (carrier.echo, carrier.congestion)
            let probe = try Outcome(named: "lab-setup") {
                try SetupProbe.run(20, target, client, congestion: congestion)
            }
            result.setups = try self.interruptions.wait(for: probe)
        }
        isOpen = false
        bed.close()
        (result.linkLatenessP99, result.linkLatenessMaximum) = bed.emulator.lateness
        return result
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
            congestion: carrier.congestion
        )
        let (client, isUrgent) = (bed.client, self.options.isUrgent)
        return try Outcome(named: "lab-echo") {
            try load.run(in: client, meter: meter, isUrgent: isUrgent)
        }
    }

    private func startBulk(
        _ scenario: Scenario,
        _ carrier: Carrier,
        _ bed: TestBed,
        _ meter: Meter
    ) throws -> Outcome<BulkResult> {
        let load = BulkLoad(
            target: carrier.bulk,
            warmUp: scenario.warmUp,
            duration: scenario.duration,
            congestion: carrier.congestion
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
