import Configuration
import Glibc
import LinuxIO
import Primitives
import Sealing
import Synchronization
import Testing

@testable import Runtime

/// Real processes' worth of code over real sockets; one at a time, because each has threads of its
/// own and the machine has few processors.
@Suite(.serialized) struct TunnelTests {
    private func connect(_ address: SocketAddress) throws -> TCPSocket {
        let socket = try TCPSocket.connect(to: address)
        #expect(try isReady(socket.descriptor, for: .writable))
        #expect(socket.connectResult() == nil)
        return socket
    }

    @Test(arguments: [1, 2])
    func carriesStreamsBothWaysAndTheirEnds(workers: Int) throws {
        let backend = try EchoServer()
        let tunnel = try Tunnel(
            services: [service("echo", .tcp, [backend.address])],
            forwards: [forward("echo", .tcp)],
            serverWorkers: workers,
            clientWorkers: workers
        )
        let entrance = try #require(tunnel.entrances.first)
        for round in 0..<4 {
            let socket = try self.connect(entrance)
            let bytes = pattern(200_000 + round, seed: UInt64(round))
            #expect(bytes.withUnsafeBytes { writeAll(socket, $0) })
            socket.finishWriting()
            let echoed = try readAll(socket)
            #expect(echoed == bytes, "\(echoed?.count ?? -1) of \(bytes.count) bytes")
            socket.close()
        }
        for snapshot in [tunnel.client.statusSnapshot, tunnel.server.statusSnapshot] {
            #expect(waitFor(seconds: 2) { snapshot().streams == 0 })
        }
        let status = tunnel.server.statusSnapshot()
        let tally = try #require(status.services.first)
        #expect(tally.name == "echo")
        #expect(tally.bytesUp == 800_006)
        #expect(tally.bytesDown == 800_006)
        #expect(tally.streams == 0)
        #expect(tally.backends.map(\.streams) == [0])
        #expect(tunnel.client.statusSnapshot().isReady)
        #expect(tunnel.clientLog.line(with: [" session-up "]) != nil)
        #expect(tunnel.stop())
    }

    @Test func carriesDatagramsOfEverySize() throws {
        let backend = try UDPEchoServer()
        let tunnel = try Tunnel(
            services: [service("voice", .udp, [backend.address])],
            forwards: [forward("voice", .udp)]
        )
        let entrance = try #require(tunnel.entrances.first)
        let players = try (0..<3).map { _ in try Player(entrance) }
        for (number, player) in players.enumerated() {
            for size in [1, 0, 20, 1_316, 9_000, 65_507] {
                let bytes = pattern(size, seed: UInt64(number * 10 + 1))
                player.send(bytes)
                #expect(try player.next() == bytes, "\(size) bytes")
            }
        }
        #expect(tunnel.client.statusSnapshot().flows == 3)
        #expect(tunnel.server.statusSnapshot().services.first?.flows == 3)
        #expect(tunnel.stop())
    }

    @Test func aRefusingBackendResetsThePlayer() throws {
        let closed = try TCPListener(binding: loopback).localAddress
        let tunnel = try Tunnel(
            services: [service("shut", .tcp, [closed])],
            forwards: [forward("shut", .tcp)]
        )
        let socket = try self.connect(try #require(tunnel.entrances.first))
        #expect(try nextRead(socket) == .failed(code: ECONNRESET))
        socket.close()
        let refusal = tunnel.serverLog.line(with: ["backend-refused", "reason=backend-refused"])
        #expect(refusal?.contains("\(closed)") == true)
        #expect(tunnel.clientLog.line(with: ["stream-reset", "reason=backend-refused"]) != nil)
        // Nothing about the backend goes to the player's side.
        #expect(!tunnel.clientLog.text.contains("\(closed)"))
        #expect(tunnel.stop())
    }

    @Test func theNextBackendTakesOver() throws {
        let closed = try TCPListener(binding: loopback).localAddress
        let backend = try EchoServer()
        let tunnel = try Tunnel(
            services: [service("pair", .tcp, [closed, backend.address])],
            forwards: [forward("pair", .tcp)]
        )
        let entrance = try #require(tunnel.entrances.first)
        for _ in 0..<4 {
            let socket = try self.connect(entrance)
            let bytes = pattern(100)
            #expect(bytes.withUnsafeBytes { writeAll(socket, $0) })
            socket.finishWriting()
            #expect(try readAll(socket) == bytes)
            socket.close()
        }
        #expect(tunnel.stop())
    }

    @Test func resetsPassAsResets() throws {
        let listener = try TCPListener(binding: loopback)
        let tunnel = try Tunnel(
            services: [service("raw", .tcp, [listener.localAddress])],
            forwards: [forward("raw", .tcp)]
        )
        let entrance = try #require(tunnel.entrances.first)
        for playerResets in [true, false] {
            let player = try self.connect(entrance)
            #expect(try isReady(listener.descriptor))
            guard case .done(let accepted) = try listener.accept() else {
                Issue.record("nothing to accept")
                return
            }
            #expect([UInt8](1...9).withUnsafeBytes { writeAll(player, $0) })
            #expect(try nextRead(accepted.socket) == .moved(9))
            let (first, other) =
                playerResets ? (player, accepted.socket) : (accepted.socket, player)
            first.abort()
            #expect(try nextRead(other) == .failed(code: ECONNRESET))
            other.close()
        }
        #expect(tunnel.stop())
    }

    @Test func aStalledReaderBlocksOnlyItself() throws {
        let backend = try EchoServer()
        let tunnel = try Tunnel(
            services: [service("echo", .tcp, [backend.address])],
            forwards: [forward("echo", .tcp)]
        )
        let entrance = try #require(tunnel.entrances.first)
        let stalled = try self.connect(entrance)
        let flood = [UInt8](repeating: 7, count: 65_536)
        var written = 0
        while written < 64 << 20 {
            let result = flood.withUnsafeBytes { stalled.write($0) }
            if case .moved(let count) = result {
                written += count
                continue
            }
            guard result == .wouldBlock,
                try isReady(stalled.descriptor, for: .writable, within: 1)
            else { break }
        }
        #expect(written < 64 << 20, "memory is bounded")
        let socket = try self.connect(entrance)
        let bytes = pattern(300_000)
        #expect(bytes.withUnsafeBytes { writeAll(socket, $0) })
        socket.finishWriting()
        #expect(try readAll(socket) == bytes)
        socket.close()
        stalled.abort()
        #expect(tunnel.stop())
    }

    @Test func aReloadTouchesOnlyWhatChanged() throws {
        let backend = try EchoServer()
        let tunnel = try Tunnel(
            services: [
                service("stays", .tcp, [backend.address]), service("goes", .tcp, [backend.address]),
            ],
            forwards: [forward("stays", .tcp), forward("goes", .tcp)]
        )
        let entrances = tunnel.entrances
        #expect(entrances.count == 2)
        let kept = try self.connect(entrances[0])
        let lost = try self.connect(entrances[1])
        for socket in [kept, lost] {
            #expect([UInt8](1...5).withUnsafeBytes { writeAll(socket, $0) })
            #expect(try nextRead(socket) == .moved(5))
        }
        tunnel.nextClient.value.withLock { _ = $0.forwards.removeLast() }
        tunnel.client.requestReload()
        #expect(tunnel.clientLog.line(with: [" reload "]) != nil)
        #expect(try nextRead(lost) == .failed(code: ECONNRESET))
        #expect([UInt8](1...6).withUnsafeBytes { writeAll(kept, $0) })
        #expect(try nextRead(kept) == .moved(6))
        let refused = try TCPSocket.connect(to: entrances[1])
        #expect(try isReady(refused.descriptor, for: .writable))
        #expect(refused.connectResult()?.code == ECONNREFUSED)
        // The server's turn: the service that stayed changes and its streams end.
        let other = try EchoServer()
        tunnel.nextServer.value.withLock {
            $0.services[0].backends = [Backend(endpoint: .address(other.address))]
        }
        tunnel.server.requestReload()
        #expect(try nextRead(kept) == .failed(code: ECONNRESET))
        for socket in [kept, lost, refused] { socket.close() }
        #expect(tunnel.stop())
    }

    @Test func aChangedAddressLosesNothing() throws {
        let backend = try EchoServer()
        var relay: Rebinder?
        // The server answers from the address it was reached at, or the relay would not hear it.
        let tunnel = try Tunnel(
            services: [service("echo", .tcp, [backend.address])],
            forwards: [forward("echo", .tcp)],
            serverWorkers: 3,
            listen: [.anyIPv4(port: 0)],
            via: { server in
                let made = try Rebinder(to: SocketAddress(ipv4: 0x7F00_0005, port: server.port))
                relay = made
                return .address(made.address)
            }
        )
        let socket = try self.connect(try #require(tunnel.entrances.first))
        for round in 0..<6 {
            let bytes = pattern(5_000, seed: UInt64(round))
            #expect(bytes.withUnsafeBytes { writeAll(socket, $0) })
            var echoed = 0
            while echoed < 5_000, case .moved(let count) = try nextRead(socket) { echoed += count }
            #expect(echoed == 5_000, "round \(round)")
            relay?.rebind()
        }
        socket.close()
        #expect(tunnel.serverLog.line(with: [" peer-moved "]) != nil)
        #expect(tunnel.stop())
    }

    @Test func everyListenAddressServes() throws {
        let backend = try EchoServer()
        for place in 0...1 {
            var addresses: [SocketAddress] = []
            let tunnel = try Tunnel(
                services: [service("echo", .tcp, [backend.address])],
                forwards: [forward("echo", .tcp)],
                listen: [loopback, SocketAddress(high: 0, low: 1, port: 0)],
                via: { address in
                    addresses.append(address)
                    return .address(address)
                },
                servers: { [$0[place]] }
            )
            #expect(addresses.count == 2)
            let socket = try self.connect(try #require(tunnel.entrances.first))
            let bytes = pattern(300_000)
            #expect(bytes.withUnsafeBytes { writeAll(socket, $0) })
            socket.finishWriting()
            #expect(try readAll(socket) == bytes)
            socket.close()
            #expect(tunnel.stop())
        }
    }

    @Test func manyStreamsComeAndGo() throws {
        let backend = try EchoServer()
        let tunnel = try Tunnel(
            services: [service("echo", .tcp, [backend.address])],
            forwards: [forward("echo", .tcp)],
            serverWorkers: 2,
            clientWorkers: 2
        )
        let entrance = try #require(tunnel.entrances.first)
        for round in 0..<4 {
            let sockets = try (0..<100).map { _ in try self.connect(entrance) }
            for (number, socket) in sockets.enumerated() {
                let bytes = pattern(1_000, seed: UInt64(number))
                #expect(bytes.withUnsafeBytes { writeAll(socket, $0) })
                // A third hangs up rudely, a third before the answer, the rest politely.
                if number % 3 == 0 { socket.finishWriting() }
                if number % 3 == 1 { socket.abort() }
            }
            for (number, socket) in sockets.enumerated() where number % 3 != 1 {
                if number % 3 == 0 {
                    #expect(try readAll(socket) == pattern(1_000, seed: UInt64(number)))
                }
                socket.close()
            }
            for snapshot in [tunnel.client.statusSnapshot, tunnel.server.statusSnapshot] {
                let isEmpty = waitFor(seconds: 5) {
                    let status = snapshot()
                    return status.streams == 0 && status.services.allSatisfy { $0.streams == 0 }
                }
                #expect(isEmpty, "round \(round)")
            }
        }
        #expect(tunnel.stop())
    }

    @Test func namesAreResolvedInTheBackground() throws {
        let backend = try EchoServer()
        var named = service("echo", .tcp, [])
        named.backends = [Backend(endpoint: .name("localhost", port: backend.address.port))]
        let tunnel = try Tunnel(
            services: [named],
            forwards: [forward("echo", .tcp)],
            via: { .name("localhost", port: $0.port) }
        )
        let socket = try self.connect(try #require(tunnel.entrances.first))
        #expect([UInt8](1...7).withUnsafeBytes { writeAll(socket, $0) })
        #expect(try nextRead(socket) == .moved(7))
        socket.close()
        #expect(tunnel.stop())
    }

    @Test func aFlowOutlivesItsBackendsRestart() throws {
        var backend: UDPEchoServer? = try UDPEchoServer()
        let address = try #require(backend?.address)
        let tunnel = try Tunnel(
            services: [service("voice", .udp, [address])],
            forwards: [forward("voice", .udp)]
        )
        let player = try Player(try #require(tunnel.entrances.first))
        player.send([1])
        #expect(try player.next() == [1])
        backend = nil
        var revived: UDPEchoServer?
        #expect(
            waitFor(seconds: 4) {
                player.send([2])
                revived = try? UDPEchoServer(address)
                return revived != nil
            }
        )
        while try player.next(within: 1) != nil {}
        player.send([3])
        #expect(try player.next() == [3])
        #expect(tunnel.client.statusSnapshot().flows == 1)
        #expect(revived?.address == address)
        #expect(tunnel.stop())
    }

    @Test func withoutAWayBackAServerIsNotReady() throws {
        var transparent = service("game", .tcp, [loopback.with(port: 9)])
        transparent.origin = .transparent
        let noFile = KeyFile(path: "unused", location: "unused")
        var configuration = ServerConfiguration(listen: [loopback], privateKey: noFile)
        configuration.services = [transparent]
        // Nothing on this machine is changed, and nothing on it brings replies back.
        configuration.routes = .off
        let book = LogBook()
        let server = try ServerProcess(
            LoadedConfiguration(
                configuration: configuration,
                privateKey: SecretKey(entropy: .kernel())
            ),
            log: book.log(),
            reload: { .refused([]) }
        )
        let run = try Running { server.run() }
        let line = book.line(with: [" return-path ", "result=refused", "127.0.0.1:9"])
        #expect(line?.contains("cure=") == true)
        #expect(waitFor(seconds: 2) { server.statusSnapshot().reason.contains("no way back") })
        #expect(!server.statusSnapshot().isReady)
        #expect(book.line(with: [" ready "], within: 0.2) == nil)
        server.requestShutdown()
        #expect(run.exitCode(within: 2) == 0)
    }

    @Test func aWrongServerKeyIsSaid() throws {
        let key = SecretKey(entropy: .kernel())
        let noFile = KeyFile(path: "unused", location: "unused")
        let silent = try UDPSocket(binding: loopback, options: UDPOptions())
        var configuration = ClientConfiguration(
            servers: [.address(silent.localAddress)],
            serverPublicKey: SecretKey(entropy: .kernel()).publicKey,
            privateKey: noFile
        )
        configuration.forwards = [forward("any", .tcp)]
        let book = LogBook()
        let client = try ClientProcess(
            LoadedConfiguration(configuration: configuration, privateKey: key),
            log: book.log(),
            reload: { .refused(["file:1: x: got y, expected z"]) }
        )
        let run = try Running { client.run() }
        #expect(book.line(with: ["reason=server-silent", "server_public_key"], within: 3.5) != nil)
        #expect(!client.statusSnapshot().isReady)
        client.requestReload()
        #expect(book.line(with: [" reload-refused ", "file:1"]) != nil)
        client.requestShutdown()
        #expect(run.exitCode(within: 2) == 0)
    }

    @Test func presharedKeysThatDifferAreNamed() throws {
        let backend = try EchoServer()
        let keys = (1...2).map { PresharedKey(entropy: .seeded($0)) }
        let tunnel = try Tunnel(
            services: [service("echo", .tcp, [backend.address])],
            forwards: [forward("echo", .tcp)],
            presharedKeys: (keys[0], keys[1])
        )
        let named = tunnel.clientLog.line(with: ["reason=preshared-key", "[[peer]]"], within: 3.2)
        #expect(named != nil)
        // One end is put right, without a restart.
        tunnel.nextPresharedKeys.value.withLock { $0 = (keys[1], keys[1]) }
        tunnel.client.requestReload()
        #expect(tunnel.clientLog.line(with: [" session-up "], within: 3) != nil)
        let socket = try self.connect(tunnel.entrances[0])
        #expect([UInt8](1...5).withUnsafeBytes { writeAll(socket, $0) })
        #expect(try nextRead(socket) == .moved(5))
        // Both get a new one: what is up stays up.
        tunnel.nextPresharedKeys.value.withLock { $0 = (keys[0], keys[0]) }
        tunnel.client.requestReload()
        tunnel.server.requestReload()
        #expect(tunnel.serverLog.line(with: [" reload "]) != nil)
        #expect([UInt8](1...6).withUnsafeBytes { writeAll(socket, $0) })
        #expect(try nextRead(socket) == .moved(6))
        socket.close()
        #expect(tunnel.stop())
    }

    @Test func aPortInUseEndsTheStartWithAdvice() throws {
        let taken = try TCPListener(binding: loopback)
        let noFile = KeyFile(path: "unused", location: "unused")
        var configuration = ClientConfiguration(
            servers: [.address(SocketAddress(ipv4: 0x7F00_0001, port: 9))],
            serverPublicKey: SecretKey(entropy: .kernel()).publicKey,
            privateKey: noFile
        )
        configuration.forwards = [
            Forward(listen: range(taken.localAddress), transportProtocol: .tcp, service: "any")
        ]
        let book = LogBook()
        let client = try ClientProcess(
            LoadedConfiguration(
                configuration: configuration,
                privateKey: SecretKey(entropy: .kernel())
            ),
            log: book.log(),
            reload: { .refused([]) }
        )
        #expect(client.run() == 1)
        #expect(book.text.contains("\(taken.localAddress)"))
        #expect(book.text.contains("stop the program that has this port"))
    }
}
