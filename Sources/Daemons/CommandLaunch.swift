public import ArgumentParser
import Glibc

/// Runs a command and ends the process with the program's own exit codes.
///
/// 0 for success, 1 for what failed while running, 2 for a wrong command line or configuration.
public enum CommandLaunch {
    /// Parses the process's arguments, runs what they say and exits; errors go to standard error.
    public static func run(_ command: (some ParsableCommand).Type) -> Never {
        // A reader that goes away ends a write with an error, not the process with a signal.
        signal(SIGPIPE, SIG_IGN)
        let arguments = Array(CommandLine.arguments.dropFirst())
        if let advice = CommandAdvice.text(on: arguments, to: command) {
            Terminal.complain(advice)
            exit(CommandExit.usage.rawValue)
        }
        do {
            var parsed = try command.parseAsRoot(arguments)
            try parsed.run()
            exit(0)
        } catch {
            let code = command.exitCode(for: error)
            let message = command.fullMessage(for: error)
            if !message.isEmpty {
                Terminal.write(message + "\n", to: code.isSuccess ? STDOUT_FILENO : STDERR_FILENO)
            }
            exit(code == .validationFailure ? CommandExit.usage.rawValue : code.rawValue)
        }
    }
}

/// The program's exit codes.
public enum CommandExit {
    /// Of what failed while running.
    public static let failure = ExitCode(1)
    /// Of a wrong command line or configuration.
    public static let usage = ExitCode(2)
}

/// Whole texts to standard output and standard error, past any buffer.
public enum Terminal {
    /// A line on standard output.
    public static func print(_ text: String) { self.write(text + "\n", to: STDOUT_FILENO) }

    /// A line on standard error.
    public static func complain(_ text: String) { self.write(text + "\n", to: STDERR_FILENO) }

    /// Tells what is allowed and yet hardly meant.
    public static func warn(_ warnings: [String]) {
        for warning in warnings { self.complain("warning: \(warning)") }
    }

    /// `text` as it is; what a closed or full descriptor does not take is lost.
    public static func write(_ text: String, to descriptor: Int32) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}

/// What this build is.
public enum Release {
    /// The version that `--version`, `status` and the metrics name (semver.org).
    public static let version = "0.1.0"
}
