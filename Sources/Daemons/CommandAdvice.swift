import ArgumentParser
import Configuration

/// What to write instead of a command line that the parser would refuse without a cure.
enum CommandAdvice {
    /// `nil` where there is nothing to say that the parser does not say.
    static func text(on arguments: [String], to command: (some ParsableCommand).Type) -> String? {
        let program = command.configuration.commandName ?? "fairlead"
        guard let word = arguments.first, !word.hasPrefix("-") else { return nil }
        guard command.configuration.subcommands.isEmpty else {
            return Self.mistyped(word, program, command)
        }
        guard !arguments.contains(where: { $0.hasPrefix("--config") }) else { return nil }
        return "\(program): write it as: \(program) --config \(PlainWord.quoted(word))"
    }

    private static func mistyped(
        _ word: String,
        _ program: String,
        _ command: (some ParsableCommand).Type
    ) -> String? {
        let names = command.configuration.subcommands.compactMap { $0.configuration.commandName }
        guard !names.contains(word), word != "help" else { return nil }
        let shown = PlainWord.quoted(word)
        if let near = Spelling.nearest(to: word, among: names) {
            return "\(program): there is no command \(shown); did you mean: \(program) \(near)"
        }
        let list = names.joined(separator: ", ")
        return "\(program): there is no command \(shown); the commands are \(list)"
    }
}
