import Admin
import ArgumentParser
import Configuration
import Daemons
import Glibc
import LinuxIO

/// Lets a backend get nobody new.
struct DrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain",
        abstract: "Send no new players to a backend; those it has stay.",
        discussion: """
            New streams and flows go to the service's other backends. It lasts until `undrain`, \
            until the server ends, or until the configuration no longer has the backend.

            Example: fairlead drain minecraft 10.0.0.5:25565
            """
    )

    @OptionGroup var target: DrainTarget

    func run() throws { try self.target.post(isDraining: true) }
}

/// Lets a drained backend have new players again.
struct UndrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "undrain",
        abstract: "Send new players to a drained backend again.",
        discussion: "Example: fairlead undrain minecraft 10.0.0.5:25565"
    )

    @OptionGroup var target: DrainTarget

    func run() throws { try self.target.post(isDraining: false) }
}

/// Which backend, and of which server.
struct DrainTarget: ParsableArguments {
    @Argument(help: "The service's name.")
    var service: String

    @Argument(help: "The backend, as the server's file writes it.")
    var backend: String

    @Option(help: ArgumentHelp("The server's control socket.", valueName: "path"))
    var control: String?

    func post(isDraining: Bool) throws {
        let order = AdminOrder(
            service: self.service,
            backend: self.backend,
            isDraining: isDraining
        )
        let name = isDraining ? "drain" : "undrain"
        let folder = getenv("XDG_RUNTIME_DIR").map { String(cString: $0) }
        let usual = ControlSocket.defaultPaths(role: "server", runtimeFolder: folder)
        let path = self.control ?? usual.first { access($0, F_OK) == 0 } ?? usual[0]
        do {
            let answer = try ControlClient.post(order, to: path)
            let text = String(answer.body.prefix { $0 != "\n" })
            guard answer.status == 200 else {
                Terminal.complain("fairlead \(name): \(text)")
                throw CommandExit.failure
            }
            Terminal.print(text)
        } catch let error as IOError {
            Terminal.complain("fairlead \(name): \(StatusCommand.explain(error, path))")
            throw CommandExit.failure
        }
    }
}
