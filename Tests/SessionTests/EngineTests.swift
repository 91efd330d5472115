import Primitives
import Testing

@testable import Session

@Suite struct EngineTests {
    @Test func sessionComesUp() {
        let wire = Wire()
        wire.run(.seconds(1))
        #expect(wire.client.isSessionUp)
        #expect(wire.server.snapshot(at: wire.now).sessions.first?.peer == "edge")
        #expect(wire.server.snapshot(at: wire.now).sessions.first?.packetSize == 1472)
    }

    @Test(arguments: [0, 3, 10, 30], [false, true])
    func echoesAStream(lossPercent: Int, isCompressed: Bool) {
        let wire = Wire(seed: UInt64(lossPercent) + 7)
        var dice = SeededGenerator(seed: 9)
        wire.passes = { _ in !dice.chance(UInt64(lossPercent), in: 100) }
        var echo: StreamHandle?
        wire.onServerStream = { handle, request in
            echo = handle
            #expect(request.service == "echo")
        }
        let total = 300_000
        let source = (0..<total).map { UInt8(truncatingIfNeeded: $0 &* 131 &+ $0 >> 9) }
        var request = OpenRequest(service: "echo", serviceProtocol: .tcp)
        request.isCompressed = isCompressed
        let stream = wire.client.openStream(request, at: wire.now)
        guard let stream else {
            Issue.record("no stream")
            return
        }
        var sent = 0
        var back: [UInt8] = []
        var held: [UInt8] = []
        var isEchoFinished = false
        wire.run(.seconds(40)) {
            if sent < total {
                sent += wire.client.write(source[sent...], to: stream, at: wire.now)
                if sent == total { wire.client.finish(stream, at: wire.now) }
            }
            if let echo {
                held += wire.server.readAll(echo, at: wire.now)
                held.removeFirst(wire.server.write(held[...], to: echo, at: wire.now))
                if wire.server.isReceiveFinished(echo), held.isEmpty, !isEchoFinished {
                    isEchoFinished = true
                    wire.server.finish(echo, at: wire.now)
                }
            }
            back += wire.client.readAll(stream, at: wire.now)
        }
        #expect(back.count == total)
        #expect(back == source)
        let closed = wire.clientEvents.contains {
            if case .streamClosed(stream) = $0 { true } else { false }
        }
        #expect(closed)
        #expect(wire.server.snapshot(at: wire.now).streams == 0)
        #expect(wire.client.snapshot(at: wire.now).streams == 0)
    }

    @Test(arguments: [false, true])
    func echoesDatagramsOfEverySize(isCompressed: Bool) {
        let wire = Wire(seed: 3)
        var request = OpenRequest(service: "voice", serviceProtocol: .udp)
        request.isCompressed = isCompressed
        guard let flow = wire.client.openFlow(request, at: wire.now) else {
            Issue.record("no flow")
            return
        }
        let sizes = [0, 1, 1200, 1420, 1472, 9000, 60_000, 65_507]
        wire.run(.seconds(1))
        for size in sizes {
            let datagram = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ size) }
            datagram.withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
            wire.run(.milliseconds(500))
            #expect(wire.serverDatagrams.last == datagram, "\(size) bytes to the server")
            #expect(wire.clientDatagrams.last == datagram, "\(size) bytes back")
        }
        #expect(wire.serverDatagrams.count == sizes.count)
        #expect(wire.clientDatagrams.count == sizes.count)
        #expect(wire.client.snapshot(at: wire.now).counters.drops.total == 0)
    }

    private func openEcho(_ wire: Wire) -> StreamHandle? {
        wire.client.openStream(OpenRequest(service: "echo", serviceProtocol: .tcp), at: wire.now)
    }

    @Test func saysWhyItRefuses() {
        let stranger = Wire(clientKnown: false)
        stranger.run(.seconds(1))
        let isToldUnknown = stranger.clientEvents.contains {
            if case .connectFailed(.unknownKey, _) = $0 { true } else { false }
        }
        #expect(isToldUnknown)

        let wire = Wire(services: ["voice"])
        wire.run(.seconds(1))
        let stream = self.openEcho(wire)
        wire.run(.seconds(1))
        let isReset = wire.clientEvents.contains {
            if case .streamReset(let handle, .serviceForbidden) = $0 {
                handle == stream
            } else {
                false
            }
        }
        let isLogged = wire.serverEvents.contains {
            if case .openRefused(_, _, _, .serviceForbidden) = $0 { true } else { false }
        }
        #expect(isReset && isLogged)
        #expect(wire.server.snapshot(at: wire.now).streams == 0)
        #expect(wire.client.snapshot(at: wire.now).streams == 0)
    }

    @Test func givesUpWithoutAServer() {
        let wire = Wire()
        wire.passes = { _ in false }
        let stream = self.openEcho(wire)
        wire.run(.seconds(3))
        let isTold = wire.clientEvents.contains {
            if case .connectFailed(.serverSilent, _) = $0 { true } else { false }
        }
        #expect(isTold)
        wire.run(.seconds(8))
        let isReset = wire.clientEvents.contains {
            if case .streamReset(let handle, .connectTimeout) = $0 {
                handle == stream
            } else {
                false
            }
        }
        #expect(isReset)
    }

    @Test func survivesANewClientAddress() {
        let wire = Wire()
        var echo: StreamHandle?
        wire.onServerStream = { handle, _ in echo = handle }
        wire.run(.seconds(1))
        guard let stream = self.openEcho(wire) else { return }
        let write = { (text: [UInt8]) in
            #expect(wire.client.write(text[...], to: stream, at: wire.now) == text.count)
        }
        write([1, 2, 3])
        wire.run(.seconds(1))
        guard let echo else {
            Issue.record("no stream at the server")
            return
        }
        #expect(wire.server.readAll(echo, at: wire.now) == [1, 2, 3])
        // The NAT forgets: what the server sends to the old address is lost. The client has nothing
        // to send, and the server much.
        let old = wire.clientAddress
        wire.clientAddress = old.with(port: 6000)
        wire.lostDestination = old
        var back = 0
        let answer = [UInt8](repeating: 9, count: 50_000)
        #expect(wire.server.write(answer[...], to: echo, at: wire.now) == answer.count)
        wire.run(.seconds(1)) { back += wire.client.readAll(stream, at: wire.now).count }
        #expect(back == answer.count)
        let isMoved = wire.serverEvents.contains {
            if case .peerMoved(_, let info, let from) = $0 {
                from == old && info.address == wire.clientAddress
            } else {
                false
            }
        }
        #expect(isMoved)
    }

    /// An address that does not echo its token gets at most three times what came from it.
    @Test func floodsNobodyWhoDidNotAsk() {
        let wire = Wire()
        var echo: StreamHandle?
        wire.onServerStream = { handle, _ in echo = handle }
        wire.run(.seconds(1))
        guard let stream = self.openEcho(wire) else { return }
        _ = wire.client.write([1], to: stream, at: wire.now)
        wire.run(.seconds(1))
        guard let echo else {
            Issue.record("no stream at the server")
            return
        }
        let old = wire.clientAddress
        wire.clientAddress = old.with(port: 6000)
        wire.lostDestination = wire.clientAddress
        _ = wire.client.write([2], to: stream, at: wire.now)
        let answer = [UInt8](repeating: 9, count: 100_000)
        _ = wire.server.write(answer[...], to: echo, at: wire.now)
        // One small packet gets out from the forged place.
        wire.run(.milliseconds(5))
        wire.clientAddress = old
        let before = wire.lostByteCount
        wire.run(.milliseconds(400))
        #expect(wire.lostByteCount - before > 0)
        #expect(wire.lostByteCount - before <= 3 * 100)
    }

    @Test func makesANewSessionWhenTheServerRestarts() {
        let wire = Wire()
        wire.run(.seconds(1))
        let stream = self.openEcho(wire)
        let flow = wire.client.openFlow(
            OpenRequest(service: "voice", serviceProtocol: .udp),
            at: wire.now
        )
        guard let stream, let flow else { return }
        [UInt8]([1]).withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
        wire.run(.seconds(1))
        #expect(wire.clientDatagrams == [[1]])
        wire.restartServer()
        [UInt8]([2]).withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
        wire.run(.milliseconds(2900))
        let isReset = wire.clientEvents.contains {
            if case .streamReset(let handle, .sessionLost) = $0 {
                handle == stream
            } else {
                false
            }
        }
        #expect(isReset)
        [UInt8]([3]).withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
        wire.run(.milliseconds(100))
        #expect(wire.clientDatagrams.last == [3])
        // An idle session notices too.
        wire.restartServer()
        wire.run(.seconds(20))
        #expect(wire.server.snapshot(at: wire.now).sessions.count == 1)
    }

    @Test func rekeysWithoutLosingAStream() {
        let wire = Wire()
        var echo: StreamHandle?
        wire.onServerStream = { handle, _ in echo = handle }
        wire.run(.seconds(1))
        guard let stream = self.openEcho(wire) else { return }
        for round in 0..<40 {
            let bytes = [UInt8(round)]
            #expect(wire.client.write(bytes[...], to: stream, at: wire.now) == 1)
            wire.run(.seconds(10))
            guard let echo else {
                Issue.record("no stream at the server")
                return
            }
            #expect(wire.server.readAll(echo, at: wire.now) == bytes)
        }
        let downs = wire.clientEvents.filter {
            if case .sessionDown = $0 { true } else { false }
        }
        #expect(downs.isEmpty)
        #expect(wire.server.snapshot(at: wire.now).sessions.count == 1)
    }

    @Test func stalledReadersHoldUpNobody() {
        var limits = EngineLimits()
        limits.streamBuffer = 1 << 18
        limits.sessionBuffer = 1 << 19
        let wire = Wire(limits: limits)
        var opened: [StreamHandle] = []
        wire.onServerStream = { handle, _ in opened.append(handle) }
        wire.run(.seconds(1))
        let chunk = [UInt8](repeating: 5, count: 65_536)
        let stalled = (0..<4).compactMap { _ in self.openEcho(wire) }
        wire.run(.seconds(5)) {
            for stream in stalled { _ = wire.client.write(chunk[...], to: stream, at: wire.now) }
        }
        guard let fifth = self.openEcho(wire) else { return }
        var sent = 0
        var got = 0
        wire.run(.seconds(10)) {
            if sent < 1_000_000 { sent += wire.client.write(chunk[...], to: fifth, at: wire.now) }
            if opened.count == 5 { got += wire.server.readAll(opened[4], at: wire.now).count }
        }
        #expect(sent >= 1_000_000 && got == sent)
        let held = wire.server.snapshot(at: wire.now).bufferedByteCount
        #expect(held <= limits.sessionBuffer + 5 * EngineLimits.initialWindow)
    }

    @Test func streamsSurviveAShrinkingPath() {
        let wire = Wire()
        var echo: StreamHandle?
        wire.onServerStream = { handle, _ in echo = handle }
        wire.run(.seconds(1))
        guard let stream = self.openEcho(wire) else { return }
        let source = (0..<4_000_000).map { UInt8(truncatingIfNeeded: $0 &* 131 &+ $0 >> 9) }
        var sent = 0
        var got: [UInt8] = []
        let step = {
            sent += wire.client.write(source[sent...], to: stream, at: wire.now)
            if let echo { got += wire.server.readAll(echo, at: wire.now) }
        }
        while got.count < 1_000_000 { wire.run(.milliseconds(10), act: step) }
        wire.largestPacket = 1252
        let before = got.count
        wire.run(.seconds(1), act: step)
        #expect(got.count > before + 100_000)
        wire.run(.seconds(2), act: step)
        #expect(
            wire.client.snapshot(at: wire.now).sessions.first.map { $0.packetSize <= 1252 } == true
        )
        wire.run(.seconds(30), act: step)
        #expect(got == source)
    }

    @Test func idleSessionHardlyWakes() {
        let wire = Wire()
        wire.run(.seconds(30))
        let before = wire.packetCount
        wire.run(.seconds(100))
        #expect(wire.packetCount - before <= 60)
    }
}
