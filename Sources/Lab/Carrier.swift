import Glibc
import LinuxIO
import Primitives
import Sealing

/// A stack that runs in a ``TestBed``, and where its loads connect.
struct Carrier {
    /// Where the client's exchange goes.
    var echo: SocketAddress
    /// Where the client's download goes.
    var bulk: SocketAddress
    /// What the kernel uses for connections of the client itself; `nil` where they end in a tunnel.
    var congestion: String?
    var processes: [pid_t] = []
    /// From the start of the tunnel's client to its first answer, in milliseconds.
    var coldStart: Double?

    private static let loopback = SocketAddress(ipv4: 0x7F00_0001, port: 0)
    private static let tunnelPort: UInt16 = 4600

    /// Starts the stack and waits until it answers; throws ``SkippedStack`` where it cannot run.
    static func start(
        _ stack: Stack,
        in bed: TestBed,
        for measure: Measure,
        _ interruptions: Interruptions
    ) throws -> Carrier {
        switch stack {
        case .udp: return try Self.kernel("bbr", bed)
        case .tcpBBR: return try Self.kernel("bbr", bed)
        case .tcpCubic: return try Self.kernel("cubic", bed)
        case .kcptun, .kcptunFEC:
            return try Self.kcptun(stack, bed, measure, interruptions)
        case .fairleadUDP, .fairleadDeadline, .fairleadTCP:
            return try Self.fairlead(stack, bed, measure, interruptions)
        }
    }

    /// No tunnel: the client speaks with the backend itself.
    private static func kernel(_ congestion: String, _ bed: TestBed) throws -> Carrier {
        let known = TextFile.read("/proc/sys/net/ipv4/tcp_available_congestion_control") ?? ""
        guard known.split(whereSeparator: \.isWhitespace).contains(Substring(congestion)) else {
            throw SkippedStack("this kernel has no \(congestion)")
        }
        try bed.openBackend(congestion: congestion)
        let target = TestBed.serverAddress.with(port: TestBed.backendPort)
        return Carrier(echo: target, bulk: target, congestion: congestion)
    }

    private static func priority(_ measure: Measure) -> ChildProcess.Priority {
        measure == .echo ? .realTime : .nice
    }

    private static func kcptun(
        _ stack: Stack,
        _ bed: TestBed,
        _ measure: Measure,
        _ interruptions: Interruptions
    ) throws -> Carrier {
        guard Self.isInstalled("kcptun-server"), Self.isInstalled("kcptun-client") else {
            throw SkippedStack("kcptun is not installed (apt-get install kcptun)")
        }
        try bed.openBackend(congestion: nil)
        let shards = stack == .kcptunFEC ? ("10", "3") : ("0", "0")
        let common = [
            "--key", "lab", "--crypt", "aes", "--mode", "fast3", "--nocomp", "--smuxver", "2",
            "--datashard", shards.0, "--parityshard", shards.1,
        ]
        let listen = Self.loopback.with(port: 7100)
        let remote = TestBed.serverAddress.with(port: Self.tunnelPort)
        let server = try bed.start(
            [
                "kcptun-server", "-t", "127.0.0.1:\(TestBed.backendPort)", "-l",
                ":\(Self.tunnelPort)",
            ] + common,
            in: bed.server,
            log: "server.log",
            priority: Self.priority(measure)
        )
        try interruptions.sleep(.milliseconds(300))
        let start = BootClock().now()
        let client = try bed.start(
            ["kcptun-client", "-r", "\(remote)", "-l", "\(listen)"] + common,
            in: bed.client,
            log: "client.log",
            priority: Self.priority(measure)
        )
        var carrier = Carrier(echo: listen, bulk: listen)
        carrier.processes = [server.identifier, client.identifier]
        carrier.coldStart = try SetupProbe.coldStart(to: listen, bed, since: start, interruptions)
        return carrier
    }

    private static func fairlead(
        _ stack: Stack,
        _ bed: TestBed,
        _ measure: Measure,
        _ interruptions: Interruptions
    ) throws -> Carrier {
        let programs = ["server", "client"].map { "\(bed.options.binaries)/fairlead-\($0)" }
        for program in programs where access(program, X_OK) != 0 {
            throw SkippedStack("\(program) is missing (swift build -c release)")
        }
        try bed.openBackend(congestion: nil)
        try FairleadFiles.write(
            stack,
            bed.scenario.trafficClass,
            into: bed.folder,
            tunnelPort: Self.tunnelPort
        )
        let server = try bed.start(
            [programs[0], "--config", "\(bed.folder)/server.toml"],
            in: bed.server,
            log: "server.log",
            priority: Self.priority(measure)
        )
        try interruptions.sleep(.milliseconds(300))
        let start = BootClock().now()
        let client = try bed.start(
            [programs[1], "--config", "\(bed.folder)/client.toml"],
            in: bed.client,
            log: "client.log",
            priority: Self.priority(measure)
        )
        let tcp = Self.loopback.with(port: FairleadFiles.streamPort)
        let udp = Self.loopback.with(port: FairleadFiles.datagramPort)
        var carrier = Carrier(echo: stack.transport == .udp ? udp : tcp, bulk: tcp)
        carrier.processes = [server.identifier, client.identifier]
        carrier.coldStart = try SetupProbe.coldStart(to: tcp, bed, since: start, interruptions)
        return carrier
    }

    private static func isInstalled(_ program: String) -> Bool {
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        return path.split(separator: ":").contains { access("\($0)/\(program)", X_OK) == 0 }
    }
}

/// Why a stack is not measured here.
struct SkippedStack: Error {
    let reason: String

    init(_ reason: String) { self.reason = reason }
}

/// The keys and configurations of a pair of Fairlead programs.
enum FairleadFiles {
    static let streamPort: UInt16 = 7100
    static let datagramPort: UInt16 = 7101

    static func write(
        _ stack: Stack,
        _ trafficClass: String,
        into folder: String,
        tunnelPort: UInt16
    ) throws {
        let serverKey = SecretKey(entropy: .kernel())
        let clientKey = SecretKey(entropy: .kernel())
        for (name, key) in [("server", serverKey), ("client", clientKey)] {
            let text = key.keyFileText(created: "by fairlead lab")
            try TextFile.write(text, to: "\(folder)/\(name).key", mode: 0o600)
        }
        let backend = "127.0.0.1:\(TestBed.backendPort)"
        let server = """
            listen = "0.0.0.0:\(tunnelPort)"
            private_key = "server.key"
            control = "\(folder)/server.sock"
            [[peer]]
            name = "lab"
            public_key = "\(clientKey.publicKey)"
            services = ["*"]
            [[service]]
            name = "streams"
            protocol = "tcp"
            backends = ["\(backend)"]
            [[service]]
            name = "datagrams"
            protocol = "udp"
            backends = ["\(backend)"]
            """
        let delivery =
            stack == .fairleadDeadline
            ? "delivery = \"deadline\"\nmax_age = \"150ms\"" : "delivery = \"datagram\""
        let client = """
            server = "\(TestBed.serverAddress.with(port: tunnelPort))"
            server_public_key = "\(serverKey.publicKey)"
            private_key = "client.key"
            control = "\(folder)/client.sock"
            [[forward]]
            listen = "127.0.0.1:\(Self.streamPort)"
            protocol = "tcp"
            service = "streams"
            [[forward]]
            listen = "127.0.0.1:\(Self.datagramPort)"
            protocol = "udp"
            service = "datagrams"
            class = "\(trafficClass)"
            \(delivery)
            """
        try TextFile.write(server, to: "\(folder)/server.toml")
        try TextFile.write(client, to: "\(folder)/client.toml")
    }
}
