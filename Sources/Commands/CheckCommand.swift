import ArgumentParser
import Configuration
import Daemons
import Sealing

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check configuration files and the keys they name.",
        discussion: """
            Opens no socket and resolves no name. Tells every mistake, one line each. Whose file \
            one is, it finds out; with a server's and clients' files it also compares keys and \
            services.

            Examples:
              fairlead check server.toml
              fairlead check server.toml client.toml
            """
    )

    @Argument(help: ArgumentHelp("Files of servers and clients.", valueName: "file"))
    var files: [String] = []

    @Option(help: ArgumentHelp("The server's file.", valueName: "file"))
    var server: String?

    @Option(help: ArgumentHelp("The client's file.", valueName: "file"))
    var client: String?

    @OptionGroup var keyOptions: KeyOptions

    func validate() throws {
        guard self.server == nil && self.client == nil && self.files.isEmpty else { return }
        throw ValidationError("Give at least one file: fairlead check server.toml client.toml")
    }

    /// What was read, and what was wrong.
    private struct Reading {
        var servers: [(path: String, loaded: LoadedConfiguration<ServerConfiguration>)] = []
        var clients: [(path: String, loaded: LoadedConfiguration<ClientConfiguration>)] = []
        var mistakes: [String] = []
    }

    func run() throws {
        var reading = Reading()
        if let path = self.server { self.readServer(path, into: &reading) }
        if let path = self.client { self.readClient(path, into: &reading) }
        for path in self.files {
            switch FileKind(ofFileAt: path) {
            case .server: self.readServer(path, into: &reading)
            // What is neither gets the complaints of whoever has the simpler file.
            case .client, nil: self.readClient(path, into: &reading)
            }
        }
        reading.mistakes += Self.mismatches(reading)
        guard reading.mistakes.isEmpty else {
            for mistake in reading.mistakes { Terminal.complain(mistake) }
            throw CommandExit.usage
        }
        Terminal.print("ok")
    }

    private func readServer(_ path: String, into reading: inout Reading) {
        do throws(ConfigurationError) {
            let mode = self.keyOptions.mode
            let loaded = try ServerConfiguration.load(path: path, keyMode: mode)
            let own = loaded.privateKey.publicKey
            let warnings = loaded.configuration.warnings(besides: own)
            Terminal.warn(warnings.map { "\(path): \($0)" })
            reading.servers.append((path, loaded))
        } catch {
            reading.mistakes.append(error.description)
        }
    }

    private func readClient(_ path: String, into reading: inout Reading) {
        do throws(ConfigurationError) {
            let mode = self.keyOptions.mode
            let loaded = try ClientConfiguration.load(path: path, keyMode: mode)
            Terminal.warn(loaded.configuration.warnings.map { "\(path): \($0)" })
            reading.clients.append((path, loaded))
        } catch {
            reading.mistakes.append(error.description)
        }
    }

    /// Of several servers a client's is the one whose key it names.
    private static func mismatches(_ reading: Reading) -> [String] {
        reading.clients.flatMap { client -> [String] in
            let named = reading.servers.first {
                $0.loaded.privateKey.publicKey == client.loaded.configuration.serverPublicKey
            }
            guard let server = named ?? reading.servers.first else { return [] }
            return FilePair(
                server: server.loaded,
                server.path,
                client: client.loaded,
                client.path
            ).mismatches
        }
    }
}
