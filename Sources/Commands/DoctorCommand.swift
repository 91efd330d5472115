import ArgumentParser
import Configuration
import Daemons
import LinuxIO
import Primitives
import ReturnPath
import Runtime

/// Tells whether this machine can do what a configuration asks for.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Check whether this machine can do what a configuration asks for.",
        discussion: """
            Looks at capabilities, limits and kernel settings. For transparent services it also \
            dials each backend from an address that no player has and sees whether the reply \
            comes back; the rules for that are installed as the server would, and removed again. \
            For a client it shakes hands with the server, as one more session of the same key, \
            opens every forward's service once, and says which of server, key, firewall or \
            permission is at fault. Exit code 1 if anything fails.

            Examples:
              fairlead doctor --server server.toml
              fairlead doctor --client client.toml --json
            """
    )

    @Option(help: ArgumentHelp("The server's file.", valueName: "file"))
    var server: String?

    @Option(help: ArgumentHelp("The client's file.", valueName: "file"))
    var client: String?

    @Flag(help: "Print one JSON object.")
    var json = false

    @Flag(help: "Install no rules: only those that are there already can prove anything.")
    var readOnly = false

    @OptionGroup var keyOptions: KeyOptions

    func run() throws {
        var needs = DoctorMachine.Needs()
        var findings: [DoctorFinding] = []
        if let path = self.server { findings += try self.serverFindings(path, &needs) }
        if let path = self.client { findings += try self.clientFindings(path, &needs) }
        findings = DoctorMachine.findings(needs) + findings
        Terminal.print(self.json ? DoctorReport.json(findings) : DoctorReport.text(findings))
        guard findings.allSatisfy({ $0.level != .failure }) else { throw CommandExit.failure }
    }

    // MARK: Server

    private func serverFindings(
        _ path: String,
        _ needs: inout DoctorMachine.Needs
    ) throws -> [DoctorFinding] {
        let configuration: ServerConfiguration
        do throws(ConfigurationError) {
            let mode = self.keyOptions.mode
            let loaded = try ServerConfiguration.load(path: path, keyMode: mode)
            configuration = loaded.configuration
        } catch {
            throw CommandExit.refuse(error)
        }
        let services = TransparentServices(configuration)
        let limits = configuration.limits
        needs.isTransparent = !services.backends.isEmpty || !services.unresolved.isEmpty
        needs.changesRoutes = services.mode == .auto && !self.readOnly
        needs.descriptors = max(needs.descriptors, limits.maximumStreams + limits.maximumFlows)
        needs.lowestPort = min(needs.lowestPort, Self.lowest(configuration.listen.map(\.port)))
        var findings = [DoctorFinding.ok("server-file", "\(path) is well formed")]
        findings += configuration.warnings.map {
            .warning("origins", $0, cure: "see: origins of [[peer]]")
        }
        findings += services.unresolved.map {
            .failure("backend \($0)", "the name has no address", cure: "see: getent hosts")
        }
        return findings + self.probe(services)
    }

    private func probe(_ services: TransparentServices) -> [DoctorFinding] {
        guard !services.backends.isEmpty else { return [] }
        var findings: [DoctorFinding] = []
        let keeper = ReturnPathKeeper(
            mode: self.readOnly ? .off : services.mode == .auto ? .auto : .off,
            ownPorts: services.ownPorts,
            flowLimit: 0
        ) { event in
            guard case .repairFailed(let reason) = event else { return }
            findings.append(.warning("routes", reason, cure: "run it again"))
        }
        defer { keeper.teardown() }
        let verdicts = keeper.prepare(services.backends, testAddresses: services.testAddresses)
        findings += verdicts.map { verdict in
            let check = "backend \(verdict.backend)"
            switch verdict.state {
            case .ready(let note):
                return .ok(check, "replies to players come back" + (note.map { "; \($0)" } ?? ""))
            case .refused(let reason, let cure):
                return .failure(check, reason, cure: cure)
            }
        }
        return findings + self.forwarding(services)
    }

    /// A router passes on what a remote backend's machine says of closed ports, address and all.
    private func forwarding(_ services: TransparentServices) -> [DoctorFinding] {
        let hasDatagrams = services.backends.contains { $0.transport == .udp }
        let isRouter =
            DoctorMachine.number("net.ipv4.ip_forward") == 1
            || DoctorMachine.number("net.ipv6.conf.all.forwarding") == 1
        guard hasDatagrams, isRouter else { return [] }
        return [
            .warning(
                "forwarding",
                "this machine is a router: while a UDP backend on another machine is down, that"
                    + " machine's \"port unreachable\" messages reach players with its address",
                cure: "nft add rule inet filter forward meta l4proto { icmp, ipv6-icmp } drop"
                    + " for packets from the backends"
            )
        ]
    }

    // MARK: Client

    private func clientFindings(
        _ path: String,
        _ needs: inout DoctorMachine.Needs
    ) throws -> [DoctorFinding] {
        let loaded: LoadedConfiguration<ClientConfiguration>
        do throws(ConfigurationError) {
            let mode = self.keyOptions.mode
            loaded = try ClientConfiguration.load(path: path, keyMode: mode)
        } catch {
            throw CommandExit.refuse(error)
        }
        let configuration = loaded.configuration
        let limits = configuration.limits
        needs.descriptors = max(needs.descriptors, limits.maximumStreams + limits.maximumFlows)
        let ports = configuration.forwards.map(\.listen.first.port)
        needs.lowestPort = min(needs.lowestPort, Self.lowest(ports))
        var findings = [DoctorFinding.ok("client-file", "\(path) is well formed")]
        findings += DoctorTunnel.findings(loaded)
        let listeners = configuration.transparentListeners
        needs.isTransparentInput = !listeners.isEmpty
        return findings + DoctorMachine.input(listeners)
    }

    private static func lowest(_ ports: [UInt16]) -> UInt16 {
        ports.filter { $0 != 0 }.min() ?? .max
    }
}
