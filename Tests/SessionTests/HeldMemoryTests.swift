import Primitives
import Testing

@testable import Session

/// What a session at its memory limit does to its own honest streams.
@Suite struct HeldMemoryTests {
    private func transfer(crowd: Int) throws -> (took: UInt64, drops: UInt64, held: Int, done: Int)
    {
        var limits = EngineLimits()
        limits.streamBuffer = 65_536
        limits.sessionBuffer = 4 << 20
        let wire = Wire(limits: limits)
        var opened: [StreamHandle] = []
        wire.onServerStream = { handle, _ in opened.append(handle) }
        wire.run(.seconds(1))
        let request = OpenRequest(service: "echo", serviceProtocol: .tcp)
        let burst = [UInt8](repeating: 7, count: 60_000)
        for _ in 0..<crowd {
            let handle = try #require(wire.client.openStream(request, at: wire.now))
            _ = wire.client.write(burst[...], to: handle, at: wire.now)
        }
        // Their readers are slow once, then take all.
        wire.run(.seconds(5))
        wire.run(.seconds(20)) {
            for handle in opened { _ = wire.server.readAll(handle, at: wire.now) }
        }
        let held = wire.server.snapshot(at: wire.now).heldByteCounts.first ?? -1
        let last = try #require(wire.client.openStream(request, at: wire.now))
        wire.run(.seconds(1))
        let server = try #require(opened.last)
        let dropped = wire.server.sessions.compactMap { $0 }[0].board.counters
            .drops[.sessionMemory]
        let start = wire.now
        var sent = 0
        var got = 0
        let total = 4_000_000
        let chunk = [UInt8](repeating: 1, count: 65_536)
        var end: Instant?
        wire.run(.seconds(30)) {
            if sent < total {
                sent += wire.client.write(
                    chunk[..<min(65_536, total - sent)],
                    to: last,
                    at: wire.now
                )
            }
            got += wire.server.readAll(server, at: wire.now).count
            if got == total, end == nil { end = wire.now }
        }
        let after = wire.server.sessions.compactMap { $0 }[0].board.counters
            .drops[.sessionMemory]
        let took = (end ?? wire.now).nanoseconds - start.nanoseconds
        return (took / 1_000_000, UInt64(after) - UInt64(dropped), held, got)
    }

    @Test func idleStreamsDoNotSlowANewOne() throws {
        let alone = try self.transfer(crowd: 0)
        let crowded = try self.transfer(crowd: 120)

        #expect(crowded.took < 2 * alone.took, "\(alone) \(crowded)")
    }
}
