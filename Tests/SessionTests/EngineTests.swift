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

    @Test(arguments: [0, 3, 10, 30])
    func echoesAStream(lossPercent: Int) {
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
        let stream = wire.client.openStream(
            OpenRequest(service: "echo", serviceProtocol: .tcp),
            at: wire.now
        )
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
}
