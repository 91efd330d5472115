import Primitives
import Recovery
import Testing

@testable import Session

/// RFC 9000 §21.4: acknowledging what was not received makes a sender send more than the path
/// carries.
@Suite struct OptimisticAckTests {
    /// A wire whose server has much to send to the client.
    private func download() throws -> (Wire, StreamHandle, StreamHandle) {
        let wire = Wire()
        var echo: StreamHandle?
        wire.onServerStream = { handle, _ in echo = handle }
        wire.run(.seconds(1))
        let request = OpenRequest(service: "echo", serviceProtocol: .tcp)
        let stream = try #require(wire.client.openStream(request, at: wire.now))
        _ = wire.client.write([1], to: stream, at: wire.now)
        wire.run(.seconds(1))
        return (wire, try #require(echo), stream)
    }

    /// An ACK of the numbers `first...last`, each integer in its longest form.
    private func ack(_ first: UInt64, _ last: UInt64) -> [UInt8] {
        [last, 0, 0, last - first].flatMap { value in
            (0..<8).reversed().map { index in
                UInt8(truncatingIfNeeded: value >> (index * 8)) | (index == 7 ? 0xC0 : 0)
            }
        }
    }

    private func expulsions(_ wire: Wire) -> Int {
        wire.serverEvents.filter {
            if case .sessionDown(_, _, .protocolViolation) = $0 { true } else { false }
        }.count
    }

    @Test func whoAcknowledgesASkippedNumberIsExpelled() throws {
        let (wire, echo, stream) = try self.download()
        let server = try #require(wire.server.sessions.compactMap { $0 }.first)
        let bytes = [UInt8](repeating: 9, count: 60_000)
        var claimed: UInt64 = 0
        while self.expulsions(wire) == 0, claimed < 2000 {
            _ = wire.server.write(bytes[...], to: echo, at: wire.now)
            // What leaves now arrives later than it is acknowledged.
            wire.run(.milliseconds(5))
            claimed = server.leg.nextNumber - 1
            try wire.forge([(FrameType.ack, self.ack(0, claimed))], from: wire.clientAddress)
            _ = wire.client.readAll(stream, at: wire.now)
            wire.run(.milliseconds(1))
        }
        #expect(self.expulsions(wire) == 1)
        #expect(claimed < 2 * PacketNumbers.leastSpread + 100)
        #expect(wire.server.snapshot(at: wire.now).counters.drops[.protocolViolation] == 1)
        #expect(wire.server.sessions.compactMap { $0 }.isEmpty)
    }

    /// Whoever tells the truth stays.
    @Test func whoReceivesForLongStays() throws {
        let (wire, echo, stream) = try self.download()
        let bytes = [UInt8](repeating: 9, count: 60_000)
        let server = try #require(wire.server.sessions.compactMap { $0 }.first)
        while server.leg.nextNumber < 8000 {
            _ = wire.server.write(bytes[...], to: echo, at: wire.now)
            wire.run(.milliseconds(5))
            _ = wire.client.readAll(stream, at: wire.now)
        }
        #expect(self.expulsions(wire) == 0)
        #expect(server.leg.lossRate == 0)
    }

    /// Its ACKs ask for none, but what it receives tells it which of them arrived: it does not
    /// repeat for ever which numbers are missing.
    @Test func whoOnlyReceivesAcknowledgesBriefly() throws {
        let wire = Wire()
        wire.run(.seconds(1))
        let request = OpenRequest(service: "voice", serviceProtocol: .udp)
        let handle = try #require(wire.client.openFlow(request, at: wire.now))
        [1].withUnsafeBytes { wire.client.send($0, on: handle, at: wire.now) }
        wire.run(.milliseconds(500))
        let opened = wire.serverEvents.compactMap { event -> FlowHandle? in
            if case .flowOpened(let flow, _, _) = event { flow } else { nil }
        }
        let flow = try #require(opened.first)
        let client = try #require(wire.client.sessions.compactMap { $0 }.first)
        var count = 0
        wire.passes = { fromClient in
            guard !fromClient else { return true }
            count += 1
            return count % 20 != 0
        }
        var most = 0
        let bytes = [UInt8](repeating: 9, count: 1000)
        for _ in 0..<2000 {
            bytes.withUnsafeBytes { wire.server.send($0, on: flow, at: wire.now) }
            wire.run(.milliseconds(2))
            most = max(most, client.leg.received.rangeCount)
        }
        #expect(most < 10, "\(most)")
        #expect(count > 2000)
    }

    @Test func gapsBecomeRareAndStayUnpredictable() {
        var numbers = PacketNumbers(entropy: .seeded(7))
        var gaps: [UInt64] = []
        var last: UInt64 = 0
        while gaps.count < 400 {
            let before = numbers.next
            numbers.advance()
            #expect(numbers.next == before + 1 || numbers.next == before + 2)
            guard numbers.next == before + 2 else { continue }
            gaps.append(before + 1 - last)
            last = before + 1
        }
        #expect(gaps[0] <= 2 * PacketNumbers.leastSpread)
        let late = gaps.dropFirst(10)
        let mean = late.reduce(0, +) / UInt64(late.count)
        #expect(mean > PacketNumbers.mostSpread * 9 / 10)
        #expect(mean < PacketNumbers.mostSpread * 11 / 10)
        #expect(late.contains { $0 < 400 } && late.contains { $0 > 7800 })
    }
}
