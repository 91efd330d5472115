import ArgumentParser
public import Configuration

enum LogFormat: String, CaseIterable, ExpressibleByArgument {
    case text, json
}

enum LogLevel: String, CaseIterable, ExpressibleByArgument {
    case trace, debug, info, warning, error
}

/// What both ends of the tunnel understand.
struct RunOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The configuration file.", valueName: "file"))
    var config: String

    @Flag(help: "Check the configuration and its key, print ok and exit; open no socket.")
    var check = false

    @Option(help: "How log lines on standard error look.")
    var logFormat = LogFormat.text

    @Option(help: "The least important lines to log.")
    var logLevel = LogLevel.info

    @OptionGroup var keyOptions: KeyOptions
}

extension CommandExit {
    /// Tells all mistakes of a file; what it returns ends the command.
    public static func refuse(_ error: ConfigurationError) -> any Error {
        Terminal.complain(error.description)
        return CommandExit.usage
    }
}
