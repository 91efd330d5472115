import Admin
import Configuration
import Glibc
import Primitives
import Runtime

/// From a checked configuration to a running process.
enum EndProcess {
    /// Returns the exit code.
    static func run(
        _ loaded: LoadedConfiguration<ServerConfiguration>,
        _ options: RunOptions
    ) -> Int32 {
        let path = options.config
        let mode = options.keyOptions.mode
        let configuration = loaded.configuration
        let pages = AdminPages(address: configuration.admin, hosts: configuration.adminHosts)
        return Self.run(pages, configuration.control, options) { log in
            let process = try ServerProcess(loaded, log: log, file: path) {
                Self.outcome { () throws(ConfigurationError) in
                    try ServerConfiguration.load(path: path, keyMode: mode)
                }
            }
            return RunningEnd(
                role: .server,
                status: process.statusSnapshot,
                order: { AdminOrder.Outcome(process, $0) },
                run: process.run
            )
        }
    }

    /// Returns the exit code.
    static func run(
        _ loaded: LoadedConfiguration<ClientConfiguration>,
        _ options: RunOptions
    ) -> Int32 {
        let path = options.config
        let mode = options.keyOptions.mode
        let configuration = loaded.configuration
        let pages = AdminPages(address: configuration.admin, hosts: configuration.adminHosts)
        return Self.run(pages, configuration.control, options) { log in
            let process = try ClientProcess(loaded, log: log, file: path) {
                Self.outcome { () throws(ConfigurationError) in
                    try ClientConfiguration.load(path: path, keyMode: mode)
                }
            }
            return RunningEnd(
                role: .client,
                status: process.statusSnapshot,
                order: { _ in .refused("a client has no backends; ask the server") },
                run: process.run
            )
        }
    }

    /// What is served over HTTP, and under which names.
    private struct AdminPages {
        var address: SocketAddress?
        var hosts: [String]
    }

    /// What both ends have in common.
    private struct RunningEnd {
        var role: ProcessReport.Role
        var status: @Sendable () -> ProcessStatus
        var order: AdminOrder.Handler
        var run: () -> Int32
    }

    private static func outcome<Value>(
        _ load: () throws(ConfigurationError) -> LoadedConfiguration<Value>
    ) -> ReloadOutcome<Value> {
        do throws(ConfigurationError) {
            return .configuration(try load())
        } catch {
            return .refused(error.lines)
        }
    }

    private static func run(
        _ pages: AdminPages,
        _ control: ControlSocket,
        _ options: RunOptions,
        make: (EventLog) throws -> RunningEnd
    ) -> Int32 {
        let log = options.eventLog
        do {
            // The process first: it takes over the signals, which later threads inherit.
            let end = try make(log)
            let admin = try Self.admin(pages, control, end, log)
            let code = end.run()
            admin?.stop()
            return code
        } catch {
            log.error("failed", ["cause": "\(error)"])
            return 1
        }
    }

    private static func admin(
        _ pages: AdminPages,
        _ control: ControlSocket,
        _ end: RunningEnd,
        _ log: EventLog
    ) throws(AdminFailure) -> AdminServer? {
        let report: @Sendable () -> ProcessReport = { [status = end.status] in
            ProcessReport(status())
        }
        let paths = control.paths(role: end.role)
        guard pages.address != nil || !paths.isEmpty else { return nil }
        do throws(AdminFailure) {
            return try AdminServer(
                http: pages.address,
                hosts: pages.hosts,
                controlPaths: paths,
                report: report,
                order: end.order
            )
        } catch {
            // The usual places need root or a login session; whoever names a place gets it or none.
            guard control == .automatic, case .control = error.place else { throw error }
            log.warning(
                "control-unavailable",
                [
                    "cause": "\(error)",
                    "hint": "fairlead status cannot reach this process: set control = \"PATH\" in"
                        + " a folder this user may write, or control = \"off\"",
                ]
            )
            guard pages.address != nil else { return nil }
            return try AdminServer(
                http: pages.address,
                hosts: pages.hosts,
                controlPaths: [],
                report: report
            )
        }
    }
}

extension AdminOrder.Outcome {
    fileprivate init(_ process: ServerProcess, _ order: AdminOrder) {
        let outcome = process.drain(
            service: order.service,
            backend: order.backend,
            isDraining: order.isDraining
        )
        switch outcome {
        case .done(let text): self = .done(text)
        case .refused(let text): self = .refused(text)
        }
    }
}

extension ControlSocket {
    fileprivate func paths(role: ProcessReport.Role) -> [String] {
        switch self {
        case .off: []
        case .path(let path): [path]
        case .automatic:
            Self.defaultPaths(
                role: role.rawValue,
                runtimeFolder: getenv("XDG_RUNTIME_DIR").map { String(cString: $0) }
            )
        }
    }
}

extension RunOptions {
    fileprivate var eventLog: EventLog {
        let level: EventLog.Level =
            switch self.logLevel {
            case .trace, .debug: .debug
            case .info: .info
            case .warning: .warning
            case .error: .error
            }
        return EventLog(format: self.logFormat == .json ? .json : .text, level: level)
    }
}
