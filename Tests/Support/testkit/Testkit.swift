import ArgumentParser
import Glibc

/// What tests, trials and measurements of Fairlead start: none of it is shipped.
@main
struct Testkit: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "testkit",
        abstract: "Tools of Fairlead's tests and measurements.",
        subcommands: [
            Soak.self, TrialBars.self, EchoBars.self, Plots.self, Budgets.self, Kernels.self,
            RelayCommand.self, KCPPeerCommand.self, PlayerSwarm.self, ReturnPathPeerCommand.self,
        ]
    )

    /// As the shipped programs: 0 for success, 1 for what failed, 2 for a wrong command line.
    static func main() {
        do {
            var command = try Self.parseAsRoot()
            try command.run()
        } catch {
            let code = Self.exitCode(for: error)
            let message = Self.fullMessage(for: error)
            let text = message.isEmpty ? "" : message + "\n"
            let target = code.isSuccess ? STDOUT_FILENO : STDERR_FILENO
            _ = text.withCString { write(target, $0, strlen($0)) }
            Glibc.exit(code == .validationFailure ? 2 : code.rawValue)
        }
    }
}
