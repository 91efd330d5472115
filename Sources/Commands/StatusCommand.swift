import Admin
import ArgumentParser
import Configuration
import Daemons
import Glibc
import LinuxIO

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show what a running server or client is doing.",
        discussion: """
            Asks over the control socket. Without --control, the usual places are tried: \
            /run/fairlead/{server,client}.sock, then
            /run/fairlead-{server,client}/{server,client}.sock, then
            $XDG_RUNTIME_DIR/fairlead-{server,client}.sock. Where both ends run, --json prints a \
            list of two objects.

            Examples:
              fairlead status
              fairlead status --json --control /run/fairlead/server.sock
            """
    )

    @Flag(help: "Print the JSON of /status.")
    var json = false

    @Option(help: ArgumentHelp("The control socket.", valueName: "path"))
    var control: String?

    func run() throws {
        let paths = self.control.map { [$0] } ?? Self.usualPaths()
        var answers: [(path: String, body: String)] = []
        var failures: [String] = []
        for path in paths {
            do throws(IOError) {
                let accept = self.json ? "application/json" : "text/plain"
                let answer = try ControlClient.get("/status", accept: accept, from: path)
                guard answer.status == 200 else {
                    failures.append("\(path) answers with status \(answer.status)")
                    continue
                }
                answers.append((path, answer.body))
            } catch {
                failures.append(Self.explain(error, path))
            }
        }
        try self.show(answers, failures)
    }

    private func show(_ answers: [(path: String, body: String)], _ failures: [String]) throws {
        guard !answers.isEmpty else {
            for failure in failures { Terminal.complain("fairlead status: \(failure)") }
            throw CommandExit.failure
        }
        if self.json, answers.count > 1 {
            let objects = answers.map { $0.body.filter { $0 != "\n" } }
            return Terminal.print("[\(objects.joined(separator: ","))]")
        }
        Terminal.write(answers.map(\.body).joined(separator: "\n"), to: STDOUT_FILENO)
    }

    private static func usualPaths() -> [String] {
        let folder = getenv("XDG_RUNTIME_DIR").map { String(cString: $0) }
        let paths = ["server", "client"].map { role in
            ControlSocket.defaultPaths(role: role, runtimeFolder: folder)
        }
        // Of each role the first that exists; where none does, the message names all.
        let existing = paths.compactMap { $0.first { access($0, F_OK) == 0 } }
        return existing.isEmpty ? paths.flatMap { $0 } : existing
    }

    static func explain(_ error: IOError, _ path: String) -> String {
        switch error.code {
        case ENOENT: "no process listens at \(path) (no such file)"
        case ECONNREFUSED: "no process listens at \(path) (it has ended)"
        case EACCES, EPERM: "this user may not open \(path); its owner or root may"
        default: "\(path): \(error)"
        }
    }
}
