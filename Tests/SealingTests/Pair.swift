import Primitives
import Testing

@testable import Sealing

/// A client and a server in one room, exchanging packets by hand.
final class Pair {
    let serverKey: SecretKey
    let clientKey: SecretKey
    let mask: HeaderMask
    let initiator: HandshakeInitiator
    let entropy: EntropySource
    let clientCiphers: CipherSet
    var responder: HandshakeResponder
    var now = Instant(nanoseconds: 5_000_000_000)
    var clock: UInt64 = 1_700_000_000_000
    var source = SocketAddress(ipv4: 0xC000_0201, port: 40_000)
    var decision = ResponderDecision.accept(continues: false)
    var nextIndex: UInt32 = 0x5151_0000

    init(
        seed: UInt64 = 1,
        secret: [UInt8] = [],
        ciphers: CipherSet = CipherSet(allowedBy: .auto),
        serverCiphers: CipherSet = CipherSet(allowedBy: .auto),
        loadThreshold: Int = 2000
    ) {
        self.entropy = EntropySource.seeded(seed)
        self.serverKey = SecretKey(entropy: self.entropy)
        self.clientKey = SecretKey(entropy: self.entropy)
        self.clientCiphers = ciphers
        self.mask = HeaderMask(
            serverPublicKey: self.serverKey.publicKey,
            deploymentSecret: secret
        )
        self.initiator = HandshakeInitiator(
            local: self.clientKey,
            remote: self.serverKey.publicKey,
            mask: self.mask,
            ciphers: ciphers,
            preference: .auto,
            entropy: self.entropy
        )
        self.responder = HandshakeResponder(
            local: self.serverKey,
            mask: self.mask,
            ciphers: serverCiphers,
            entropy: self.entropy,
            loadThreshold: loadThreshold
        )
        self.responder.hello = Hello(instance: 77, maximumPacketSize: 1400)
    }

    /// A server that has forgotten everything.
    func restartServer(loadThreshold: Int = 2000) {
        self.responder = HandshakeResponder(
            local: self.serverKey,
            mask: self.mask,
            ciphers: CipherSet(allowedBy: .auto),
            entropy: self.entropy,
            loadThreshold: loadThreshold
        )
    }

    func start(localIndex: UInt32 = 0xC11E_0001, routeIndex: UInt32 = 0) {
        let hello = Hello(
            instance: 42,
            maximumPacketSize: 1350,
            unixMilliseconds: self.clock,
            workerHint: 3
        )
        self.initiator.start(
            localIndex: localIndex,
            routeIndex: routeIndex,
            hello: hello,
            at: self.now
        )
    }

    /// The initiation that is due, as it is on the wire.
    func nextInitiation() -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 512)
        let count = buffer.withUnsafeMutableBytes {
            self.initiator.nextPacket(into: $0, at: self.now)
        }
        return count.map { Array(buffer[..<$0]) }
    }

    /// Gives the server a packet off the wire; returns its verdict and what it sends back.
    ///
    /// No packet at all is like one without bytes.
    func deliverToServer(_ wire: [UInt8]?) -> (outcome: ResponderOutcome, reply: [UInt8]?) {
        var packet = wire ?? []
        var reply = [UInt8](repeating: 0, count: 512)
        let outcome = packet.withUnsafeMutableBytes { packet in
            reply.withUnsafeMutableBytes { reply in
                self.mask.applyToHeader(packet)
                return self.responder.receive(
                    packet,
                    from: self.source,
                    reply: reply,
                    at: self.now,
                    decide: { _, _ in self.decision },
                    newIndex: {
                        self.nextIndex += 1
                        return self.nextIndex
                    }
                )
            }
        }
        switch outcome {
        case .dropped: return (outcome, nil)
        case .reply(let count): return (outcome, Array(reply[..<count]))
        case .refused(_, _, let count): return (outcome, Array(reply[..<count]))
        case .accepted(_, _, let count): return (outcome, Array(reply[..<count]))
        }
    }

    func deliverToClient(_ wire: [UInt8]?) -> InitiatorOutcome {
        var packet = wire ?? []
        return packet.withUnsafeMutableBytes { packet in
            self.mask.applyToHeader(packet)
            return self.initiator.receive(packet, at: self.now)
        }
    }

    /// One undisturbed handshake.
    func shakeHands() throws -> (client: EstablishedKeys, server: EstablishedKeys) {
        self.start()
        let initiation = try #require(self.nextInitiation())
        let (outcome, reply) = self.deliverToServer(initiation)
        let server = try #require(outcome.established)
        let response = try #require(reply)
        let client = try #require(self.deliverToClient(response).established)
        return (client, server)
    }
}

extension ResponderOutcome {
    var established: EstablishedKeys? {
        guard case .accepted(let keys, _, _) = self else { return nil }
        return keys
    }

    var drop: HandshakeDrop? {
        guard case .dropped(let reason) = self else { return nil }
        return reason
    }

    var isReply: Bool {
        switch self {
        case .reply, .refused: true
        case .dropped, .accepted: false
        }
    }
}

extension InitiatorOutcome {
    var established: EstablishedKeys? {
        guard case .established(let keys) = self else { return nil }
        return keys
    }

    var ignored: Reason? {
        guard case .ignored(let reason) = self else { return nil }
        return reason
    }

    var refused: RefusalReason? {
        guard case .refused(let reason) = self else { return nil }
        return reason
    }

    var isCookie: Bool {
        guard case .cookieStored = self else { return false }
        return true
    }
}

/// Seals `plaintext` as it goes on the wire.
func sealed(
    _ plaintext: [UInt8],
    _ keys: TransportKeys,
    receiverIndex: UInt32,
    counter: UInt64
) -> [UInt8] {
    var packet = [UInt8](repeating: 0, count: 12) + plaintext + [UInt8](repeating: 0, count: 16)
    packet.withUnsafeMutableBytes { bytes in
        guard let base = bytes.baseAddress else { return }
        keys.seal(
            base,
            plaintextByteCount: plaintext.count,
            receiverIndex: receiverIndex,
            counter: counter
        )
    }
    return packet
}

/// Opens what came off the wire; `nil` if it is not authentic.
func opened(_ wire: [UInt8], _ keys: TransportKeys, _ mask: HeaderMask) -> [UInt8]? {
    var packet = wire
    let isAuthentic = packet.withUnsafeMutableBytes { bytes in
        mask.applyToHeader(bytes)
        guard let header = RecordHeader(unmasked: UnsafeRawBufferPointer(bytes)) else {
            return false
        }
        return keys.open(bytes, counter: header.counter)
    }
    return isAuthentic ? Array(packet[12..<packet.count - 16]) : nil
}
