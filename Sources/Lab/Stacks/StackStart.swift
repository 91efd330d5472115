import Glibc
import LinuxIO
import Primitives

/// Why a stack is not measured here.
struct SkippedStack: Error {
    let reason: String

    init(_ reason: String) { self.reason = reason }
}

/// One stack on its way up.
struct StackStart {
    let stack: Stack
    let bed: TestBed
    let priority: ChildProcess.Priority
    let interruptions: Interruptions

    /// No tunnel: the client speaks with the backend itself.
    func kernel(_ congestion: String) throws -> Carrier {
        try Self.requireCongestion(congestion)
        try self.bed.openBackend(congestion: congestion)
        let target = TestBed.serverAddress.with(port: TestBed.backendPort)
        return Carrier(echo: target, bulk: target, congestion: congestion)
    }

    /// Kernel TCP or UDP to go-mmproxy beside the backend.
    func mmproxy() throws -> Carrier {
        try Self.requireCongestion("bbr")
        let backend = Carrier.loopback.with(port: TestBed.backendPort)
        try self.bed.openBackend(at: backend, expecting: OriginClaim.player, congestion: nil)
        let identifier = try self.startMmproxy(at: TestBed.serverAddress, congestion: "bbr")
        let target = TestBed.serverAddress.with(port: Self.mmproxyPort)
        var carrier = Carrier(echo: target, bulk: target, congestion: "bbr")
        carrier.claim = OriginClaim(destination: target)
        carrier.processes = [identifier]
        return carrier
    }

    static let mmproxyPort: UInt16 = 7200

    /// Starts go-mmproxy in front of the backend's address on loopback, with the rule and route
    /// its own documentation asks for, so that answers to players come back to it.
    func startMmproxy(at address: SocketAddress, congestion: String?) throws -> pid_t {
        try Self.require("go-mmproxy", package: "go-mmproxy")
        let server = self.bed.server
        try server.ip(["rule", "add", "from", "127.0.0.1/8", "iif", "lo", "table", "123"])
        try server.ip(["route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "123"])
        if let congestion { try server.setDefault(congestion: congestion) }
        let program = try self.bed.start(
            [
                "go-mmproxy", "-l", "\(address.with(port: Self.mmproxyPort))", "-4",
                "127.0.0.1:\(TestBed.backendPort)", "-p", self.stack.transport.rawValue, "-v", "1",
            ],
            in: server,
            log: "mmproxy.log",
            priority: self.priority
        )
        try self.interruptions.sleep(.milliseconds(300))
        return program.identifier
    }

    /// Starts a tunnel's server, and gives it time to open its port.
    func startServer(_ arguments: [String]) throws -> pid_t {
        let server = try self.bed.start(
            arguments,
            in: self.bed.server,
            log: "server.log",
            priority: self.priority
        )
        try self.interruptions.sleep(.milliseconds(300))
        return server.identifier
    }

    func startClient(_ arguments: [String]) throws -> pid_t {
        try self.bed.start(
            arguments,
            in: self.bed.client,
            log: "client.log",
            priority: self.priority
        ).identifier
    }

    static func require(_ program: String, package: String) throws {
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        let folders = "\(path):/usr/sbin".split(separator: ":")
        guard folders.contains(where: { access("\($0)/\(program)", X_OK) == 0 }) else {
            throw SkippedStack("\(program) is not installed (apt-get install \(package))")
        }
    }

    static func requireCongestion(_ name: String) throws {
        let known = TextFile.read("/proc/sys/net/ipv4/tcp_available_congestion_control") ?? ""
        guard known.split(whereSeparator: \.isWhitespace).contains(Substring(name)) else {
            throw SkippedStack("this kernel has no \(name)")
        }
    }
}
