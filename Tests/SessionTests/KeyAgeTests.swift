import Primitives
import Sealing
import Testing

@testable import Session

/// Keys do not outlive what SECURITY.md promises.
@Suite struct KeyAgeTests {
    @Test func oldKeysAreLetGoOf() throws {
        let wire = Wire()
        wire.run(.seconds(1))
        let request = OpenRequest(service: "voice", serviceProtocol: .udp)
        let flow = try #require(wire.client.openFlow(request, at: wire.now))
        // Traffic, so that the keys are renewed and the new ones used.
        for _ in 0..<130 {
            [1].withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
            wire.run(.seconds(1))
        }
        for engine in [wire.client, wire.server] {
            let session = try #require(engine.sessions.compactMap { $0 }.first)
            let previous = try #require(session.leg.keys.previous)
            let expiry = previous.establishedAt + KeyLifetime.rejectAfter
            let before = Instant(nanoseconds: expiry.nanoseconds - 1)
            #expect(session.leg.keys.pair(previous.localIndex, at: before) === previous)
            #expect(session.leg.keys.pair(previous.localIndex, at: expiry) == nil)
        }
        weak let wiped = wire.server.sessions.compactMap { $0 }.first?.leg.keys.previous
        let index = try #require(wiped?.localIndex)
        #expect(wire.server.indices[index] != IndexTable.none)
        wire.run(.seconds(55))
        for engine in [wire.client, wire.server] {
            let session = try #require(engine.sessions.compactMap { $0 }.first)
            #expect(session.leg.keys.previous == nil)
        }
        #expect(wiped == nil)
        #expect(wire.server.indices[index] == IndexTable.none)
    }
}
