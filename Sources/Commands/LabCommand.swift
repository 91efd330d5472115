import ArgumentParser
import Configuration
import Daemons
import Glibc
import Lab

struct LabCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lab",
        abstract: "Measure stacks over an emulated path, in network namespaces.",
        discussion: "Example: sudo fairlead lab run examples/lab/gaming-clean.toml --quick",
        subcommands: [LabRunCommand.self, LabListCommand.self]
    )
}

struct LabListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the scenarios of a folder.",
        discussion: "Example: fairlead lab list --folder examples/lab"
    )

    @Option(help: ArgumentHelp("Where the scenarios are.", valueName: "dir"))
    var folder = "examples/lab"

    func run() throws {
        do throws(LabFailure) {
            for scenario in try Laboratory.scenarios(in: self.folder) {
                let name = scenario.name
                let space = String(repeating: " ", count: max(1, 22 - name.count))
                Terminal.print("\(name)\(space)\(scenario.title)")
            }
        } catch {
            Terminal.complain("fairlead lab: \(error)")
            throw CommandExit.usage
        }
    }
}

struct LabRunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a scenario and write results.json, report.md and plots.",
        discussion: """
            Needs root. Makes two network namespaces for every run and removes them again, also \
            after Ctrl-C. Fairlead's own programs are taken from the folder of this one.

            Example: sudo fairlead lab run examples/lab/gaming-3pct-bursty.toml --quick
            """
    )

    @Argument(help: ArgumentHelp("A scenario file.", valueName: "file"))
    var files: [String]

    @Option(help: ArgumentHelp("Where the results go, a folder for each.", valueName: "dir"))
    var out = "lab-results"

    @Flag(help: "Ten seconds and one seed of each.")
    var quick = false

    @Option(help: ArgumentHelp("Measure for so long instead, such as 15s.", valueName: "time"))
    var duration: String?

    @Option(parsing: .upToNextOption, help: "Only these stacks.")
    var stacks: [String] = []

    @Option(parsing: .upToNextOption, help: "Only these measures.")
    var measures: [String] = []

    @Option(help: ArgumentHelp("Where the other programs are.", valueName: "dir"))
    var binaries: String?

    @Flag(help: "Do without real-time priority.")
    var usualPriority = false

    func run() throws {
        let options = try self.labOptions()
        do {
            let scenarios = try self.files.map { try Scenario.load(path: $0) }
            let laboratory = try Laboratory(options) { Terminal.complain($0) }
            for scenario in scenarios {
                let report = try laboratory.run(scenario)
                let folder = "\(self.out)/\(scenario.name)"
                try report.write(to: folder)
                Terminal.print(report.markdown)
                Terminal.print("plots and every round trip: \(folder)\n")
            }
        } catch is LabInterruption {
            Terminal.complain("fairlead lab: interrupted, everything was removed")
            throw CommandExit.failure
        } catch {
            Terminal.complain("fairlead lab: \(error)")
            throw CommandExit.failure
        }
    }

    private func labOptions() throws -> LabOptions {
        var options = LabOptions()
        options.isUrgent = !self.usualPriority
        options.isShortened = self.quick
        options.binaries = self.binaries ?? Self.ownFolder()
        if let text = self.duration {
            guard let duration = Units.duration(text) else {
                throw ValidationError("--duration: got \(text), expected such as 15s")
            }
            options.duration = duration
        }
        options.stacks = try self.stacks.map { try Self.name($0, "--stacks") }
        options.measures = try self.measures.map { try Self.name($0, "--measures") }
        return options
    }

    private static func name<Name>(_ text: String, _ option: String) throws -> Name
    where Name: RawRepresentable & CaseIterable, Name.RawValue == String {
        if let name = Name(rawValue: text) { return name }
        let all = Name.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValidationError("\(option): got \(text), expected one of \(all)")
    }

    /// Where this program lies.
    private static func ownFolder() -> String {
        var buffer = [CChar](repeating: 0, count: 4_096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let bytes = buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }
        let path = String(decoding: bytes, as: UTF8.self)
        return path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    }
}
