import ArgumentParser
import Configuration
import Daemons

/// `fairlead help`: of a command as everywhere, of the keys of both files, and of the metrics.
struct HelpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "help",
        abstract: "Explain a command, the keys of the files, or the metrics.",
        discussion: """
            fairlead help COMMAND       how to call a command
            fairlead help config        every key of both files
            fairlead help config KEY    everything about a key, such as peer.max_streams
            fairlead help metrics       every metric of /metrics
            fairlead help metrics NAME  everything about a metric, such as fairlead_drops_total
            """
    )

    @Argument(help: "A command, config and keys, or metrics and names.")
    var words: [String] = []

    @Flag(help: "Print docs/CONFIGURATION.md or docs/METRICS.md.")
    var markdown = false

    func run() throws {
        guard let first = self.words.first else { return Terminal.print(Self.help([])) }
        switch first {
        case "config": try self.explainKeys(Array(self.words.dropFirst()))
        case "metrics": try self.explainMetrics(Array(self.words.dropFirst()))
        default: Terminal.print(try Self.command(self.words))
        }
    }

    private func explainKeys(_ keys: [String]) throws {
        if keys.isEmpty, self.markdown {
            return Terminal.write(ReferencePage.markdown, to: 1)
        }
        guard !keys.isEmpty else { return Terminal.print(ReferenceAnswers.overview()) }
        let answers = try keys.map { key in
            if let answer = ReferenceAnswers.answer(to: key) { return answer }
            let near = ReferenceAnswers.suggestion(for: key)
            let hint = near.map { ", did you mean \($0)?" } ?? "; fairlead help config lists all"
            throw ValidationError("There is no key \(key)\(hint)")
        }
        Terminal.print(answers.joined(separator: "\n\n"))
    }

    private func explainMetrics(_ names: [String]) throws {
        if names.isEmpty, self.markdown { return Terminal.write(MetricsReference.markdown, to: 1) }
        guard !names.isEmpty else { return Terminal.print(MetricsReference.overview) }
        let answers = try names.map { name in
            if let answer = MetricsReference.answer(to: name) { return answer }
            let near = MetricsReference.suggestion(for: name)
            let hint = near.map { ", did you mean \($0)?" } ?? "; fairlead help metrics lists all"
            throw ValidationError("There is no metric \(name)\(hint)")
        }
        Terminal.print(answers.joined(separator: "\n\n"))
    }

    private static func command(_ words: [String]) throws -> String {
        var path: [any ParsableCommand.Type] = []
        var commands = FairleadCommand.configuration.subcommands
        for word in words {
            guard let next = commands.first(where: { $0._commandName == word }) else {
                let topics = path.isEmpty ? ["config", "metrics"] : []
                let names = commands.map { $0._commandName } + topics
                let near = Spelling.nearest(to: word, among: names)
                let hint = near.map { ", did you mean \($0)?" } ?? ""
                throw ValidationError("There is no command \(word)\(hint)")
            }
            path.append(next)
            commands = next.configuration.subcommands
        }
        return Self.help(path)
    }

    private static func help(_ path: [any ParsableCommand.Type]) -> String {
        path.last.map { FairleadCommand.helpMessage(for: $0) } ?? FairleadCommand.helpMessage()
    }
}
