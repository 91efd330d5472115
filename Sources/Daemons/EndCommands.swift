public import ArgumentParser
import Configuration
import Sealing

/// `fairlead-server`.
public struct ServerCommand: ParsableCommand {
    /// Name, help and version for ArgumentParser.
    public static let configuration = CommandConfiguration(
        commandName: "fairlead-server",
        abstract: "Run the end of the tunnel that backends stand behind.",
        discussion: """
            SIGTERM and SIGINT end it, SIGHUP makes it read its configuration again.

            Examples:
              fairlead-server --config server.toml --check
              fairlead-server --config server.toml
            """,
        version: "fairlead-server \(Release.version)"
    )

    @OptionGroup var options: RunOptions

    /// For ArgumentParser, which fills in the options afterwards.
    public init() {}

    /// Serves until a signal ends it; throws the exit code, 2 for a wrong configuration.
    public func run() throws {
        let loaded: LoadedConfiguration<ServerConfiguration>
        do throws(ConfigurationError) {
            loaded = try self.load()
        } catch {
            throw CommandExit.refuse(error)
        }
        if self.options.check {
            Terminal.warn(loaded.configuration.warnings(besides: loaded.privateKey.publicKey))
            return Terminal.print("ok")
        }
        throw ExitCode(EndProcess.run(loaded, self.options))
    }

    private func load() throws(ConfigurationError) -> LoadedConfiguration<ServerConfiguration> {
        try ServerConfiguration.load(
            path: self.options.config,
            keyMode: self.options.keyOptions.mode
        )
    }
}

/// `fairlead-client`.
public struct ClientCommand: ParsableCommand {
    /// Name, help and version for ArgumentParser.
    public static let configuration = CommandConfiguration(
        commandName: "fairlead-client",
        abstract: "Run the end of the tunnel that players connect to.",
        discussion: """
            SIGTERM and SIGINT end it, SIGHUP makes it read its configuration again.

            Examples:
              fairlead-client --config client.toml --check
              fairlead-client --config client.toml
            """,
        version: "fairlead-client \(Release.version)"
    )

    @OptionGroup var options: RunOptions

    /// For ArgumentParser, which fills in the options afterwards.
    public init() {}

    /// Serves until a signal ends it; throws the exit code, 2 for a wrong configuration.
    public func run() throws {
        let loaded: LoadedConfiguration<ClientConfiguration>
        do throws(ConfigurationError) {
            loaded = try self.load()
        } catch {
            throw CommandExit.refuse(error)
        }
        if self.options.check {
            Terminal.warn(loaded.configuration.warnings)
            return Terminal.print("ok")
        }
        throw ExitCode(EndProcess.run(loaded, self.options))
    }

    private func load() throws(ConfigurationError) -> LoadedConfiguration<ClientConfiguration> {
        try ClientConfiguration.load(
            path: self.options.config,
            keyMode: self.options.keyOptions.mode
        )
    }
}
