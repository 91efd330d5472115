public import Primitives
public import Sealing

/// Making the keys of a handshake post-quantum, and what an end does that insists on it.
extension Engine {
    /// Client: a handshake was made whose keys both ends strengthen.
    func offerRatchet(
        _ session: PeerSession,
        _ secret: RatchetSecret,
        handshake: UInt32,
        at now: Instant
    ) {
        guard let key = self.postQuantum.mechanism?.generate() else {
            preconditionFailure("agreed on without a mechanism")
        }
        let index = self.newIndex()
        self.indices.insert(index, session.slot)
        let ratchet = Ratchet(
            secret,
            handshake: handshake,
            offering: key,
            localIndex: index,
            at: now
        )
        if let retired = session.leg.keys.begin(ratchet) {
            self.indices.remove(retired)
            session.leg.keys.ratchetEnded(hasFailed: true)
        }
    }

    /// Acts on the peer's message once all of it is here.
    func advanceRatchet(_ session: PeerSession, at now: Instant) {
        guard let ratchet = session.leg.keys.ratchet, ratchet.incoming?.isComplete == true else {
            return
        }
        switch self.role {
        case .client(let client): self.finish(ratchet, of: session, client, at: now)
        case .server(let server): self.answer(ratchet, of: session, server, at: now)
        }
    }

    private func finish(
        _ ratchet: Ratchet,
        of session: PeerSession,
        _ client: ClientRole,
        at now: Instant
    ) {
        guard let (keys, remoteIndex) = ratchet.finish() else { return self.board.drop(.ratchet) }
        let keypair = Keypair(
            strengthened: keys,
            local: ratchet.localIndex,
            remote: remoteIndex,
            at: now
        )
        _ = session.leg.keys.endRatchet()
        session.leg.keys.ratchetEnded(hasFailed: false)
        if let retired = session.leg.keys.promote(keypair) { self.indices.remove(retired) }
        // Shows the server that this end has them.
        session.ping()
        let (wasHeldBack, isFirst) = session.leg.keys.strengthened()
        if wasHeldBack { self.announce(session, client, at: now) }
        if isFirst { self.board.post(.sessionStrengthened(session.handle, session.info)) }
    }

    private func answer(
        _ ratchet: Ratchet,
        of session: PeerSession,
        _ server: ServerRole,
        at now: Instant
    ) {
        // The client has this handshake's answer, or it could offer nothing for it.
        server.responder.confirmed(ratchet.handshake)
        let index = self.newIndex()
        guard let mechanism = self.postQuantum.mechanism,
            let (keys, remoteIndex) = ratchet.answer(by: mechanism, localIndex: index)
        else { return self.board.drop(.ratchet) }
        let keypair = Keypair(strengthened: keys, local: index, remote: remoteIndex, at: now)
        if let replaced = session.leg.keys.expect(keypair) { self.indices.remove(replaced) }
        self.indices.insert(index, session.slot)
    }

    /// Server: `session` seals under its newest keys from now on.
    func noteConfirmed(_ session: PeerSession) {
        guard session.leg.keys.current.isPostQuantum else { return }
        if session.leg.keys.ratchet?.localIndex == session.leg.keys.current.localIndex {
            _ = session.leg.keys.endRatchet()
        }
        let (wasHeldBack, isFirst) = session.leg.keys.strengthened()
        if wasHeldBack { self.board.post(.sessionUp(session.handle, session.info)) }
        if isFirst { self.board.post(.sessionStrengthened(session.handle, session.info)) }
    }

    /// A session that an end insists on strengthening, and that has not been for too long.
    func giveUp(_ session: PeerSession, at now: Instant) {
        session.sendAlone(
            CloseSessionFrame(reason: .postQuantum),
            to: session.leg.path.address,
            at: now
        )
        let server = session.leg.path.proven
        self.forget(session)
        guard case .client(let client) = self.role, client.refused(.postQuantum, at: now) else {
            return
        }
        self.board.post(.connectFailed(.postQuantum, server: server))
    }

    /// Ends the exchange of a session that is over.
    func retireRatchet(_ session: PeerSession) {
        if let index = session.leg.keys.endRatchet() { self.indices.remove(index) }
    }

    /// Reload: the next handshakes are made so; where that insists on post-quantum keys, sessions
    /// without them end now.
    public func replace(postQuantum policy: PostQuantumPolicy, at now: Instant) {
        guard self.postQuantum.policy != policy else { return }
        precondition(policy == .off || self.postQuantum.mechanism != nil)
        self.postQuantum.policy = policy
        switch self.role {
        case .server(let server): server.responder.postQuantum = policy
        case .client(let client):
            client.initiator.postQuantum = policy
            client.restartHandshake()
        }
        guard policy == .require else { return }
        for session in self.sessions {
            guard let session, !session.leg.keys.isHeldBack else { continue }
            if let dropped = session.leg.keys.dropClassicalNext() {
                self.indices.remove(dropped)
            }
            guard !session.leg.keys.current.isPostQuantum else { continue }
            guard session.isConfirmed else {
                self.forget(session)
                continue
            }
            self.dismiss(session, reason: .postQuantum, at: now)
        }
    }
}
