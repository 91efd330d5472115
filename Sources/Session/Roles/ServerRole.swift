public import Primitives
import Sealing

/// What only a server engine has: who may come, and the handshakes of those who do.
final class ServerRole {
    let settings: ServerSettings
    var directory: PeerDirectory
    let responder: HandshakeResponder
    /// Services without a backend for anybody new.
    var unserved: Set<ServiceName> = []

    init(_ settings: ServerSettings, mask: HeaderMask, entropy: EntropySource) {
        self.settings = settings
        self.directory = settings.directory
        self.responder = HandshakeResponder(
            local: settings.privateKey,
            mask: mask,
            cipher: settings.cipher,
            entropy: entropy
        )
        self.responder.postQuantum = settings.postQuantum.policy
        self.responder.hello.maximumPacketSize = UInt16(
            clamping: settings.maximumPacketSize ?? 1472
        )
    }

    /// From now on handshakes are made with what `directory` says; sessions that are up go on.
    func adopt(_ directory: PeerDirectory) {
        for peer in directory.peers {
            let before = self.directory.index(of: peer.publicKey)
            guard let before, self.directory.peers[before].presharedKey != peer.presharedKey else {
                continue
            }
            self.responder.forgetAnswers(to: peer.publicKey)
        }
        self.directory = directory
    }
}

extension Engine {
    func receiveInitiation(
        _ packet: UnsafeMutableRawBufferPointer,
        _ server: ServerRole,
        from source: SocketAddress,
        at now: Instant
    ) {
        // A client that has a session names it by the index it sends to; others name none.
        let route = RecordHeader(unmasked: UnsafeRawBufferPointer(packet))?.receiverIndex ?? 0
        let outcome = server.responder.receive(
            packet,
            from: source,
            reply: self.scratch,
            at: now,
            decide: { key, hello in self.decide(server, key, hello, route, at: now) },
            newIndex: { self.newIndex() }
        )
        switch outcome {
        case .dropped(let reason):
            let isLimit = reason == .sourceLimit || reason == .clientLimit
            self.board.drop(isLimit ? .handshakeLimited : .handshakeRefused)
        case .reply(let count):
            self.board.send(UnsafeRawBufferPointer(rebasing: self.scratch[..<count]), to: source)
        case .refused(let reason, let client, let count):
            self.board.send(UnsafeRawBufferPointer(rebasing: self.scratch[..<count]), to: source)
            let name = server.directory.peer(of: client)?.name
            self.board.post(.handshakeRefused(reason, client, peer: name, from: source))
        case .accepted(let established, let client, let count):
            self.board.send(UnsafeRawBufferPointer(rebasing: self.scratch[..<count]), to: source)
            self.accept(established, client, server, route, from: source, at: now)
        }
    }

    /// Changes nothing but to ask silent sessions for a word: the initiation may be a recording.
    private func decide(
        _ server: ServerRole,
        _ key: PublicKey,
        _ hello: Hello,
        _ route: UInt32,
        at now: Instant
    ) -> ResponderDecision {
        guard let peer = server.directory.peer(of: key) else { return .refuse(.unknownKey) }
        guard peer.quota.isEnabled else { return .refuse(.keyExpired) }
        guard !peer.services.isEmpty else { return .refuse(.noPermission) }
        if self.session(route, of: key, instance: hello.instance) != nil {
            return .accept(continues: true, presharedKey: peer.presharedKey)
        }
        if server.settings.accounts(key).held(.session) >= peer.quota.maximumSessions {
            return self.question(key, at: now) ? .wait : .refuse(.limit)
        }
        let count = self.sessions.reduce(0) { $0 + ($1?.isConfirmed == true ? 1 : 0) }
        return count < server.settings.maximumSessions
            ? .accept(continues: false, presharedKey: peer.presharedKey) : .refuse(.limit)
    }

    /// The session behind a receiver index, if it is that client's.
    private func session(
        _ index: UInt32,
        of key: PublicKey,
        instance: UInt64
    ) -> PeerSession? {
        let slot = self.indices[index]
        guard index != 0, slot != IndexTable.none, let session = self.sessions[Int(slot)],
            session.peer.instance == instance, session.peer.clientKey == key
        else { return nil }
        return session
    }

    /// Keeps the keys until the client has shown that it has them too.
    private func accept(
        _ established: EstablishedKeys,
        _ client: PublicKey,
        _ server: ServerRole,
        _ route: UInt32,
        from source: SocketAddress,
        at now: Instant
    ) {
        if established.continuesSession,
            let session = self.session(route, of: client, instance: established.peerHello.instance)
        {
            if let secret = established.ratchet {
                // What the client seals under meanwhile may be the next keys of now.
                let index = established.localIndex
                _ = session.leg.keys.begin(Ratchet(secret, handshake: index, at: now))
                return
            }
            _ = session.leg.keys.endRatchet()
            let keypair = Keypair(established, at: now)
            if let replaced = session.leg.keys.expect(keypair) { self.indices.remove(replaced) }
            self.indices.insert(established.localIndex, session.slot)
            return
        }
        self.limitPending(of: client)
        let session = self.makeSession(
            established,
            client: client,
            address: source,
            packetSizeLimit: server.settings.maximumPacketSize,
            congestion: server.settings.congestion,
            redundancy: server.settings.redundancy,
            at: now
        )
        if let secret = established.ratchet {
            let index = established.localIndex
            _ = session.leg.keys.begin(Ratchet(secret, handshake: index, at: now))
        }
        session.account = server.settings.accounts(client)
        if let index = server.directory.index(of: client) {
            session.peer.index = index
            session.peer.name = server.directory.peers[index].name
        }
    }

    /// Unconfirmed sessions are bounded, per client and in all; the oldest makes room.
    private func limitPending(of client: PublicKey) {
        var own: [PeerSession] = []
        var all: [PeerSession] = []
        for session in self.sessions {
            guard let session, !session.isConfirmed else { continue }
            all.append(session)
            if session.peer.clientKey == client { own.append(session) }
        }
        let isOver = { (list: [PeerSession], limit: Int) in list.count >= limit }
        var victim: PeerSession?
        if isOver(own, KeyLifetime.pendingPerClient) {
            victim = own.min { $0.createdAt < $1.createdAt }
        } else if isOver(all, KeyLifetime.pendingTotal) {
            victim = all.min { $0.createdAt < $1.createdAt }
        }
        if let victim { self.forget(victim) }
    }

    /// The first packet under new keys: the client has them.
    func confirm(_ session: PeerSession, _ keypair: Keypair, at now: Instant) {
        guard keypair === session.leg.keys.next || !session.isConfirmed else { return }
        if case .server(let server) = self.role { server.responder.confirmed(keypair.localIndex) }
        if keypair === session.leg.keys.next {
            if let retired = session.leg.keys.promote(keypair) { self.indices.remove(retired) }
            self.noteConfirmed(session)
        }
        guard !session.isConfirmed else { return }
        assert(!session.hasChannels, "a stranger has opened something")
        session.isConfirmed = true
        // Others of this client may have been confirmed since this one was let in.
        guard let quota = self.quota(of: session), let account = session.account,
            let holding = Holding(.session, of: account, under: quota)
        else {
            self.dismiss(session, reason: .limit, at: now)
            return
        }
        session.holding = consume holding
        if !session.leg.keys.isHeldBack {
            self.board.post(.sessionUp(session.handle, session.info))
        }
        self.tellServices(to: session)
        self.shareRates(of: session, at: now)
        // The client's earlier process, if this is its successor, will not answer any more.
        for other in self.sessions {
            guard let other, other !== session, other.isConfirmed,
                other.peer.clientKey == session.peer.clientKey
            else { continue }
            other.ping()
            other.suspectAt = now + .seconds(3)
            self.touch(other)
        }
    }

    /// Server reload: ends the sessions of peers that are gone, and what is no longer allowed.
    public func replace(directory: PeerDirectory, at now: Instant) {
        guard case .server(let server) = self.role else { return }
        let forbidsMore = server.directory.services.contains { service in
            service.allowsCompression
                && directory.service(service.name, service.serviceProtocol)?.allowsCompression
                    != true
        }
        server.adopt(directory)
        for session in self.sessions {
            guard let session, let key = session.peer.clientKey else { continue }
            guard let index = directory.index(of: key) else {
                self.dismiss(session, reason: .reload, at: now)
                continue
            }
            session.peer.index = index
            session.peer.name = directory.peers[index].name
            guard directory.peers[index].quota.isEnabled else {
                self.dismiss(session, reason: .keyExpired, at: now)
                continue
            }
            if forbidsMore { session.control.withdrawDeflating() }
            self.tellServices(to: session)
            self.applyRates(to: session, at: now)
            self.enforce(directory, directory.peers[index], on: session, at: now)
        }
    }

    private func enforce(
        _ directory: PeerDirectory,
        _ peer: Peer,
        on session: PeerSession,
        at now: Instant
    ) {
        let isAllowed = { (request: OpenRequest) in
            peer.mayUse(request.service)
                && directory.service(request.service, request.serviceProtocol) != nil
        }
        for slot in self.board.streams.slots {
            guard let stream = self.board.streams.live(slot), !stream.pointee.isReset,
                session.streams.owns(stream), !isAllowed(stream.pointee.request)
            else { continue }
            session.streams.fail(stream, .serviceForbidden, telling: .reload)
        }
        for slot in self.board.flows.slots {
            guard let flow = self.board.flows.live(slot), flow.pointee.carrier == nil,
                session.flows.owns(flow), !isAllowed(flow.pointee.request)
            else { continue }
            session.refuse(ChannelID(ChannelKind.flow, flow.pointee.id), .serviceForbidden)
            self.board.post(.flowClosed(flow.pointee.handle, .reload))
            session.flows.close(flow)
        }
        self.touch(session)
    }
}
