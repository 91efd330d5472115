import Primitives
import Sealing
import Testing

@testable import Session

/// A client with several servers of one key, in virtual time, 10 ms each way.
private final class Fleet {
    private let entropy = EntropySource.seeded(5)
    let client: Engine
    private(set) var servers: [Engine] = []
    let addresses: [SocketAddress]
    private let own = SocketAddress(ipv4: 0xC000_0201, port: 5000)
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 64)
    private var inFlight: [(at: Instant, server: Int, isUp: Bool, bytes: [UInt8])] = []
    private let delay = Instant.Interval.milliseconds(10)
    private let serverSettings: ServerSettings
    var now = Instant(nanoseconds: 1_000_000_000)
    /// Servers whose packets vanish, both ways.
    var isDark: Set<Int> = []
    var events: [EngineEvent] = []
    var serverStreams: [Int: [StreamHandle]] = [:]

    init(count: Int) {
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
            self.carry(transmit, server: server, isUp: false)
        }
    }

    private func carry(_ transmit: Transmit, server: Int, isUp: Bool) {
        var start = 0
        while start < transmit.byteCount {
            let end = min(transmit.byteCount, start + transmit.segmentSize)
            if !self.isDark.contains(server) {
                self.inFlight.append(
                    (self.now + self.delay, server, isUp, [UInt8](self.buffer[start..<end]))
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
                        self.servers[first.server].receive(packet, from: self.own, at: self.now)
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

/// What a client does when its server falls silent.
@Suite struct FailoverTests {
    private func bound(_ fleet: Fleet, to server: Int) throws {
        fleet.run(.seconds(2))
        #expect(fleet.place == fleet.addresses[server])
        #expect(fleet.open() != nil)
        fleet.run(.seconds(1))
        #expect(fleet.resets.isEmpty)
    }

    /// It took 122 seconds until the second server was used.
    @Test func aSilentServerIsReplacedWithinFourSeconds() throws {
        let fleet = Fleet(count: 2)
        try self.bound(fleet, to: 0)
        fleet.isDark = [0]
        let flow = try #require(
            fleet.client.openFlow(
                OpenRequest(service: "voice", serviceProtocol: .udp),
                at: fleet.now
            )
        )
        let bytes: [UInt8] = [1, 2, 3]
        bytes.withUnsafeBytes { fleet.client.send($0, on: flow, at: fleet.now) }
        fleet.run(.milliseconds(2600))
        #expect(fleet.client.isSessionInDoubt || fleet.place == fleet.addresses[1])
        // Asked for while nobody knows: waits, and is answered by the other.
        #expect(fleet.open() != nil)
        fleet.run(.milliseconds(1000))
        #expect(fleet.place == fleet.addresses[1])
        #expect(fleet.changes == [fleet.addresses[1]])
        #expect(fleet.serverStreams[1]?.count == 1)
        #expect(fleet.resets == [.sessionLost])
        #expect(!fleet.client.isSessionInDoubt)
        // Flows go on with the other server.
        bytes.withUnsafeBytes { fleet.client.send($0, on: flow, at: fleet.now) }
        fleet.run(.milliseconds(500))
        #expect(fleet.servers[1].snapshot(at: fleet.now).flows == 1)
    }

    /// A path that is dead for a while takes nobody to a server that is no better off.
    @Test func doubtEndsWhenTheServerIsHeardAgain() throws {
        let fleet = Fleet(count: 2)
        try self.bound(fleet, to: 0)
        fleet.isDark = [0, 1]
        #expect(fleet.open() != nil)
        fleet.run(.seconds(4))
        #expect(fleet.client.isSessionInDoubt)
        #expect(fleet.open() != nil)
        fleet.run(.seconds(4))
        fleet.isDark = []
        fleet.run(.seconds(6))
        #expect(fleet.place == fleet.addresses[0])
        #expect(fleet.resets.isEmpty && fleet.changes.isEmpty)
        #expect(fleet.doubts == (1, 1))
        #expect(fleet.serverStreams[0]?.count == 3)
    }

    @Test func anOnlyServerIsDoubtedToo() throws {
        let fleet = Fleet(count: 1)
        try self.bound(fleet, to: 0)
        fleet.isDark = [0]
        #expect(fleet.open() != nil)
        fleet.run(.seconds(3))
        #expect(fleet.client.isSessionInDoubt && fleet.client.isSessionUp)
        // New streams wait as long as for a first session.
        #expect(fleet.open() != nil)
        fleet.run(.seconds(12))
        #expect(fleet.resets == [.connectTimeout])
        fleet.isDark = []
        fleet.run(.seconds(6))
        #expect(!fleet.client.isSessionInDoubt)
        #expect(fleet.resets == [.connectTimeout])
    }

    @Test func theThirdServerIsFoundWhenTwoAreDead() throws {
        let fleet = Fleet(count: 3)
        try self.bound(fleet, to: 0)
        fleet.isDark = [0, 1]
        #expect(fleet.open() != nil)
        fleet.run(.seconds(6))
        #expect(fleet.place == fleet.addresses[2])
        // And the first once it is the only one left.
        fleet.isDark = [1, 2]
        #expect(fleet.open() != nil)
        fleet.run(.seconds(6))
        #expect(fleet.place == fleet.addresses[0])
    }

    /// Nobody spoke when it died: the next keep-alive finds out.
    @Test func anIdleSessionIsDoubtedAfterItsKeepAlive() throws {
        let fleet = Fleet(count: 2)
        fleet.run(.seconds(2))
        fleet.isDark = [0]
        fleet.run(.seconds(14))
        #expect(fleet.place == fleet.addresses[1])
    }

    @Test func aRestartedServerIsFoundAgain() throws {
        let fleet = Fleet(count: 2)
        try self.bound(fleet, to: 0)
        fleet.restart(0)
        #expect(fleet.open() != nil)
        fleet.run(.seconds(3))
        #expect(fleet.place == fleet.addresses[0])
        #expect(fleet.changes.isEmpty)
    }
}
