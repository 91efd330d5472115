import Balancing
import Configuration
import LinuxIO
import Names
import Primitives
import Testing

@testable import Runtime

/// No time passes where none is needed.
private let start = Instant(nanoseconds: 1)

@Suite struct BackendPoolTests {
    private let player = SocketAddress(ipv4: 0xC633_6407, port: 4_000)

    private static let someone = ShownPlayer(
        address: SocketAddress(ipv4: 0xC633_6407, port: 4_000),
        destination: nil,
        clientKey: [],
        peer: 0
    )

    private func service(_ backends: [(text: String, weight: Int, isBackup: Bool)]) -> Service {
        Service(
            name: "s",
            transportProtocol: .tcp,
            backends: backends.compactMap { given in
                guard let endpoint = Endpoint(backend: given.text) else { return nil }
                var backend = Backend(endpoint: endpoint)
                backend.weight = given.weight
                backend.isBackup = given.isBackup
                return backend
            }
        )
    }

    @Test func sharesByWeight() {
        let service = self.service([("127.0.0.1:1", 3, false), ("127.0.0.1:2", 1, false)])
        let pool = BackendPool(service, [:], at: start)
        let picks = (0..<8).compactMap { _ in
            pool.pick(source: self.player, for: Self.someone, at: start)
        }
        #expect(picks.filter { $0 == 0 }.count == 6)
    }

    @Test func namesWithoutAddressesGetNobody() {
        let service = self.service([("a.example:1", 1, false), ("127.0.0.1:2", 1, true)])
        let pool = BackendPool(service, [:], at: start)
        #expect(pool.pick(source: self.player, for: Self.someone, at: start) == 1)
        pool.resolved(["a.example:1": NameAnswer([SocketAddress(ipv4: 2, port: 1)])], at: start)
        #expect(pool.pick(source: self.player, for: Self.someone, at: start) == 0)
        let empty = BackendPool(self.service([("a.example:1", 1, false)]), [:], at: start)
        #expect(empty.pick(source: self.player, for: Self.someone, at: start) == nil)
    }

    @Test func aDrainedBackendGetsNobodyWhateverItsNameLeadsTo() {
        let service = self.service([("a.example:1", 1, false), ("127.0.0.1:2", 1, false)])
        let pool = BackendPool(service, [:], at: start)
        pool.drain { $0 == "a.example:1" }
        pool.resolved(["a.example:1": NameAnswer([SocketAddress(ipv4: 2, port: 1)])], at: start)
        for _ in 0..<4 {
            #expect(pool.pick(source: self.player, for: Self.someone, at: start) == 1)
        }
        // One that has just refused this player is no reason to use it either.
        #expect(pool.pick(source: self.player, for: Self.someone, excluding: 1, at: start) != 0)
        pool.drain { _ in true }
        #expect(pool.pick(source: self.player, for: Self.someone, at: start) == nil)
        pool.drain { $0 != "a.example:1" }
        #expect(pool.pick(source: self.player, for: Self.someone, at: start) == 0)
        #expect(pool.pick(source: self.player, for: Self.someone, excluding: 0, at: start) == nil)
    }

    private func player(_ address: SocketAddress) -> ShownPlayer {
        ShownPlayer(address: address, destination: nil, clientKey: [], peer: 0)
    }

    @Test func addressesThatFailedAreTriedLastUntilTheyAnswer() {
        let (a, b) = (SocketAddress(ipv4: 2, port: 1), SocketAddress(ipv4: 3, port: 1))
        let service = self.service([("a.example:1", 1, false)])
        let pool = BackendPool(service, [:], at: start)
        pool.resolved(["a.example:1": NameAnswer([a, b])], at: start)
        let order = { pool.addresses(0, for: self.player(self.player)) }
        #expect(order() == [a, b])
        pool.failed(0, a)
        #expect(order() == [b, a])
        pool.failed(0, b)
        #expect(order() == [a, b])
        pool.answered(0, b)
        #expect(order() == [b, a])
        // Elsewhere and back again: nothing is held against it.
        pool.resolved(["a.example:1": NameAnswer([b])], at: start)
        pool.resolved(["a.example:1": NameAnswer([a, b])], at: start)
        #expect(order() == [a, b])
    }

    @Test func aTransparentServiceShowsPlayersToTheirOwnFamily() {
        let v4 = SocketAddress(ipv4: 2, port: 1)
        let v6 = SocketAddress(high: 0x2001_0DB8 << 32, low: 1, port: 1)
        var service = self.service([("a.example:1", 1, false)])
        service.origin = .transparent
        let pool = BackendPool(service, [:], at: start)
        pool.resolved(["a.example:1": NameAnswer([v6, v4])], at: start)
        #expect(pool.addresses(0, for: self.player(self.player)) == [v4])
        #expect(pool.addresses(0, for: self.player(v6)) == [v6])
        service.usesPseudoIPv4 = true
        let second = BackendPool(service, ["a.example:1": NameAnswer([v6, v4])], at: start)
        #expect(second.addresses(0, for: self.player(v6)) == [v6, v4])
        // None fits: trying says why.
        pool.resolved(["a.example:1": NameAnswer([v4])], at: start)
        #expect(pool.addresses(0, for: self.player(v6)) == [v4])
    }

    @Test func aBackendThatMovedIsTriedAtOnce() {
        let service = self.service([("a.example:1", 1, false), ("127.0.0.1:2", 1, true)])
        let pool = BackendPool(service, [:], at: start)
        pool.resolved(["a.example:1": NameAnswer([SocketAddress(ipv4: 2, port: 1)])], at: start)
        for _ in 0..<3 { pool.refused(0, at: start) }
        #expect(pool.pick(source: self.player, for: Self.someone, at: start) == 1)
        pool.resolved(["a.example:1": NameAnswer([SocketAddress(ipv4: 3, port: 1)])], at: start)
        #expect(pool.pick(source: self.player, for: Self.someone, at: start) == 0)
        // On trial: one refusal is enough.
        pool.refused(0, at: start)
        #expect(pool.pick(source: self.player, for: Self.someone, at: start) == 1)
    }

    @Test func drainingLastsWhileTheConfigurationHasTheBackend() {
        let service = self.service([("127.0.0.1:1", 1, false), ("127.0.0.1:2", 1, false)])
        let noFile = KeyFile(path: "unused", location: "unused")
        var configuration = ServerConfiguration(listen: [loopback], privateKey: noFile)
        configuration.services = [service]
        var drained = DrainedBackends()
        let one = BackendName(service: "s", backend: "127.0.0.1:1")
        let refusal = drained.change(
            BackendName(service: "s", backend: "127.0.0.1:3"),
            isDraining: true,
            configuration
        )
        #expect(
            refusal == .refused("s has no backend 127.0.0.1:3; it has: 127.0.0.1:1, 127.0.0.1:2")
        )
        #expect(
            drained.change(one, isDraining: true, configuration)
                == .done("127.0.0.1:1 gets no new players of s")
        )
        drained.adopt(configuration)
        #expect(drained.names == [one])
        configuration.services[0].backends.removeFirst()
        drained.adopt(configuration)
        #expect(drained.names.isEmpty)
    }

    @Test func aBackupHelpsThePlayerWhoWasJustRefused() {
        let service = self.service([("127.0.0.1:1", 1, false), ("127.0.0.1:2", 1, true)])
        let pool = BackendPool(service, [:], at: start)
        #expect(pool.pick(source: self.player, for: Self.someone, at: start) == 0)
        #expect(pool.pick(source: self.player, for: Self.someone, excluding: 0, at: start) == 1)
        // The next player tries the first one again.
        #expect(pool.pick(source: self.player, for: Self.someone, at: start) == 0)
        let alone = BackendPool(self.service([("127.0.0.1:1", 1, false)]), [:], at: start)
        #expect(alone.pick(source: self.player, for: Self.someone, excluding: 0, at: start) == nil)
    }
}

/// Real sockets: who is chosen, who is found down and who comes back.
@Suite(.serialized) struct BackendTests {
    private func ask(_ entrance: SocketAddress, _ bytes: [UInt8] = [1, 2, 3]) throws -> [UInt8]? {
        let socket = try TCPSocket.connect(to: entrance)
        defer { socket.close() }
        #expect(try isReady(socket.descriptor, for: .writable))
        guard bytes.withUnsafeBytes({ writeAll(socket, $0) }) else { return nil }
        socket.finishWriting()
        return try readAll(socket)
    }

    /// A port where nobody listens.
    private func closedPort() throws -> SocketAddress {
        try TCPListener(binding: loopback).localAddress
    }

    private func isUp(_ tunnel: Tunnel, _ backend: Int) -> Bool? {
        tunnel.server.statusSnapshot().services.first?.backends[backend].isUp
    }

    @Test func refusalsTakeABackendDownAndPlayersDoNotNotice() throws {
        let backend = try EchoServer()
        let closed = try self.closedPort()
        let tunnel = try Tunnel(
            services: [service("s", .tcp, [closed, backend.address])],
            forwards: [forward("s", .tcp)],
            serverWorkers: 2
        )
        let entrance = try #require(tunnel.entrances.first)
        for _ in 0..<10 { #expect(try self.ask(entrance) == [1, 2, 3]) }
        #expect(tunnel.serverLog.line(with: [" backend-down ", "\(closed)"]) != nil)
        #expect(waitFor(seconds: 2) { self.isUp(tunnel, 0) == false })
        #expect(self.isUp(tunnel, 1) == true)
        #expect(
            waitFor(seconds: 2) {
                let tally = tunnel.server.statusSnapshot().services.first
                return tally?.backends.map(\.streams) == [0, 0]
            }
        )
        #expect(tunnel.stop())
    }

    @Test func probesNoticeWhoGoesAndWhoComes() throws {
        let closed = try self.closedPort()
        var probed = service("s", .tcp, [closed])
        var health = HealthCheck(probe: .tcp)
        health.interval = .milliseconds(100)
        health.timeout = .seconds(2)
        health.rise = 2
        health.fall = 2
        probed.health = health
        let tunnel = try Tunnel(services: [probed], forwards: [forward("s", .tcp)])
        let entrance = try #require(tunnel.entrances.first)
        #expect(tunnel.serverLog.line(with: [" backend-down ", "service=s"]) != nil)
        #expect(waitFor(seconds: 2) { self.isUp(tunnel, 0) == false })
        #expect(try self.ask(entrance) == nil)
        let backend = try EchoServer(closed)
        #expect(tunnel.serverLog.line(with: [" backend-up ", "\(backend.address)"]) != nil)
        #expect(waitFor(seconds: 2) { self.isUp(tunnel, 0) == true })
        // The client hears of it a little later, and opens its listener.
        #expect(waitFor(seconds: 2) { (try? self.ask(entrance)) == [1, 2, 3] })
        #expect(tunnel.stop())
    }

    @Test(arguments: [true, false])
    func probesOverUDPExpectAnAnswer(isAlive: Bool) throws {
        let backend = try UDPEchoServer()
        var probed = service("s", .udp, [isAlive ? backend.address : try self.closedPort()])
        var health = HealthCheck(probe: .sendExpect(send: [1, 2, 3], expect: [2, 3]))
        health.interval = .milliseconds(100)
        health.timeout = .seconds(2)
        probed.health = health
        let tunnel = try Tunnel(services: [probed], forwards: [forward("s", .udp)])
        let down = tunnel.serverLog.line(with: [" backend-down "], within: isAlive ? 0.7 : 5)
        #expect((down == nil) == isAlive)
        #expect(tunnel.stop())
    }

    @Test func onePlayerMeetsOneBackendBySourceHash() throws {
        let backends = try (0..<3).map { _ in try EchoServer() }
        var hashed = service("s", .tcp, backends.map(\.address))
        hashed.balance = .sourceHash
        let tunnel = try Tunnel(services: [hashed], forwards: [forward("s", .tcp)])
        let entrance = try #require(tunnel.entrances.first)
        let sockets = try (0..<6).map { _ in
            let socket = try TCPSocket.connect(to: entrance)
            #expect(try isReady(socket.descriptor, for: .writable))
            #expect([1].withUnsafeBytes { writeAll(socket, $0) })
            return socket
        }
        #expect(
            waitFor(seconds: 3) {
                let tally = tunnel.server.statusSnapshot().services.first
                return tally?.backends.map(\.streams).sorted() == [0, 0, 6]
            }
        )
        for socket in sockets { socket.close() }
        #expect(tunnel.stop())
    }

    @Test func leastConnectionsEvensOut() throws {
        let backends = try (0..<2).map { _ in try EchoServer() }
        var balanced = service("s", .tcp, backends.map(\.address))
        balanced.balance = .leastConnections
        let tunnel = try Tunnel(services: [balanced], forwards: [forward("s", .tcp)])
        let entrance = try #require(tunnel.entrances.first)
        let sockets = try (0..<6).map { _ in
            let socket = try TCPSocket.connect(to: entrance)
            #expect(try isReady(socket.descriptor, for: .writable))
            #expect([1].withUnsafeBytes { writeAll(socket, $0) })
            return socket
        }
        #expect(
            waitFor(seconds: 3) {
                let tally = tunnel.server.statusSnapshot().services.first
                return tally?.backends.map(\.streams) == [3, 3]
            }
        )
        for socket in sockets { socket.close() }
        #expect(tunnel.stop())
    }
}
