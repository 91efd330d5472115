public import ArgumentParser
import Daemons

/// `fairlead`: what an operator does beside running the two ends.
public struct FairleadCommand: ParsableCommand {
    /// Name, help and subcommands for ArgumentParser.
    public static let configuration = CommandConfiguration(
        commandName: "fairlead",
        abstract: "Keys, checks and status of Fairlead tunnels.",
        discussion: """
            Examples:
              fairlead keygen keys/server.key
              fairlead check server.toml client.toml
              fairlead doctor --client client.toml
              fairlead status
            """,
        version: "fairlead \(Release.version)",
        subcommands: [
            KeygenCommand.self, PubkeyCommand.self, CheckCommand.self, StatusCommand.self,
            DrainCommand.self, UndrainCommand.self, DoctorCommand.self, RoutesCommand.self,
            ImportCommand.self, LabCommand.self, VersionCommand.self, HelpCommand.self,
        ]
    )

    /// For ArgumentParser.
    public init() {}
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version",
        abstract: "Print the version.",
        discussion: "Example: fairlead version"
    )

    func run() { Terminal.print("fairlead \(Release.version)") }
}
