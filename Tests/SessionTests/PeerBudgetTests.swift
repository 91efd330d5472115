import KCP
import Primitives
import Recovery
import Testing

@testable import Session

/// Whatever a peer does not acknowledge, read or finish, it pays for.
@Suite struct PeerBudgetTests {
    private func limits() -> EngineLimits {
        var limits = EngineLimits()
        limits.sessionBuffer = 4 << 20
        limits.streamBuffer = 1 << 20
        return limits
    }

    private func server(_ wire: Wire) throws -> PeerSession {
        try #require(wire.server.sessions.compactMap { $0 }.first)
    }

    /// Opens streams to a backend that says much, and stops to acknowledge.
    @Test func backendsThatTalkToDeafPeersAreHeldBack() throws {
        let limits = self.limits()
        let wire = Wire(limits: limits)
        var opened: [StreamHandle] = []
        wire.onServerStream = { handle, _ in opened.append(handle) }
        wire.run(.seconds(1))
        for _ in 0..<200 {
            let request = OpenRequest(service: "echo", serviceProtocol: .tcp)
            let handle = try #require(wire.client.openStream(request, at: wire.now))
            _ = wire.client.write([7], to: handle, at: wire.now)
        }
        wire.run(.seconds(1))
        #expect(opened.count == 200)
        wire.passes = { fromClient in !fromClient }
        let bytes = [UInt8](repeating: 9, count: 200_000)
        var taken = 0
        wire.run(.seconds(2)) {
            for handle in opened {
                taken += wire.server.write(bytes[...], to: handle, at: wire.now)
            }
        }
        let session = try self.server(wire)
        #expect(taken > limits.sessionBuffer)
        // Streams are two rings of their own each, if need be.
        #expect(session.memory.byteCount <= limits.smallHeldByteLimit + 200 * 8192)
        #expect(session.unaccountedByteCount == 0)
    }

    /// Flows with a deadline keep what was sent until it is acknowledged or too old.
    @Test func datagramsThatAreKeptCount() throws {
        let limits = self.limits()
        let wire = Wire(limits: limits)
        wire.run(.seconds(1))
        var request = OpenRequest(service: "voice", serviceProtocol: .udp)
        request.delivery = .deadline
        request.maximumAge = .seconds(60)
        for _ in 0..<100 {
            let handle = try #require(wire.client.openFlow(request, at: wire.now))
            [1].withUnsafeBytes { wire.client.send($0, on: handle, at: wire.now) }
        }
        wire.run(.seconds(1))
        let flows = wire.serverEvents.compactMap { event -> FlowHandle? in
            if case .flowOpened(let flow, _, _) = event { flow } else { nil }
        }
        #expect(flows.count == 100)
        let session = try self.server(wire)
        let bytes = [UInt8](repeating: 9, count: 30_000)
        var most = 0
        for _ in 0..<10 {
            for flow in flows {
                bytes.withUnsafeBytes { wire.server.send($0, on: flow, at: wire.now) }
            }
            wire.run(.milliseconds(100)) { most = max(most, session.memory.byteCount) }
        }
        #expect(wire.clientDatagrams.count > 200)
        #expect(most > limits.sessionBuffer)
        #expect(most <= limits.smallHeldByteLimit + 100 * 4096)
        #expect(session.unaccountedByteCount == 0)
    }

    /// Compressed streams need memory at once: without any, OPEN is refused.
    @Test func compressedStreamsAreRefusedWhereNoMemoryIsLeft() throws {
        let limits = self.limits()
        let wire = Wire(limits: limits)
        var opened = 0
        wire.onServerStream = { _, _ in opened += 1 }
        wire.run(.seconds(1))
        var request = OpenRequest(service: "echo", serviceProtocol: .tcp)
        request.isCompressed = true
        for _ in 0..<400 { _ = wire.client.openStream(request, at: wire.now) }
        wire.run(.seconds(2))
        let refused = wire.clientEvents.filter {
            if case .streamReset(_, .limit) = $0 { true } else { false }
        }
        #expect(opened > 100 && opened < 200)
        #expect(refused.count + opened == 400)
        #expect(try self.server(wire).memory.byteCount <= limits.smallHeldByteLimit + 400 * 1024)
    }

    /// Nobody may hold more than is left for all others.
    @Test func aCrowdLeavesRoomForWhoComesAfterIt() throws {
        let limits = self.limits()
        let wire = Wire(limits: limits)
        wire.run(.seconds(1))
        let session = try self.server(wire)
        #expect(session.memory.allowance.large > limits.sessionBuffer)
        session.board.heldByteCount += limits.totalHeldByteLimit - (1 << 20)
        #expect(session.memory.mayHold((1 << 20) - 300_000))
        session.memory.hold(600_000)
        #expect(!session.memory.mayHold(0))
        session.memory.hold(-600_000)
        session.board.heldByteCount -= limits.totalHeldByteLimit - (1 << 20)
        #expect(session.unaccountedByteCount == 0)
    }
}
