public import Primitives
import Recovery
import Sealing

/// Packets from the network.
extension Engine {
    /// Takes one UDP payload; it is decrypted in place.
    ///
    /// `isLate` says that it has waited for its turn (``Disposition/later(session:)``).
    @discardableResult
    public func receive(
        _ packet: UnsafeMutableRawBufferPointer,
        from source: SocketAddress,
        at now: Instant,
        isLate: Bool = false
    ) -> Disposition {
        self.board.now = now
        guard packet.count >= RecordHeader.overhead else {
            self.board.drop(.malformed)
            return .consumed
        }
        self.mask.applyToHeader(packet)
        guard let header = RecordHeader(unmasked: UnsafeRawBufferPointer(packet)) else {
            self.board.drop(.malformed)
            return .consumed
        }
        switch header.recordType {
        case .data:
            return self.receiveData(packet, header, from: source, isLate: isLate, at: now)
        case .initiation:
            guard case .server(let server) = self.role else { break }
            if header.receiverIndex != 0,
                let foreign = self.foreignOwner(of: header.receiverIndex),
                self.isColleague(foreign, server)
            {
                self.mask.applyToHeader(packet)
                return foreign
            }
            self.receiveInitiation(packet, server, from: source, at: now)
            return .consumed
        case .response, .cookie:
            guard case .client(let client) = self.role else { break }
            self.receiveAnswer(packet, client, from: source, at: now)
            return .consumed
        case nil:
            break
        }
        self.board.drop(.malformed)
        return .consumed
    }

    private func foreignOwner(of index: UInt32) -> Disposition? {
        let owner = self.indexer.owner(of: index)
        guard owner.worker != self.worker || owner.generation != self.generation else { return nil }
        return .foreign(worker: owner.worker, generation: owner.generation)
    }

    /// Whether an initiation for that owner should go there.
    ///
    /// The index may be a former process's and mean nothing now; then whoever got the packet
    /// answers it.
    private func isColleague(_ owner: Disposition, _ server: ServerRole) -> Bool {
        guard case .foreign(let worker, let generation) = owner else { return false }
        return generation == self.generation && worker < server.settings.workerCount
    }

    private func receiveData(
        _ packet: UnsafeMutableRawBufferPointer,
        _ header: RecordHeader,
        from source: SocketAddress,
        isLate: Bool,
        at now: Instant
    ) -> Disposition {
        let slot = self.indices[header.receiverIndex]
        guard slot != IndexTable.none, let session = self.sessions[Int(slot)],
            let keypair = session.leg.keys.pair(header.receiverIndex, at: now)
        else {
            if case .server = self.role, let foreign = self.foreignOwner(of: header.receiverIndex) {
                self.mask.applyToHeader(packet)
                return foreign
            }
            self.board.drop(.unknownSession)
            return .consumed
        }
        guard !self.work.mustWait(slot, isLate: isLate) else {
            self.mask.applyToHeader(packet)
            return .later(session: slot)
        }
        guard session.leg.isFresh(header.counter) else {
            self.board.drop(.replayed)
            return .consumed
        }
        guard keypair.keys.open(packet, counter: header.counter) else {
            self.board.drop(.unauthentic)
            return .consumed
        }
        session.leg.accept(header.counter)
        assert(!session.leg.isFresh(header.counter), "it would be taken twice")
        guard session.rates.admit(packet.count, at: now) else {
            self.board.drop(.rateLimited)
            return .consumed
        }
        session.leg.countReceived(packet.count)
        self.work.charge(slot, for: Self.plaintext(of: packet))
        if case .server = self.role {
            if keypair !== session.leg.keys.current || !session.isConfirmed {
                self.confirm(session, keypair, at: now)
                // One too many is dismissed: what else its packet says is of no session.
                guard self.sessions[Int(session.slot)] === session else { return .consumed }
            }
            self.follow(
                session,
                to: source,
                number: header.counter,
                byteCount: packet.count,
                at: now
            )
        }
        let plaintext = Self.plaintext(of: packet)
        let received = ReceivedPacket(plaintext, number: header.counter, from: source)
        self.take(received, of: session, at: now)
        return .consumed
    }

    /// Takes the frames of a packet that was authentic, new and within its peer's rate.
    private func take(_ packet: ReceivedPacket, of session: PeerSession, at now: Instant) {
        var packet = packet
        while let frame = session.receive(&packet, at: now) {
            if !self.open(frame, for: session, at: now) { packet.mustComeAgain = true }
        }
        let consequence = session.took(packet, at: now)
        self.endDoubt(session)
        self.act(on: consequence, of: session, at: now)
    }

    private func act(
        on consequence: PeerSession.Consequence,
        of session: PeerSession,
        at now: Instant
    ) {
        switch consequence {
        case .none:
            self.advanceRatchet(session, at: now)
            self.touch(session)
        case .closed(.postQuantum) where session.leg.keys.isHeldBack: self.giveUp(session, at: now)
        case .closed(let reason): self.end(session, reason: reason)
        case .violated: self.expel(session, at: now)
        }
    }

    /// Ends the session of a peer that acknowledges what it never received.
    private func expel(_ session: PeerSession, at now: Instant) {
        self.board.drop(.protocolViolation)
        session.sendAlone(
            CloseSessionFrame(reason: .protocolViolation),
            to: session.leg.path.address,
            at: now
        )
        self.end(session, reason: .protocolViolation)
    }

    private static func plaintext(
        of packet: UnsafeMutableRawBufferPointer
    ) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            rebasing: packet[RecordHeader.byteCount..<packet.count - RecordHeader.tagByteCount]
        )
    }

    /// Server: the client's address may change under an authentic packet that is newer than all.
    private func follow(
        _ session: PeerSession,
        to source: SocketAddress,
        number: UInt64,
        byteCount: Int,
        at now: Instant
    ) {
        let challenge = session.leg.follow(
            to: source,
            number: number,
            byteCount: byteCount,
            drawing: Path.Challenge(token: self.entropy.next(), recall: self.entropy.next()),
            at: now
        )
        guard let challenge else { return }
        // Asked at both places: a thief of packets has to win a race he is behind in.
        self.challenge(session, source, challenge.token, at: now)
        self.challenge(session, session.leg.path.proven, challenge.recall, at: now)
    }

    private func challenge(
        _ session: PeerSession,
        _ address: SocketAddress,
        _ token: UInt64,
        at now: Instant
    ) {
        let frame = PathFrame(operation: PathFrame.challenge, token: token)
        session.sendAlone(frame, to: address, at: now)
    }
}
