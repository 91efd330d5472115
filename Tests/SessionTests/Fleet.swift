import Primitives
import Sealing

@testable import Session

/// A client with several servers of one key, or with one that has several addresses, in virtual
/// time, 10 ms each way.
final class Fleet {
    private let entropy = EntropySource.seeded(5)
    let client: Engine
    private(set) var servers: [Engine] = []
    let addresses: [SocketAddress]
    private let own = SocketAddress(ipv4: 0xC000_0201, port: 5000)
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 64)
    private var inFlight: [(at: Instant, server: Int, isUp: Bool, bytes: [UInt8])] = []
    /// By address, each way.
    var delays: [Int: Instant.Interval] = [:]
    private let serverSettings: ServerSettings
    var now = Instant(nanoseconds: 1_000_000_000)
    /// Which server is at which address.
    private(set) var tenants: [Int]
    /// Addresses whose packets vanish, both ways.
    var isDark: Set<Int> = []
    var events: [EngineEvent] = []
    var serverStreams: [Int: [StreamHandle]] = [:]

    /// `isOneServer`: all addresses are those of one.
    init(count: Int, isOneServer: Bool = false) {
        let key = SecretKey(entropy: self.entropy)
        let clientKey = SecretKey(entropy: self.entropy)
        let directory = PeerDirectory(
            peers: [Peer(name: "edge", publicKey: clientKey.publicKey, services: ["*"])],
            services: [
                .init(name: "echo", serviceProtocol: .tcp, allowsCompression: true),
                .init(name: "voice", serviceProtocol: .udp, allowsCompression: true),
            ]
        )
        self.addresses = (0..<count).map { SocketAddress(ipv4: 0xC633_6401 + UInt32($0), port: 1) }
        self.serverSettings = ServerSettings(privateKey: key, directory: directory)
        var settings = ClientSettings(
            servers: self.addresses,
            serverPublicKey: key.publicKey,
            privateKey: clientKey
        )
        settings.connectTimeout = .seconds(10)
        if isOneServer { settings.servers = [self.addresses] }
        self.tenants = (0..<count).map { isOneServer ? 0 : $0 }
        self.client = Engine(
            client: settings,
            limits: EngineLimits(),
            entropy: self.entropy,
            at: self.now
        )
        self.servers = (0..<count).map { _ in self.makeServer() }
    }

    deinit { self.buffer.deallocate() }

    private func makeServer() -> Engine {
        Engine(
            server: self.serverSettings,
            limits: EngineLimits(),
            entropy: self.entropy,
            at: self.now
        )
    }

    func restart(_ server: Int) { self.servers[server] = self.makeServer() }

    private func drainClient() {
        while let transmit = self.client.nextTransmit(into: self.buffer, at: self.now) {
            guard let server = self.addresses.firstIndex(of: transmit.destination) else { continue }
            self.carry(transmit, server: server, isUp: true)
        }
        while let event = self.client.nextEvent() { self.events.append(event) }
        while self.client.nextDatagram() != nil {}
    }

    private func drain(server: Int) {
        let engine = self.servers[server]
        while let (flow, bytes) = engine.nextDatagram() {
            [UInt8](bytes).withUnsafeBytes { engine.send($0, on: flow, at: self.now) }
        }
        while let event = engine.nextEvent() {
            if case .streamOpened(let handle, _, _) = event {
                self.serverStreams[server, default: []].append(handle)
            }
        }
        while let transmit = engine.nextTransmit(into: self.buffer, at: self.now) {
            let peer = self.sources[transmit.destination] ?? server
            self.carry(transmit, server: peer, isUp: false)
        }
    }

    /// Which address the client reached from which of its own.
    private var sources: [SocketAddress: Int] = [:]

    private func carry(_ transmit: Transmit, server: Int, isUp: Bool) {
        var start = 0
        while start < transmit.byteCount {
            let end = min(transmit.byteCount, start + transmit.segmentSize)
            if !self.isDark.contains(server) {
                let at = self.now + (self.delays[server] ?? .milliseconds(10))
                // Behind whatever arrives no later.
                let place = self.inFlight.firstIndex { $0.at > at } ?? self.inFlight.count
                self.inFlight.insert(
                    (at, server, isUp, [UInt8](self.buffer[start..<end])),
                    at: place
                )
            }
            start = end
        }
    }

    func run(_ interval: Instant.Interval) {
        let end = self.now + interval
        while true {
            for _ in 0..<2 {
                self.drainClient()
                for server in self.servers.indices { self.drain(server: server) }
            }
            let next = self.servers.reduce(
                min(self.inFlight.first?.at ?? .never, self.client.deadline)
            ) { min($0, $1.deadline) }
            guard next <= end else { break }
            self.now = max(self.now, next)
            while let first = self.inFlight.first, first.at <= self.now {
                self.inFlight.removeFirst()
                var bytes = first.bytes
                bytes.withUnsafeMutableBytes { packet in
                    if first.isUp {
                        let tenant = self.tenants[first.server]
                        // Another address of the server, another way out, another own address.
                        let own = self.own.with(port: 5000 + UInt16(first.server))
                        self.sources[own] = first.server
                        self.servers[tenant].receive(packet, from: own, at: self.now)
                    } else {
                        let source = self.addresses[first.server]
                        self.client.receive(packet, from: source, at: self.now)
                    }
                }
            }
            self.client.wake(at: self.now)
            for server in self.servers { server.wake(at: self.now) }
        }
        self.now = end
    }

    func open() -> StreamHandle? {
        self.client.openStream(OpenRequest(service: "echo", serviceProtocol: .tcp), at: self.now)
    }

    var resets: [ResetReason] {
        self.events.compactMap { if case .streamReset(_, let reason) = $0 { reason } else { nil } }
    }

    var changes: [SocketAddress] {
        self.events.compactMap { if case .serverChanged(_, let to) = $0 { to } else { nil } }
    }

    var doubts: (begun: Int, ended: Int) {
        (
            self.events.count { if case .sessionDoubted = $0 { true } else { false } },
            self.events.count { if case .sessionTrusted = $0 { true } else { false } }
        )
    }

    /// Where the client's session is.
    var place: SocketAddress? { self.client.snapshot(at: self.now).sessions.first?.address }
}
