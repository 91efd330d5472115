import ArgumentParser
import Configuration

/// `fairlead help`: of a command as everywhere, and of the keys of both files.
struct HelpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "help",
        abstract: "Explain a command, or the keys of the files: help config [KEY].",
        discussion: """
            fairlead help COMMAND       how to call a command
            fairlead help config        every key of both files
            fairlead help config KEY    everything about a key, such as peer.max_streams
            """
    )

    @Argument(help: "A command, or config and keys.")
    var words: [String] = []

    @Flag(help: "With config alone: print docs/CONFIGURATION.md.")
    var markdown = false

    func run() throws {
        guard let first = self.words.first else { return Terminal.print(Self.help([])) }
        switch first {
        case "config": try self.explainKeys(Array(self.words.dropFirst()))
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

    private static func command(_ words: [String]) throws -> String {
        var path: [any ParsableCommand.Type] = []
        var commands = FairleadCommand.configuration.subcommands
        for word in words {
            guard let next = commands.first(where: { $0._commandName == word }) else {
                let names = commands.map { $0._commandName } + (path.isEmpty ? ["config"] : [])
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
