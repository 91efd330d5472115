import Primitives
import Testing

@testable import Sealing

@Suite struct HandshakeTests {
    @Test(arguments: [[], Array("deployment".utf8)] as [[UInt8]])
    func bothSidesAgree(secret: [UInt8]) throws {
        let pair = Pair(secret: secret)
        pair.decision = .accept(continues: true)
        let (client, server) = try pair.shakeHands()
        #expect(client.handshakeHash == server.handshakeHash)
        #expect(client.handshakeHash.count == 64)
        #expect(client.remoteIndex == server.localIndex)
        #expect(server.remoteIndex == client.localIndex)
        #expect(server.peerHello.instance == 42)
        #expect(server.peerHello.maximumPacketSize == 1350)
        #expect(server.peerHello.unixMilliseconds == pair.clock)
        #expect(server.peerHello.workerHint == 3)
        #expect(client.peerHello.instance == 77)
        #expect(client.peerHello.maximumPacketSize == 1400)
        #expect(client.continuesSession && server.continuesSession)
        #expect(!pair.initiator.isActive)
        #expect(pair.initiator.deadline == .never)
        let there = sealed([1, 2, 3], client.keys, receiverIndex: 9, counter: 0)
        #expect(opened(there, server.keys, pair.mask) == [1, 2, 3])
        let back = sealed([], server.keys, receiverIndex: 9, counter: 0)
        #expect(opened(back, client.keys, pair.mask) == [])
        #expect(opened(there, client.keys, pair.mask) == nil)
    }
}
