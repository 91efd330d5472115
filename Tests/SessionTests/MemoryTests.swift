import Primitives
import Testing

@testable import Session

/// What one peer can make an engine hold.
@Suite struct MemoryTests {
    /// Gives the server a segment of one byte; true if it was taken.
    private func forge(
        conversation: UInt32,
        number: UInt32,
        offset: UInt32,
        over wire: Wire
    ) throws -> Bool {
        let before = wire.server.snapshot(at: wire.now).counters.drops[.sessionMemory]
        let fields = [conversation, number, offset].flatMap { field in
            (0..<4).map { UInt8(truncatingIfNeeded: field >> ($0 * 8)) }
        }
        try wire.forge([(FrameType.stream, fields + [1])], from: wire.clientAddress)
        return wire.server.snapshot(at: wire.now).counters.drops[.sessionMemory] == before
    }

    /// Small packets that name segments far ahead made a server hold half a megabyte for each
    /// stream: 276 KB of them took 2 GB.
    @Test func segmentsFarAheadHoldNoMoreThanTheBudget() throws {
        var limits = EngineLimits()
        limits.streamBuffer = 65_536
        limits.sessionBuffer = 4 << 20
        let wire = Wire(limits: limits)
        wire.run(.seconds(1))
        let idle = try #require(wire.server.snapshot(at: wire.now).heldByteCounts.first)
        var handles: [StreamHandle] = []
        for _ in 0..<100 {
            let request = OpenRequest(service: "echo", serviceProtocol: .tcp)
            let handle = try #require(wire.client.openStream(request, at: wire.now))
            #expect(wire.client.write([7], to: handle, at: wire.now) == 1)
            handles.append(handle)
        }
        wire.run(.milliseconds(200))
        var refused = 0
        for conversation in 1...100 as ClosedRange<UInt32> {
            let isTaken = try self.forge(
                conversation: conversation,
                number: 32_000,
                offset: 60_000,
                over: wire
            )
            if !isTaken { refused += 1 }
        }
        let held = try #require(wire.server.snapshot(at: wire.now).heldByteCounts.first)
        #expect(held <= limits.heldByteLimit)
        // Each that is taken holds its first window and a list of blocks of records.
        #expect(refused > 25)
        // The account is settled when the streams end.
        for handle in handles { wire.client.reset(handle, reason: .aborted, at: wire.now) }
        wire.run(.seconds(2))
        #expect(wire.server.snapshot(at: wire.now).heldByteCounts == [idle])
    }
}
