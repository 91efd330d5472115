import Primitives
import Testing

@testable import Session

/// Who holds the keys may say that he is anywhere; only who is there gets anything there.
@Suite struct PathTests {
    private let victim = SocketAddress(ipv4: 0xCB00_7105, port: 9)
    private let other = SocketAddress(ipv4: 0xCB00_7106, port: 9)

    /// A wire whose server has much to send to the client.
    private func download() -> (Wire, StreamHandle)? {
        let wire = Wire()
        var echo: StreamHandle?
        wire.onServerStream = { handle, _ in echo = handle }
        wire.run(.seconds(1))
        let request = OpenRequest(service: "echo", serviceProtocol: .tcp)
        guard let stream = wire.client.openStream(request, at: wire.now) else { return nil }
        _ = wire.client.write([1], to: stream, at: wire.now)
        wire.run(.seconds(1))
        return echo.map { (wire, $0) }
    }

    private func isMoved(_ wire: Wire) -> Bool {
        wire.serverEvents.contains { if case .peerMoved = $0 { true } else { false } }
    }

    /// A client at one address sends from another's, and echoes what it is told at its own.
    @Test func nobodyProvesAnAddressFromAnother() throws {
        let (wire, echo) = try #require(self.download())
        let own = wire.clientAddress
        wire.clientAddress = self.victim
        wire.lostDestination = self.victim
        let bytes = [UInt8](repeating: 9, count: 60_000)
        for _ in 0..<500 {
            _ = wire.server.write(bytes[...], to: echo, at: wire.now)
            wire.run(.milliseconds(20))
        }
        #expect(!self.isMoved(wire))
        let sent = try #require(wire.bytesFrom[self.victim])
        #expect(wire.bytesTo[self.victim, default: 0] <= 3 * sent)
        #expect(wire.server.snapshot(at: wire.now).sessions.first?.address == own)
    }

    /// A budget is the address's own: moving to and fro renews none, and nobody pays for another.
    @Test func alternatingAddressesGainNothing() throws {
        let (wire, echo) = try #require(self.download())
        let own = wire.clientAddress
        wire.deadAddresses = [self.victim, self.other]
        let places = [self.victim, own, self.other, self.victim, self.other, own]
        let bytes = [UInt8](repeating: 9, count: 60_000)
        for step in 0..<3_000 {
            wire.clientAddress = places[step % places.count]
            _ = wire.server.write(bytes[...], to: echo, at: wire.now)
            wire.run(.milliseconds(3))
        }
        #expect(!self.isMoved(wire))
        for address in [self.victim, self.other] {
            let sent = try #require(wire.bytesFrom[address])
            #expect(wire.bytesTo[address, default: 0] <= 3 * sent, "\(address)")
        }
        #expect(wire.bytesTo[own, default: 0] > 50_000)
    }

    /// What comes from where the client was proven brings the session back without a question.
    @Test func theProvenAddressIsBelievedAtOnce() {
        var path = Path(address: self.other)
        let now = Instant(nanoseconds: 0)
        let move = { (path: inout Path, to: SocketAddress, token: UInt64) in
            path.move(
                to: to,
                byteCount: 100,
                drawing: .init(token: token, recall: token + 1),
                patience: .seconds(1),
                at: now
            )
        }
        let first = move(&path, self.victim, 7)
        #expect(first.token == 7 && first.recall == 8)
        #expect(path.allowance == 300)
        path.spend(250, to: self.victim)
        #expect(path.echoed(7, from: self.other) == nil && !path.isValidated)
        #expect(path.echoed(8, from: self.victim) == nil && !path.isValidated)
        #expect(path.echoed(8, from: self.other) == nil && path.isValidated)
        #expect(path.address == self.other)
        // The second move finds what the first one left, and the same token.
        let second = move(&path, self.victim, 70)
        #expect(second.token == 7 && path.allowance == 50)
        #expect(path.echoed(70, from: self.victim) == nil)
        #expect(path.echoed(7, from: self.victim) == self.other)
        #expect(path.isValidated && path.proven == self.victim)
    }

    @Test func forgottenAddressesHaveNothingLeft() {
        var path = Path(address: self.other)
        for port in 1...100 as ClosedRange<UInt16> {
            _ = path.move(
                to: self.victim.with(port: port),
                byteCount: 40,
                drawing: .init(token: UInt64(port), recall: 1),
                patience: .seconds(1),
                at: Instant(nanoseconds: 0)
            )
        }
        #expect(path.allowance(for: self.victim.with(port: 1)) == 0)
        path.arrived(500, from: self.victim.with(port: 1))
        #expect(path.allowance == 120)
        #expect(path.allowance(for: self.victim.with(port: 1)) == 0)
    }
}
