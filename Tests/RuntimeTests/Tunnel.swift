import Configuration
import Glibc
import LinuxIO
import Primitives
import Sealing
import Synchronization

@testable import Runtime

/// The lines a process has logged, kept for assertions.
final class LogBook: Sendable {
    private let lines = Mutex<[String]>([])

    func log(level: EventLog.Level = .debug) -> EventLog {
        EventLog(format: .text, level: level) { line in self.lines.withLock { $0.append(line) } }
    }

    var text: String { self.lines.withLock { $0.joined() } }

    /// The first line that holds all of `words`, waited for at most `seconds`.
    func line(with words: [String], within seconds: Double = 5) -> String? {
        var found: String?
        _ = waitFor(seconds: seconds) {
            found = self.lines.withLock { lines in
                lines.first { line in words.allSatisfy { line.contains($0) } }
            }
            return found != nil
        }
        return found
    }

    /// What `ready` says it listens on.
    func listenAddresses() -> [SocketAddress] {
        guard let line = self.line(with: [" ready "]), let start = line.range(of: "listen=") else {
            return []
        }
        return line[start...].dropFirst(7).split(whereSeparator: { $0 == "," || $0 == "\n" })
            .compactMap { SocketAddress(String($0)) }
    }
}

extension String {
    fileprivate func range(of needle: String) -> String.Index? {
        self.indices.first { self[$0...].hasPrefix(needle) }
    }
}

/// Polls `condition` until it holds; false after `seconds`.
func waitFor(seconds: Double, _ condition: () -> Bool) -> Bool {
    let clock = BootClock()
    let end = clock.now() + .milliseconds(UInt64(seconds * 1_000))
    while !condition() {
        if clock.now() > end { return false }
        usleep(2_000)
    }
    return true
}

let loopback = SocketAddress(ipv4: 0x7F00_0001, port: 0)

/// A process on a thread of its own, and its exit code.
final class Running: Sendable {
    let code = Mutex<Int32?>(nil)

    init(_ run: @escaping @Sendable () -> Int32) throws {
        try startThread(named: "test-process") {
            let code = run()
            self.code.withLock { $0 = code }
        }
    }

    func exitCode(within seconds: Double) -> Int32? {
        _ = waitFor(seconds: seconds) { self.code.withLock { $0 != nil } }
        return self.code.withLock { $0 }
    }
}

/// A server and a client in this test process, joined over loopback.
final class Tunnel {
    let serverLog = LogBook()
    let clientLog = LogBook()
    let server: ServerProcess
    let client: ClientProcess
    let serverRun: Running
    let clientRun: Running
    let clientConfiguration: ClientConfiguration
    let serverConfiguration: ServerConfiguration
    /// What the next reload of each end reads.
    let nextClient: Shared<ClientConfiguration>
    let nextServer: Shared<ServerConfiguration>
    let nextPresharedKeys: Shared<(client: PresharedKey?, server: PresharedKey?)>

    final class Shared<Value: Sendable>: Sendable {
        let value: Mutex<Value>

        init(_ value: Value) { self.value = Mutex(value) }
    }

    init(
        services: [Service],
        forwards: [Forward],
        serverWorkers: Int = 1,
        clientWorkers: Int = 1,
        listen: [SocketAddress] = [loopback],
        origins: [String]? = nil,
        presharedKeys: (client: PresharedKey?, server: PresharedKey?) = (nil, nil),
        via route: (SocketAddress) throws -> Endpoint = { .address($0) },
        servers pick: ([Endpoint]) -> [Endpoint] = { $0 }
    ) throws {
        let serverKey = SecretKey(entropy: .kernel())
        let clientKey = SecretKey(entropy: .kernel())
        let noFile = KeyFile(path: "unused", location: "unused")
        var serverConfiguration = ServerConfiguration(listen: listen, privateKey: noFile)
        serverConfiguration.services = services
        serverConfiguration.transport.workers = serverWorkers
        var peer = PeerEntry(name: "edge", publicKey: clientKey.publicKey, services: ["*"])
        peer.origins = origins.map { $0.compactMap { AddressBlock($0) } }
        serverConfiguration.peers = [peer]
        let nextServer = Shared(serverConfiguration)
        self.nextServer = nextServer
        let nextKeys = Shared(presharedKeys)
        self.nextPresharedKeys = nextKeys
        let loadServer = { @Sendable in
            LoadedConfiguration(
                configuration: nextServer.value.withLock { $0 },
                privateKey: serverKey,
                presharedKeys: Self.table(nextKeys.value.withLock { $0.server }, of: clientKey)
            )
        }
        let server = try ServerProcess(loadServer(), log: self.serverLog.log()) {
            .configuration(loadServer())
        }
        self.serverRun = try Running { server.run() }
        var clientConfiguration = ClientConfiguration(
            servers: pick(try self.serverLog.listenAddresses().map(route)),
            serverPublicKey: serverKey.publicKey,
            privateKey: noFile
        )
        clientConfiguration.forwards = forwards
        clientConfiguration.transport.workers = clientWorkers
        let nextClient = Shared(clientConfiguration)
        self.nextClient = nextClient
        let loadClient = { @Sendable in
            LoadedConfiguration(
                configuration: nextClient.value.withLock { $0 },
                privateKey: clientKey,
                presharedKeys: Self.table(nextKeys.value.withLock { $0.client }, of: serverKey)
            )
        }
        let client = try ClientProcess(loadClient(), log: self.clientLog.log()) {
            .configuration(loadClient())
        }
        self.clientRun = try Running { client.run() }
        self.server = server
        self.client = client
        self.serverConfiguration = serverConfiguration
        self.clientConfiguration = clientConfiguration
    }

    private static func table(
        _ key: PresharedKey?,
        of holder: SecretKey
    ) -> [PublicKey: PresharedKey] {
        key.map { [holder.publicKey: $0] } ?? [:]
    }

    /// Where the client listens, in the order of the forwards.
    var entrances: [SocketAddress] { self.clientLog.listenAddresses() }

    /// Both ends have ended within two seconds with exit code 0.
    func stop() -> Bool {
        self.client.requestShutdown()
        let client = self.clientRun.exitCode(within: 2)
        self.server.requestShutdown()
        let server = self.serverRun.exitCode(within: 2)
        return client == 0 && server == 0
    }
}

/// Counted in the metric's `reason`.
extension ProcessStatus {
    func dropCount(_ reason: String) -> UInt64 {
        self.drops.first { $0.reason == reason }?.count ?? 0
    }
}

func forward(_ service: String, _ transport: ForwardedProtocol) -> Forward {
    Forward(
        listen: range(loopback),
        transportProtocol: transport,
        service: service
    )
}

func range(_ address: SocketAddress) -> ListenRange {
    guard let range = ListenRange(first: address, lastPort: address.port) else {
        preconditionFailure("one port is a range")
    }
    return range
}

func service(_ name: String, _ transport: ForwardedProtocol, _ backends: [SocketAddress]) -> Service
{
    Service(
        name: name,
        transportProtocol: transport,
        backends: backends.map { Backend(endpoint: .address($0)) }
    )
}
