import ArgumentParser
import Configuration

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a configuration file and the key it names.",
        discussion: "Opens no socket and resolves no name. Tells every mistake, one line each."
    )

    @Option(help: ArgumentHelp("The server's file.", valueName: "file"))
    var server: String?

    @Option(help: ArgumentHelp("The client's file.", valueName: "file"))
    var client: String?

    @OptionGroup var keyOptions: KeyOptions

    func validate() throws {
        guard self.server == nil && self.client == nil else { return }
        throw ValidationError("Give --server FILE, --client FILE or both.")
    }

    func run() throws {
        let group = self.keyOptions.groupReadableKeys
        var failures: [ConfigurationError] = []
        if let path = self.server {
            do throws(ConfigurationError) {
                let loaded = try ServerConfiguration.load(path: path, groupReadableKeys: group)
                Terminal.warn(loaded.configuration.warnings)
            } catch {
                failures.append(error)
            }
        }
        if let path = self.client {
            do throws(ConfigurationError) {
                _ = try ClientConfiguration.load(path: path, groupReadableKeys: group)
            } catch {
                failures.append(error)
            }
        }
        guard failures.isEmpty else {
            for failure in failures { Terminal.complain(failure.description) }
            throw CommandExit.usage
        }
        Terminal.print("ok")
    }
}
