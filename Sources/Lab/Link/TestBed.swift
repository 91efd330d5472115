import Glibc
import LinuxIO
import Primitives

/// Two namespaces, the emulated link between them and the far end of the loads.
///
/// Every run has a bed of its own, so that nothing of one stack is left when the next one starts.
final class TestBed {
    static let clientAddress = SocketAddress(ipv4: 0x0A58_0102, port: 0)  // 10.88.1.2
    static let serverAddress = SocketAddress(ipv4: 0x0A58_0202, port: 0)  // 10.88.2.2
    static let backendPort: UInt16 = 7000

    let client: NetworkNamespace
    let server: NetworkNamespace
    let emulator: Emulator
    let folder: String
    let scenario: Scenario
    let options: LabOptions
    private(set) var backend: LoadServer?
    private var plainKCP: PlainKCPTunnel?
    private var children: [ChildProcess] = []

    init(_ scenario: Scenario, seed: UInt64, options: LabOptions) throws {
        self.scenario = scenario
        self.options = options
        var template = Array("/tmp/fairlead-lab-XXXXXX\0".utf8).map { CChar(bitPattern: $0) }
        guard let path = mkdtemp(&template) else { throw LabFailure.call("mkdtemp") }
        self.folder = String(cString: path)
        let prefix = "fllab\(getpid())"
        var made: [NetworkNamespace] = []
        do {
            for role in ["client", "server"] {
                made.append(try NetworkNamespace(name: "\(prefix)-\(role)"))
            }
            (self.client, self.server) = (made[0], made[1])
            let near = try TunDevice(
                in: self.client,
                name: "lab0",
                address: "\(Self.clientAddress.hostText)/24"
            )
            let far = try TunDevice(
                in: self.server,
                name: "lab0",
                address: "\(Self.serverAddress.hostText)/24"
            )
            self.emulator = try Emulator(client: near, server: far)
            try self.emulator.start(scenario, seed: seed, isUrgent: options.isUrgent)
        } catch {
            for namespace in made { namespace.remove() }
            TextFile.removeFolder(self.folder)
            throw error
        }
    }

    /// Opens the far end of the loads.
    ///
    /// - Parameters:
    ///   - address: everywhere, when not given.
    ///   - player: whose address everyone who connects must have.
    func openBackend(
        at address: SocketAddress = SocketAddress(ipv4: 0, port: TestBed.backendPort),
        expecting player: SocketAddress? = nil,
        congestion: String?
    ) throws {
        self.backend = try LoadServer(
            in: self.server,
            at: address,
            expecting: player,
            congestion: congestion,
            isUrgent: self.options.isUrgent
        )
    }

    func openPlainKCP(listen: SocketAddress, tunnel: SocketAddress, backend: SocketAddress) throws {
        let places = PlainKCPTunnel.Places(
            client: self.client,
            server: self.server,
            listen: listen,
            tunnel: tunnel,
            backend: backend
        )
        self.plainKCP = try PlainKCPTunnel(places, isUrgent: self.options.isUrgent)
    }

    /// Runs a program to its end, which must be a success.
    func finish(
        _ arguments: [String],
        in namespace: NetworkNamespace,
        log: String? = nil
    ) throws {
        let log = log ?? "\(self.folder)/steps.log"
        let child = try namespace.inside { try ChildProcess(arguments, log: log) }
        guard child.waitForSuccess() else {
            let words = TextFile.read(log) ?? ""
            throw LabFailure("failed: \(arguments.joined(separator: " "))\n\(words)")
        }
    }

    /// Starts a program in one of the namespaces; ``close()`` ends it.
    @discardableResult
    func start(
        _ arguments: [String],
        in namespace: NetworkNamespace,
        log: String,
        priority: ChildProcess.Priority
    ) throws -> ChildProcess {
        let child = try namespace.inside {
            try ChildProcess(
                arguments,
                log: "\(self.folder)/\(log)",
                priority: self.options.isUrgent ? priority : .usual
            )
        }
        self.children.append(child)
        return child
    }

    /// The last words of every program, for a failure's message.
    func lastWords() -> String {
        guard let names = try? TextFile.names(in: self.folder) else { return "" }
        return names.filter { $0.hasSuffix(".log") }.map { name in
            let text = TextFile.read("\(self.folder)/\(name)") ?? ""
            let lines = text.split(separator: "\n").suffix(5).joined(separator: "\n  ")
            return "\(name):\n  \(lines)"
        }.joined(separator: "\n")
    }

    /// Ends and removes everything the bed made.
    func close() {
        for child in self.children.reversed() { child.end() }
        self.plainKCP?.stop()
        self.backend?.stop()
        self.emulator.stop()
        self.client.remove()
        self.server.remove()
        TextFile.removeFolder(self.folder)
    }
}
