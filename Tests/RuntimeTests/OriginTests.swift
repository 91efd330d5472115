import Configuration
import LinuxIO
import Origin
import Primitives
import Synchronization
import Testing

@testable import Runtime

/// Headers in at one end and out at the other, over real sockets.
@Suite(.serialized) struct OriginTests {
    private let player = SocketAddress(ipv4: 0xC633_6407, port: 5_555)
    private let edge = SocketAddress(ipv4: 0xC633_6401, port: 8_080)

    private func header(_ transport: ProxyHeader.Transport) -> ProxyHeader {
        ProxyHeader(source: self.player, destination: self.edge, transport: transport)
    }

    private func bytes(_ write: (UnsafeMutableRawBufferPointer) -> Int) -> [UInt8] {
        Array(unsafeUninitializedCapacity: 512) { buffer, count in
            count = write(UnsafeMutableRawBufferPointer(buffer))
        }
    }

    private func behind(_ accept: Forward.AcceptedHeader, _ given: Forward) -> Forward {
        var forward = given
        forward.accept = accept
        forward.trusted = ["127.0.0.0/8"].compactMap { AddressBlock($0) }
        return forward
    }

    private func showing(_ origin: Service.Origin, _ given: Service) -> Service {
        var service = given
        service.origin = origin
        return service
    }

    private func connect(_ address: SocketAddress) throws -> TCPSocket {
        let socket = try TCPSocket.connect(to: address)
        #expect(try isReady(socket.descriptor, for: .writable))
        return socket
    }

    /// What comes back from an echo that also gets the server's header.
    private func exchange(_ address: SocketAddress, _ pieces: [[UInt8]]) throws -> [UInt8]? {
        let socket = try self.connect(address)
        defer { socket.close() }
        for piece in pieces {
            guard piece.withUnsafeBytes({ writeAll(socket, $0) }) else { return nil }
        }
        socket.finishWriting()
        return try readAll(socket)
    }

    @Test func streamsNameThePlayerFromOneEndToTheOther() throws {
        let backend = try EchoServer()
        let tunnel = try Tunnel(
            services: [
                self.showing(.proxyV1, service("one", .tcp, [backend.address])),
                self.showing(.proxyV2, service("two", .tcp, [backend.address])),
            ],
            forwards: [
                self.behind(.proxyV2, forward("one", .tcp)),
                self.behind(.proxyV1, forward("two", .tcp)),
            ],
            origins: ["0.0.0.0/0"]
        )
        let entrances = tunnel.entrances
        let line = Array("PROXY TCP4 198.51.100.7 198.51.100.1 5555 8080\r\n".utf8)
        let hello = pattern(3_000)
        let binary = self.bytes { self.header(.stream).writeV2(into: $0) }
        // Whole, and byte by byte.
        #expect(try self.exchange(entrances[0], [binary + hello]) == line + hello)
        let pieces = (binary + hello.prefix(3)).map { [$0] }
        #expect(try self.exchange(entrances[0], pieces) == line + hello.prefix(3))
        let echoed = try #require(try self.exchange(entrances[1], [line + hello]))
        var parser = ProxyHeaderParser(accepting: .v2)
        let outcome = echoed.withUnsafeBytes { parser.feed($0) }
        guard case .header(let header?, let consumed) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(header == self.header(.stream))
        #expect(Array(echoed[consumed...]) == hello)
        #expect(parser.uniqueID.count == 32)
        #expect(tunnel.stop())
    }

    @Test func withoutAGrantTheClientIsShown() throws {
        let backend = try EchoServer()
        let tunnel = try Tunnel(
            services: [self.showing(.proxyV1, service("one", .tcp, [backend.address]))],
            forwards: [self.behind(.proxyV2, forward("one", .tcp))]
        )
        let binary = self.bytes { self.header(.stream).writeV2(into: $0) }
        let entrance = try #require(tunnel.entrances.first)
        let echoed = try self.exchange(entrance, [binary + [1, 2, 3]])
        let words = try Self.words(echoed)
        // The other end of the connection is the backend itself, whatever the client says.
        #expect(words.count == 6 && words.prefix(4) == ["PROXY", "TCP4", "127.0.0.1", "127.0.0.1"])
        #expect(words.last == "\(backend.address.port)")
        #expect(echoed?.suffix(3) == [1, 2, 3])
        #expect(tunnel.stop())
    }

    /// What a PROXY v1 line consists of.
    private static func words(_ answer: [UInt8]?) throws -> [String] {
        let line = try #require(answer).prefix { $0 != 13 }
        return line.split(separator: 32).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The other end of a connection is as much a claim as its player.
    @Test(arguments: [
        // Granted to nobody, whatever the file says; private without an entry; outside of entries.
        SocketAddress(ipv4: 0x7F00_0001, port: 22), SocketAddress(ipv4: 0x0A00_0001, port: 80),
        SocketAddress(ipv4: 0xCB00_7101, port: 443), SocketAddress(ipv4: 0xC633_6401, port: 0),
    ])
    func aDestinationIsAClaim(destination: SocketAddress) throws {
        let backend = try EchoServer()
        let tunnel = try Tunnel(
            services: [self.showing(.proxyV1, service("one", .tcp, [backend.address]))],
            forwards: [self.behind(.proxyV2, forward("one", .tcp))],
            origins: ["198.51.100.0/24"]
        )
        let entrance = try #require(tunnel.entrances.first)
        let named = ProxyHeader(
            source: self.player,
            destination: destination,
            transport: .stream
        )
        let binary = self.bytes { named.writeV2(into: $0) }
        let words = try Self.words(try self.exchange(entrance, [binary + [1]]))
        let shown = ["198.51.100.7", "127.0.0.1", "5555", "\(backend.address.port)"]
        #expect(words == ["PROXY", "TCP4"] + shown)
        #expect(tunnel.stop())
    }

    @Test func claimsOutsideTheGrantAreRefused() throws {
        let backend = try EchoServer()
        let echo = try UDPEchoServer()
        let tunnel = try Tunnel(
            services: [
                self.showing(.proxyV1, service("one", .tcp, [backend.address])),
                self.showing(.simpleProxy, service("two", .udp, [echo.address])),
            ],
            forwards: [
                self.behind(.proxyV2, forward("one", .tcp)),
                self.behind(.simpleProxy, forward("two", .udp)),
                self.behind(.proxyV1, forward("one", .tcp)),
            ],
            origins: ["192.168.0.0/16", "127.0.0.0/8"]
        )
        let entrances = tunnel.entrances
        let binary = self.bytes { self.header(.stream).writeV2(into: $0) }
        #expect(try self.exchange(entrances[0], [binary + [1]]) == nil)
        // A bogon stays one whatever is granted.
        let bogon = Array("PROXY TCP4 169.254.7.7 198.51.100.1 5555 8080\r\n".utf8)
        #expect(try self.exchange(entrances[2], [bogon + [1]]) == nil)
        let sender = try Player(entrances[1])
        sender.send(self.bytes { self.header(.datagram).writeSimple(into: $0) } + [1])
        let words = [" open-refused ", "peer=edge", "reason=origin-forbidden"]
        #expect(tunnel.serverLog.line(with: words + ["cause=\"not in origins of edge\""]) != nil)
        #expect(tunnel.serverLog.line(with: words + ["cause=link-local"]) != nil)
        #expect(tunnel.serverLog.line(with: words + ["protocol=udp"]) != nil)
        #expect(tunnel.server.statusSnapshot().dropCount("origin-forbidden") == 3)
        #expect(tunnel.server.statusSnapshot().services.map(\.streams) == [0, 0])
        #expect(tunnel.stop())
    }

    /// Where no backend is shown anything there is nothing to forbid.
    @Test func claimsCountOnlyWhereTheyAreShown() throws {
        let backend = try EchoServer()
        let echo = try UDPEchoServer()
        let tunnel = try Tunnel(
            services: [
                service("one", .tcp, [backend.address]), service("two", .udp, [echo.address]),
            ],
            forwards: [
                self.behind(.proxyV2, forward("one", .tcp)),
                self.behind(.simpleProxy, forward("two", .udp)),
            ],
            origins: ["203.0.113.0/24"]
        )
        let binary = self.bytes { self.header(.stream).writeV2(into: $0) }
        #expect(try self.exchange(tunnel.entrances[0], [binary + [1, 2]]) == [1, 2])
        let sender = try Player(tunnel.entrances[1])
        let simple = self.bytes { self.header(.datagram).writeSimple(into: $0) }
        sender.send(simple + [3])
        #expect(try sender.next() == simple + [3])
        #expect(tunnel.server.statusSnapshot().dropCount("origin-forbidden") == 0)
        #expect(tunnel.stop())
    }

    /// Proxies that speak for themselves, and players on the client's own machine.
    @Test func whoIsNoPlayerIsTheClient() throws {
        let backend = try EchoServer()
        let tunnel = try Tunnel(
            services: [self.showing(.proxyV1, service("one", .tcp, [backend.address]))],
            forwards: [
                forward("one", .tcp), self.behind(.proxyV1, forward("one", .tcp)),
                self.behind(.proxyV2, forward("one", .tcp)),
            ],
            origins: ["203.0.113.0/24"]
        )
        let local = self.bytes { ProxyHeader.writeLocalV2(into: $0) }
        let own = "PROXY TCP4 127.0.0.1 198.51.100.1 5555 8080\r\n"
        let openings: [(entrance: Int, [UInt8])] = [
            (0, []), (1, Array("PROXY UNKNOWN\r\n".utf8)), (1, Array(own.utf8)), (2, local),
        ]
        for (entrance, opening) in openings {
            let answer = try self.exchange(tunnel.entrances[entrance], [opening + [1]])
            let words = try Self.words(answer)
            #expect(words.prefix(4) == ["PROXY", "TCP4", "127.0.0.1", "127.0.0.1"])
            #expect(words.count == 6 && words[4] != "5555", "a port of the server's choice")
        }
        #expect(tunnel.stop())
    }

    @Test func aNewGrantEndsWhatTheOldOneAllowed() throws {
        let backend = try EchoServer()
        let tunnel = try Tunnel(
            services: [self.showing(.proxyV1, service("one", .tcp, [backend.address]))],
            forwards: [self.behind(.proxyV1, forward("one", .tcp))],
            origins: ["0.0.0.0/0"]
        )
        let entrance = try #require(tunnel.entrances.first)
        let socket = try self.connect(entrance)
        defer { socket.close() }
        let line = Array("PROXY TCP4 198.51.100.7 198.51.100.1 5555 8080\r\n".utf8)
        #expect((line + [1]).withUnsafeBytes { writeAll(socket, $0) })
        guard case .moved = try nextRead(socket) else {
            Issue.record("the stream does not begin")
            return
        }
        tunnel.nextServer.value.withLock {
            $0.peers[0].origins = ["10.0.0.0/8"].compactMap { AddressBlock($0) }
        }
        tunnel.server.requestReload()
        guard case .failed = try nextRead(socket) else {
            Issue.record("the stream goes on")
            return
        }
        #expect(try self.exchange(entrance, [line + [1]]) == nil)
        #expect(tunnel.stop())
    }

    @Test(arguments: [Service.Origin.proxyV2, .simpleProxy])
    func probesCarryTheHeaderThatTheBackendExpects(origin: Service.Origin) throws {
        // A backend that repeats what it gets: the answer holds the header of the question.
        let echo = try UDPEchoServer()
        let magic: [UInt8] = origin == .proxyV2 ? Array("QUIT".utf8) : [3, 4]
        var probed = self.showing(origin, service("two", .udp, [echo.address]))
        var health = HealthCheck(probe: .sendExpect(send: [3, 4], expect: magic))
        health.interval = .milliseconds(100)
        health.timeout = .seconds(2)
        probed.health = health
        let tunnel = try Tunnel(services: [probed], forwards: [forward("two", .udp)])
        #expect(tunnel.serverLog.line(with: [" backend-down "], within: 0.5) == nil)
        #expect(tunnel.stop())
    }

    @Test func simpleProxyPassesBothWays() throws {
        let echo = try UDPEchoServer()
        let tunnel = try Tunnel(
            services: [self.showing(.simpleProxy, service("two", .udp, [echo.address]))],
            forwards: [self.behind(.simpleProxy, forward("two", .udp))],
            origins: ["0.0.0.0/0"]
        )
        let sender = try Player(try #require(tunnel.entrances.first))
        let prefix = self.bytes { self.header(.datagram).writeSimple(into: $0) }
        for size in [0, 1, 1_200, 9_000] {
            // The echo repeats the server's header, which the server takes off again.
            sender.send(prefix + pattern(size))
            #expect(try sender.next() == prefix + pattern(size))
        }
        // Two players through one proxy socket are two flows.
        let other = ProxyHeader(
            source: self.player.with(port: 6_666),
            destination: self.edge,
            transport: .datagram
        )
        let second = self.bytes { other.writeSimple(into: $0) }
        sender.send(second + [7])
        #expect(try sender.next() == second + [7])
        #expect(tunnel.server.statusSnapshot().flows == 2)
        #expect(tunnel.stop())
    }

    @Test(arguments: [HeaderDialect.every, .first, .firstAlone])
    func datagramsCarryHeadersInEveryDialect(dialect: HeaderDialect) throws {
        let echo = try UDPEchoServer()
        var shown = self.showing(.proxyV2, service("two", .udp, [echo.address]))
        shown.dialect = dialect
        var accepting = self.behind(.proxyV2, forward("two", .udp))
        accepting.dialect = dialect
        let tunnel = try Tunnel(services: [shown], forwards: [accepting], origins: ["0.0.0.0/0"])
        let sender = try Player(try #require(tunnel.entrances.first))
        let prefix = self.bytes { self.header(.datagram).writeV2(into: $0) }
        for round in 0..<3 {
            let isPrefixed = dialect == .every || (dialect == .first && round == 0)
            if dialect == .firstAlone, round == 0 { sender.send(prefix) }
            sender.send((isPrefixed ? prefix : []) + [UInt8(round)])
            var echoed = try #require(try sender.next())
            if dialect == .firstAlone, round == 0 {
                #expect(try self.payload(echoed) == [])
                echoed = try #require(try sender.next())
            }
            #expect(
                try isPrefixed ? self.payload(echoed) == [UInt8(round)] : echoed == [UInt8(round)]
            )
        }
        #expect(tunnel.stop())
    }

    /// What follows the header that names our player.
    private func payload(_ datagram: [UInt8]) throws -> [UInt8] {
        let acceptor = DatagramAcceptor(.proxyV2(.every), key: HashKey(first: 1, second: 2))
        let outcome = datagram.withUnsafeBytes {
            acceptor.accept($0, from: self.edge, at: Instant(nanoseconds: 1))
        }
        guard case .payload(let header, let offset) = outcome else { return [0xFF, 0xFF] }
        #expect(header == self.header(.datagram))
        return Array(datagram[offset...])
    }

    @Test func strangersSpeakForNobody() throws {
        let backend = try EchoServer()
        var tcp = self.behind(.proxyV2, forward("one", .tcp))
        tcp.trusted = ["10.0.0.0/8"].compactMap { AddressBlock($0) }
        var udp = self.behind(.simpleProxy, forward("two", .udp))
        udp.trusted = tcp.trusted
        let tunnel = try Tunnel(
            services: [
                service("one", .tcp, [backend.address]), service("two", .udp, [backend.address]),
            ],
            forwards: [tcp, udp]
        )
        let entrances = tunnel.entrances
        let binary = self.bytes { self.header(.stream).writeV2(into: $0) }
        #expect(try self.exchange(entrances[0], [binary]) == nil)
        let sender = try Player(entrances[1])
        sender.send(self.bytes { self.header(.datagram).writeSimple(into: $0) } + [1])
        #expect(waitFor(seconds: 2) { tunnel.client.statusSnapshot().dropCount("untrusted") == 2 })
        #expect(tunnel.client.statusSnapshot().flows == 0)
        #expect(tunnel.stop())
    }

    @Test func slowHeadersAreBoundedAndTheRestIsServed() throws {
        let backend = try EchoServer()
        let tunnel = try Tunnel(
            services: [service("one", .tcp, [backend.address])],
            forwards: [self.behind(.proxyV1, forward("one", .tcp))],
            origins: ["0.0.0.0/0"]
        )
        let entrance = try #require(tunnel.entrances.first)
        let slow = try (0..<2_000).map { _ in
            let socket = try self.connect(entrance)
            _ = Array("PROXY".utf8).withUnsafeBytes { socket.write($0) }
            return socket
        }
        defer { for socket in slow { socket.abort() } }
        let line = Array("PROXY TCP4 198.51.100.7 198.51.100.1 5555 8080\r\n".utf8)
        for _ in 0..<5 {
            #expect(try self.exchange(entrance, [line + [1, 2, 3]]) == [1, 2, 3])
        }
        let client = tunnel.client
        #expect(
            waitFor(seconds: 2) {
                client.statusSnapshot().dropCount("header-crowded") >= 2_000 - 1_024
            }
        )
        #expect(
            waitFor(seconds: 7) { client.statusSnapshot().dropCount("header-timeout") >= 1_000 }
        )
        // Garbage is not waited for.
        #expect(try self.exchange(entrance, [Array("GET / HTTP/1.1\r\n\r\n".utf8)]) == nil)
        #expect(client.statusSnapshot().dropCount("header-signature") == 1)
        #expect(tunnel.stop())
    }
}
