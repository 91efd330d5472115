import Primitives
import Testing

@testable import Session

/// What one peer can make an engine hold.
@Suite struct MemoryTests {
    /// Seals one segment under the client's keys and gives it to the server; true if the server
    /// would acknowledge it.
    private func forge(
        conversation: UInt32,
        number: UInt32,
        offset: UInt32,
        _ session: PeerSession,
        over wire: Wire
    ) throws -> Bool {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1500, alignment: 64)
        defer { buffer.deallocate() }
        var packet = PacketBuilder(
            base: try #require(buffer.baseAddress),
            size: 1400,
            number: session.nextNumber,
            firstFrame: session.log.tail
        )
        var frame = packet.frameBody
        frame.write(conversation)
        frame.write(number)
        frame.write(offset)
        frame.write(UInt8(1))
        packet.append(FrameType.stream, frame)
        let length = session.seal(packet, at: wire.now)
        let server = try #require(wire.server.sessions.compactMap { $0 }.first)
        let before = server.board.counters.drops[.sessionMemory]
        wire.server.receive(
            UnsafeMutableRawBufferPointer(rebasing: buffer[..<length]),
            from: wire.clientAddress,
            at: wire.now
        )
        return server.board.counters.drops[.sessionMemory] == before
    }

    /// Small packets that name segments far ahead made a server hold half a megabyte for each
    /// stream: 276 KB of them took 2 GB.
    @Test func segmentsFarAheadHoldNoMoreThanTheBudget() throws {
        var limits = EngineLimits()
        limits.streamBuffer = 65_536
        limits.sessionBuffer = 4 << 20
        let wire = Wire(limits: limits)
        wire.run(.seconds(1))
        var handles: [StreamHandle] = []
        for _ in 0..<100 {
            let request = OpenRequest(service: "echo", serviceProtocol: .tcp)
            let handle = try #require(wire.client.openStream(request, at: wire.now))
            #expect(wire.client.write([7], to: handle, at: wire.now) == 1)
            handles.append(handle)
        }
        wire.run(.milliseconds(200))
        let session = try #require(wire.client.sessions.compactMap { $0 }.first)
        var refused = 0
        for conversation in 1...100 as ClosedRange<UInt32> {
            let isTaken = try self.forge(
                conversation: conversation,
                number: 32_000,
                offset: 60_000,
                session,
                over: wire
            )
            if !isTaken { refused += 1 }
        }
        let held = try #require(wire.server.snapshot(at: wire.now).heldByteCounts.first)
        #expect(held <= limits.heldByteLimit + limits.streamBuffer + 512 * 1024)
        #expect(refused > 50)
        // The account is settled when the streams end.
        for handle in handles { wire.client.reset(handle, reason: .aborted, at: wire.now) }
        wire.run(.seconds(2))
        #expect(wire.server.snapshot(at: wire.now).heldByteCounts == [0])
    }
}
