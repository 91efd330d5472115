import ArgumentParser
import Configuration
import Glibc
import LinuxIO
import ReturnPath

/// The rules that bring replies to players back to a server.
struct RoutesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "routes",
        abstract: "Routing rules of transparent services.",
        subcommands: [RoutesPrintCommand.self, RoutesRemoveCommand.self]
    )
}

struct RoutesPrintCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "print",
        abstract: "Print the commands that install what a server needs.",
        discussion: "For servers with routes = \"print\" or \"off\". Changes nothing."
    )

    @Option(help: ArgumentHelp("The server's file.", valueName: "file"))
    var server: String

    @OptionGroup var keyOptions: KeyOptions

    func run() throws {
        let services: TransparentServices
        do throws(ConfigurationError) {
            let group = self.keyOptions.groupReadableKeys
            let loaded = try ServerConfiguration.load(path: self.server, groupReadableKeys: group)
            services = TransparentServices(loaded.configuration)
        } catch {
            throw RunOptions.refuse(error)
        }
        var missing = services.unresolved.map { "\($0) has no address" }
        do throws(IOError) {
            let commands = try ReturnPathKeeper.commands(
                for: services.backends,
                ownPorts: services.ownPorts
            )
            for line in commands.lines { Terminal.print(line) }
            missing += commands.failures.map { "no way to \($0) is known" }
        } catch {
            Terminal.complain("fairlead routes: the routing tables cannot be read: \(error)")
            throw CommandExit.failure
        }
        for reason in missing { Terminal.complain("fairlead routes: \(reason)") }
        if services.backends.isEmpty, services.unresolved.isEmpty {
            Terminal.complain("fairlead routes: no service has origin = \"transparent\"")
        }
        guard missing.isEmpty else { throw CommandExit.failure }
    }
}

struct RoutesRemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Remove rules and routes that ended servers have left.",
        discussion: "Those of running servers stay. A server that starts does the same."
    )

    func run() throws {
        do throws(IOError) {
            let count = try LeftoverRoutes.remove()
            Terminal.print(count == 0 ? "nothing to remove" : "removed \(count)")
        } catch {
            let isForbidden = error.code == EPERM || error.code == EACCES
            let cure = isForbidden ? " (needs CAP_NET_ADMIN, for instance sudo)" : ""
            Terminal.complain("fairlead routes: \(error)\(cure)")
            throw CommandExit.failure
        }
    }
}
