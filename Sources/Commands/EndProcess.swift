import Admin
import Configuration
import Glibc
import LinuxIO
import Primitives
import Runtime

/// From a checked configuration to a running process, with its pages for operators.
enum EndProcess {
    /// Returns the exit code.
    static func run(
        _ loaded: LoadedConfiguration<ServerConfiguration>,
        _ options: RunOptions
    ) -> Int32 {
        let log = options.log
        do {
            let process = try ServerProcess(loaded, log: log) {
                Self.readAgain {
                    () throws(ConfigurationError) in
                    try ServerConfiguration.load(
                        path: options.config,
                        groupReadableKeys: options.keyOptions.groupReadableKeys
                    )
                }
            }
            let configuration = loaded.configuration
            let pages = try Self.pages(configuration.admin, configuration.control, "server", log) {
                ProcessReport(process.statusSnapshot())
            }
            defer { pages?.stop() }
            return process.run()
        } catch {
            Terminal.complain("fairlead-server: \(error)")
            return 1
        }
    }

    /// Returns the exit code.
    static func run(
        _ loaded: LoadedConfiguration<ClientConfiguration>,
        _ options: RunOptions
    ) -> Int32 {
        let log = options.log
        do {
            let process = try ClientProcess(loaded, log: log) {
                Self.readAgain {
                    () throws(ConfigurationError) in
                    try ClientConfiguration.load(
                        path: options.config,
                        groupReadableKeys: options.keyOptions.groupReadableKeys
                    )
                }
            }
            let configuration = loaded.configuration
            let pages = try Self.pages(configuration.admin, configuration.control, "client", log) {
                ProcessReport(process.statusSnapshot())
            }
            defer { pages?.stop() }
            return process.run()
        } catch {
            Terminal.complain("fairlead-client: \(error)")
            return 1
        }
    }

    private static func readAgain<Configuration>(
        _ load: () throws(ConfigurationError) -> LoadedConfiguration<Configuration>
    ) -> ReloadOutcome<Configuration> {
        do throws(ConfigurationError) {
            return .configuration(try load())
        } catch {
            return .refused(error.lines)
        }
    }

    /// The admin address is the operator's wish, so it must be had; the usual control socket is a
    /// convenience that another instance may have taken.
    private static func pages(
        _ http: SocketAddress?,
        _ control: ControlSocket,
        _ role: String,
        _ log: EventLog,
        report: @escaping @Sendable () -> ProcessReport
    ) throws -> AdminServer? {
        switch control {
        case .path(let path):
            return try AdminServer(http: http, controlPaths: [path], report: report)
        case .automatic:
            let folder = getenv("XDG_RUNTIME_DIR").map { String(cString: $0) }
            let paths = ControlSocket.defaultPaths(role: role, runtimeFolder: folder)
            do throws(AdminFailure) {
                return try AdminServer(http: http, controlPaths: paths, report: report)
            } catch {
                guard case .control = error.place else { throw error }
                log.warning("control-unavailable", ["reason": "\(error)"])
            }
        case .off:
            break
        }
        guard let http else { return nil }
        return try AdminServer(http: http, controlPaths: [], report: report)
    }
}

extension RunOptions {
    var log: EventLog {
        EventLog(
            format: self.logFormat == .json ? .json : .text,
            level: EventLog.Level(rawValue: self.logLevel.rawValue) ?? .info
        )
    }
}
