import ArgumentParser
import Configuration
import Daemons
import Glibc
import LinuxIO
import ReturnPath
import Runtime

/// The rules that bring replies to players back to a server.
struct RoutesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "routes",
        abstract: "Routing rules of transparent services.",
        discussion: "Example: fairlead routes print --server server.toml",
        subcommands: [
            RoutesPrintCommand.self, RoutesInstallCommand.self, RoutesRemoveCommand.self,
        ]
    )
}

struct RoutesPrintCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "print",
        abstract: "Print the commands that install what a server or a client needs.",
        discussion: """
            For servers with routes = "print" or "off", and for forwards with transparent = true. \
            Changes nothing.

            Example: fairlead routes print --server server.toml | sudo sh
            """
    )

    @Option(help: ArgumentHelp("The server's file.", valueName: "file"))
    var server: String?

    @Option(help: ArgumentHelp("The client's file.", valueName: "file"))
    var client: String?

    @OptionGroup var keyOptions: KeyOptions

    func validate() throws {
        guard self.server == nil, self.client == nil else { return }
        throw ValidationError("name a file: --server FILE or --client FILE")
    }

    func run() throws {
        var missing: [String] = []
        if let path = self.server { missing += try self.printServer(path) }
        if let path = self.client { try self.printClient(path) }
        for reason in missing { Terminal.complain("fairlead routes: \(reason)") }
        guard missing.isEmpty else { throw CommandExit.failure }
    }

    /// Returns what could not be found out.
    private func printServer(_ path: String) throws -> [String] {
        let services = try ServerRoutes.services(path, self.keyOptions)
        if services.backends.isEmpty, services.unresolved.isEmpty {
            Terminal.complain("fairlead routes: no service has origin = \"transparent\"")
        }
        var missing = services.unresolved.map { "\($0) has no address" }
        do throws(IOError) {
            let routes = try ServerRoutes.routes(services)
            for line in routes.commands { Terminal.print(line) }
            missing += routes.failures.map { "no way to \($0) is known" }
        } catch {
            Terminal.complain("fairlead routes: the routing tables cannot be read: \(error)")
            throw CommandExit.failure
        }
        return missing
    }

    private func printClient(_ path: String) throws {
        do throws(ConfigurationError) {
            let mode = self.keyOptions.mode
            let loaded = try ClientConfiguration.load(path: path, keyMode: mode)
            let listeners = loaded.configuration.transparentListeners
            for line in TransparentInput.commands(for: listeners) { Terminal.print(line) }
            guard listeners.isEmpty else { return }
            Terminal.complain("fairlead routes: no forward has transparent = true")
        } catch {
            throw CommandExit.refuse(error)
        }
    }
}

/// Which way back a server's file asks for.
enum ServerRoutes {
    static func services(_ path: String, _ keys: KeyOptions) throws -> TransparentServices {
        do throws(ConfigurationError) {
            let mode = keys.mode
            let loaded = try ServerConfiguration.load(path: path, keyMode: mode)
            return TransparentServices(loaded.configuration)
        } catch {
            throw CommandExit.refuse(error)
        }
    }

    static func routes(_ services: TransparentServices) throws(IOError) -> StandingRoutes {
        try StandingRoutes(
            for: services.backends,
            ownPorts: services.ownPorts,
            testAddresses: services.testAddresses
        )
    }

    /// Says why the tables cannot be changed, and what would help.
    static func complain(_ error: IOError) {
        let isForbidden = error.code == EPERM || error.code == EACCES
        let cure = isForbidden ? " (needs CAP_NET_ADMIN, for instance sudo)" : ""
        Terminal.complain("fairlead routes: \(error)\(cure)")
    }
}

struct RoutesInstallCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "install",
        abstract: "Install what a server needs, for one that runs without CAP_NET_ADMIN.",
        discussion: """
            Does what the commands of `print` would do, and removes what an earlier one installed \
            and is no longer needed. It stays until `fairlead routes remove --installed`.

            Example: sudo fairlead routes install --server server.toml
            """
    )

    @Option(help: ArgumentHelp("The server's file.", valueName: "file"))
    var server: String

    @OptionGroup var keyOptions: KeyOptions

    func run() throws {
        let services = try ServerRoutes.services(self.server, self.keyOptions)
        var missing = services.unresolved.map { "\($0) has no address" }
        do throws(IOError) {
            let routes = try ServerRoutes.routes(services)
            missing += routes.failures.map { "no way to \($0) is known" }
            let (added, removed) = try routes.install()
            Terminal.print("added \(added), removed \(removed)")
        } catch {
            ServerRoutes.complain(error)
            throw CommandExit.failure
        }
        for reason in missing { Terminal.complain("fairlead routes: \(reason)") }
        guard missing.isEmpty else { throw CommandExit.failure }
    }
}

struct RoutesRemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Remove rules and routes that ended servers have left.",
        discussion: """
            Those of running servers stay. A server that starts does the same.

            Example: sudo fairlead routes remove --installed
            """
    )

    @Flag(help: "Also remove what `install`, or the commands of `print`, have installed.")
    var installed = false

    func run() throws {
        do throws(IOError) {
            var count = try LeftoverRoutes.remove()
            if self.installed { count += try StandingRoutes.removeAll() }
            Terminal.print(count == 0 ? "nothing to remove" : "removed \(count)")
        } catch {
            ServerRoutes.complain(error)
            throw CommandExit.failure
        }
    }
}
