import Primitives
import Sealing
import Testing

@testable import Session

/// Preshared keys across whole engines: named when they differ, exchanged without a cut.
@Suite struct PresharedKeyTests {
    private let one = PresharedKey(entropy: .seeded(71))
    private let other = PresharedKey(entropy: .seeded(72))

    private func failures(_ wire: Wire) -> [ConnectFailure] {
        wire.clientEvents.compactMap {
            if case .connectFailed(let failure, _) = $0 { failure } else { nil }
        }
    }

    /// The server's peers with another preshared key.
    private func directory(_ wire: Wire, _ key: PresharedKey?) -> PeerDirectory {
        let peers = wire.directory.peers.map { peer in
            var peer = peer
            peer.presharedKey = key
            return peer
        }
        return PeerDirectory(peers: peers, services: wire.directory.services)
    }

    @Test func equalKeysCarryBytes() throws {
        let wire = Wire(presharedKeys: (self.one, self.one))
        wire.run(.seconds(1))
        let request = OpenRequest(service: "voice", serviceProtocol: .udp)
        let flow = try #require(wire.client.openFlow(request, at: wire.now))
        ([7, 8] as [UInt8]).withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
        wire.run(.seconds(1))
        #expect(wire.clientDatagrams == [[7, 8]])
        #expect(self.failures(wire).isEmpty)
    }

    @Test(arguments: [(1, 0), (0, 1), (1, 2)])
    func differentKeysAreNamedWithinThreeSeconds(client: Int, server: Int) {
        let keys = [nil, self.one, self.other]
        let wire = Wire(presharedKeys: (keys[client], keys[server]))
        wire.run(.milliseconds(2900))
        #expect(self.failures(wire) == [.presharedKey])
        #expect(!wire.client.isSessionUp)
        #expect(wire.server.snapshot(at: wire.now).sessions.isEmpty)
        // Put right at the server, it comes up by itself.
        wire.server.replace(directory: self.directory(wire, keys[client]), at: wire.now)
        wire.run(.seconds(5))
        #expect(wire.client.isSessionUp)
    }

    @Test func putRightAtTheClientItComesUpAtOnce() {
        let wire = Wire(presharedKeys: (nil, self.one))
        wire.run(.seconds(3))
        wire.client.replace(presharedKey: self.one)
        wire.run(.seconds(1))
        #expect(wire.client.isSessionUp)
    }

    @Test func refusalsAreReadable() {
        let wire = Wire(clientKnown: false, presharedKeys: (self.one, nil))
        wire.run(.seconds(1))
        #expect(self.failures(wire) == [.unknownKey])
    }

    /// Sessions outlive a change of the key on both ends, and are renewed under the new one.
    @Test func aReloadCutsNoSession() throws {
        let wire = Wire(presharedKeys: (self.one, self.one))
        wire.run(.seconds(1))
        let request = OpenRequest(service: "voice", serviceProtocol: .udp)
        let flow = try #require(wire.client.openFlow(request, at: wire.now))
        wire.client.replace(presharedKey: self.other)
        wire.server.replace(directory: self.directory(wire, self.other), at: wire.now)
        let before = try #require(wire.client.sessions.compactMap { $0 }.first)
        let keys = before.leg.keys.current.localIndex
        var sent = 0
        for _ in 0..<140 {
            [1].withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
            sent += 1
            wire.run(.seconds(1))
        }
        let after = try #require(wire.client.sessions.compactMap { $0 }.first)
        #expect(after === before && after.leg.keys.current.localIndex != keys)
        #expect(wire.clientDatagrams.count == sent)
        #expect(self.failures(wire).isEmpty)
    }

    /// Without the new key at the other end the old session lasts as long as its keys do, and the
    /// log says what is wrong.
    @Test func aChangeAtOneEndIsNamedAtTheNextRekey() throws {
        let wire = Wire(presharedKeys: (self.one, self.one))
        wire.run(.seconds(1))
        let request = OpenRequest(service: "voice", serviceProtocol: .udp)
        let flow = try #require(wire.client.openFlow(request, at: wire.now))
        wire.server.replace(directory: self.directory(wire, self.other), at: wire.now)
        for _ in 0..<130 {
            [1].withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
            wire.run(.seconds(1))
        }
        // Told again while it lasts.
        #expect(Set(self.failures(wire)) == [.presharedKey])
        #expect(wire.clientDatagrams.count == 130)
    }
}
