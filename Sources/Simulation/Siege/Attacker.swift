import Primitives
import Sealing

/// Somebody with an authorised key, or with none, who knows the protocol and keeps none of its
/// rules.
///
/// It has addresses of its own, and writes others as the source of its packets where it likes.
final class Attacker {
    /// Indices of its own addresses and of those that it pretends to have.
    let own: [Int]
    let victims: [Int]
    /// Gives a packet to the network, from an address.
    var send: ([UInt8], Int) -> Void = { _, _ in }
    /// Told when it has answered from an address what had come there: now it is proven.
    var prove: (Int) -> Void = { _ in }
    private(set) var counts = Counts()

    /// What it has done, for the verdict.
    struct Counts: Hashable, Sendable {
        var sessions: UInt64 = 0
        var packets: UInt64 = 0
        var moves = [UInt64](repeating: 0, count: Move.allCases.count)
        /// Sessions that the server ended.
        var expulsions: UInt64 = 0
    }

    private let mask: HeaderMask
    private let initiator: HandshakeInitiator
    private var dice: SeededGenerator
    private(set) var session: HostileSession?
    /// Where its packets come from now.
    private var address: Int
    private var moveAt: Instant
    private var ackAt = Instant.never
    private var handshakeBeganAt = Instant.never
    private var initiations: [[UInt8]] = []
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 2_048, alignment: 16)

    static let packetLimit = 1_372

    init(key: SecretKey, server: PublicKey, seed: UInt64, own: [Int], victims: [Int], at: Instant) {
        self.mask = HeaderMask(serverPublicKey: server)
        self.initiator = HandshakeInitiator(
            local: key,
            remote: server,
            mask: self.mask,
            cipher: .auto,
            entropy: .seeded(seed)
        )
        self.dice = SeededGenerator(seed: seed &+ 1)
        self.own = own
        self.victims = victims
        self.address = own[0]
        self.moveAt = at
    }

    deinit { self.buffer.deallocate() }

    var deadline: Instant {
        min(self.moveAt, self.ackAt, self.session == nil ? self.initiator.deadline : .never)
    }

    /// Does what it feels like now.
    func act(at now: Instant) {
        guard let session = self.session else { return self.shakeHands(at: now) }
        if session.isOver || now.since(session.lastHeard) > .seconds(4)
            || now.since(session.beganAt) > session.tactic.lifetime
        {
            return self.leave(session, at: now)
        }
        if self.ackAt <= now {
            self.ackAt = now + session.tactic.ackDelay(&self.dice)
            if let ack = session.ack(&self.dice, at: now) { self.seal(ack, session) }
        }
        guard self.moveAt <= now else { return }
        self.moveAt = now + session.tactic.pause
        for _ in 0...self.dice.below(session.tactic.burst) { self.move(session, at: now) }
        if session.tactic.isLeech { self.leech(session) }
    }

    // MARK: - Coming and going

    private func shakeHands(at now: Instant) {
        if self.moveAt <= now {
            self.moveAt = .never
            self.handshakeBeganAt = now
            self.address = self.own[Int(self.dice.below(UInt64(self.own.count)))]
            var hello = Hello(instance: self.dice.next(), maximumPacketSize: 1_472)
            // Now and then no clock, or one that is behind.
            hello.unixMilliseconds = now.nanoseconds / 1_000_000 / (1 + self.dice.below(16) / 15)
            if self.dice.chance(1, in: 8) { hello.unixMilliseconds = 0 }
            let index = UInt32(1 + self.dice.below(UInt64(UInt32.max)))
            self.initiator.start(localIndex: index, routeIndex: 0, hello: hello, at: now)
        }
        while let count = self.initiator.nextPacket(into: self.buffer, at: now) {
            let packet = [UInt8](self.buffer[..<count])
            if self.initiations.count == 64 { self.initiations.removeFirst(32) }
            self.initiations.append(packet)
            // A copy that comes from elsewhere must not lead to keys for the address of the first.
            self.emit(packet, from: self.dice.chance(1, in: 4) ? self.anyAddress() : self.address)
        }
    }

    private func leave(_ session: HostileSession, at now: Instant) {
        if session.isOver {
            self.counts.expulsions += 1
        } else if session.tactic.saysGoodbye {
            var frames = FrameBytes()
            frames.append(frame: WireFrame.closeSession) { $0.append(UInt8(13)) }
            self.seal(frames, session)
        }
        self.session = nil
        self.ackAt = .never
        self.moveAt = now + .milliseconds(1 + self.dice.below(2_000))
    }

    /// Takes a packet of the server's that came to one of its own addresses.
    func receive(_ packet: UnsafeMutableRawBufferPointer, at address: Int, _ now: Instant) {
        self.mask.applyToHeader(packet)
        guard let header = RecordHeader(unmasked: UnsafeRawBufferPointer(packet)) else { return }
        switch header.recordType {
        case .response, .cookie:
            guard case .established(let keys) = self.initiator.receive(packet, at: now) else {
                return
            }
            self.initiator.cancel()
            let session = HostileSession(keys, tactic: .drawn(from: &self.dice), at: now)
            self.session = session
            self.counts.sessions += 1
            self.moveAt = now
            self.ackAt = now + session.tactic.ackDelay(&self.dice)
            self.prove(address)
            var frames = FrameBytes()
            frames.append(frame: WireFrame.ping) { _ in }
            if session.tactic.isLeech {
                session.openStream(&frames, &self.dice, service: Siege.floodService)
            }
            self.seal(frames, session, from: self.dice.chance(1, in: 4) ? self.anyAddress() : nil)
        case .data:
            _ = self.session?.receive(packet, header, at: address, now)
            self.answerChallenge()
        default:
            return
        }
    }

    /// Says back what came as a challenge: from where it came, or from a victim's address.
    private func answerChallenge() {
        guard let session = self.session, session.tactic.answersChallenges,
            let challenge = session.tokens.popLast()
        else { return }
        var frames = FrameBytes()
        frames.append(frame: WireFrame.path) {
            $0.append(UInt8(1))
            $0.append(UInt8(0))
            $0.append(challenge.token)
        }
        if session.tactic.moves.contains(.spoofedAddress), let victim = self.anyVictim() {
            self.seal(frames, session, from: victim)
        } else {
            self.prove(challenge.at)
            self.seal(frames, session, from: challenge.at)
        }
    }

    // MARK: - Deeds

    private func anyVictim() -> Int? {
        self.victims.isEmpty ? nil : self.victims[Int(self.dice.below(UInt64(self.victims.count)))]
    }

    private func move(_ session: HostileSession, at now: Instant) {
        let moves = session.tactic.moves
        let move = moves[Int(self.dice.below(UInt64(moves.count)))]
        self.counts.moves[Int(move.rawValue)] += 1
        switch move {
        case .spoofedAddress: return self.moveAway(session)
        case .replay:
            guard !session.records.isEmpty else { break }
            let record = session.records[Int(self.dice.below(UInt64(session.records.count)))]
            return self.emit(record, from: self.anyAddress())
        case .noise:
            let count = 1 + Int(self.dice.below(1_400))
            let bytes = UnsafeMutableRawBufferPointer(rebasing: self.buffer[..<count])
            Pattern(key: self.dice.next()).fill(bytes, from: 0)
            return self.emit([UInt8](bytes), from: self.anyAddress())
        case .initiationReplay:
            guard !self.initiations.isEmpty else { break }
            let count = UInt64(self.initiations.count)
            let record = self.initiations[Int(self.dice.below(count))]
            return self.emit(record, from: self.anyAddress())
        case .initiation: return self.beginAnother(at: now)
        default: break
        }
        var frames = FrameBytes()
        session.write(move, to: &frames, &self.dice)
        let flips = session.tactic.flips
        if flips > 0, !frames.bytes.isEmpty, self.dice.chance(1, in: flips) {
            frames.flip(bit: Int(self.dice.below(UInt64(frames.bytes.count * 8))))
        }
        self.seal(frames, session, isForged: move == .forgery)
    }

    /// A second handshake beside the session, which is abandoned.
    private func beginAnother(at now: Instant) {
        let index = UInt32(1 + self.dice.below(UInt64(UInt32.max)))
        let route = self.dice.chance(1, in: 2) ? self.session?.keys.remoteIndex ?? 0 : 0
        var hello = Hello(instance: self.dice.next(), maximumPacketSize: 1_472)
        hello.unixMilliseconds = now.nanoseconds / 1_000_000
        self.initiator.start(localIndex: index, routeIndex: route, hello: hello, at: now)
        guard let count = self.initiator.nextPacket(into: self.buffer, at: now) else { return }
        self.emit([UInt8](self.buffer[..<count]), from: self.anyAddress())
        self.initiator.cancel()
    }

    private func moveAway(_ session: HostileSession) {
        if self.dice.chance(1, in: 2) {
            self.address = self.own[Int(self.dice.below(UInt64(self.own.count)))]
        }
        var frames = FrameBytes()
        frames.append(frame: WireFrame.ping) { _ in }
        self.seal(frames, session, from: self.anyAddress())
    }

    private func anyAddress() -> Int {
        if self.dice.chance(1, in: 2), let victim = self.anyVictim() { return victim }
        return self.own[Int(self.dice.below(UInt64(self.own.count)))]
    }

    /// Lets the server send on and on.
    private func leech(_ session: HostileSession) {
        guard !session.streams.isEmpty, self.dice.chance(1, in: 4) else { return }
        var frames = FrameBytes()
        session.credit += 65_536
        frames.append(frame: WireFrame.window) {
            $0.append(UInt32(1))
            $0.append(session.credit)
        }
        self.seal(frames, session)
    }

    // MARK: - Packets

    private func seal(
        _ frames: FrameBytes,
        _ session: HostileSession,
        from source: Int? = nil,
        isForged: Bool = false
    ) {
        guard let base = self.buffer.baseAddress else { return }
        let count = min(frames.bytes.count, Self.packetLimit)
        let text = self.buffer[RecordHeader.byteCount...].prefix(count)
        UnsafeMutableRawBufferPointer(rebasing: text).copyBytes(from: frames.bytes[..<count])
        session.keys.keys.seal(
            base,
            plaintextByteCount: count,
            receiverIndex: session.keys.remoteIndex,
            counter: session.nextNumber
        )
        // Numbers need not be used one by one.
        session.nextNumber += self.dice.chance(1, in: 100) ? 1 + self.dice.below(100) : 1
        var packet = [UInt8](self.buffer[..<(count + RecordHeader.overhead)])
        if isForged, count > 0 {
            packet[RecordHeader.byteCount + Int(self.dice.below(UInt64(count)))] ^= 1
        } else if session.tactic.moves.contains(.replay) {
            if session.records.count == 32 { session.records.removeFirst(16) }
            session.records.append(packet)
        }
        self.emit(packet, from: source ?? self.address)
    }

    private func emit(_ packet: [UInt8], from source: Int) {
        self.counts.packets += 1
        self.send(packet, source)
    }
}
