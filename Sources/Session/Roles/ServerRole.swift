public import Primitives
import Sealing

/// What only a server engine has: who may come, and the handshakes of those who do.
final class ServerRole {
    let settings: ServerSettings
    var directory: PeerDirectory
    let responder: HandshakeResponder

    init(_ settings: ServerSettings, mask: HeaderMask, entropy: EntropySource) {
        self.settings = settings
        self.directory = settings.directory
        self.responder = HandshakeResponder(
            local: settings.privateKey,
            mask: mask,
            cipher: settings.cipher,
            entropy: entropy
        )
        self.responder.hello.maximumPacketSize = UInt16(
            clamping: settings.maximumPacketSize ?? 1472
        )
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
            decide: { key, hello in self.decide(server, key, hello, route) },
            newIndex: { self.newIndex() }
        )
        switch outcome {
        case .dropped(let reason):
            let isLimit = reason == .sourceLimit || reason == .clientLimit
            self.board.drop(isLimit ? .handshakeLimited : .handshakeRefused)
        case .reply(let count):
            self.board.send(UnsafeRawBufferPointer(rebasing: self.scratch[..<count]), to: source)
        case .accepted(let established, let client, let count):
            self.board.send(UnsafeRawBufferPointer(rebasing: self.scratch[..<count]), to: source)
            self.accept(established, client, server, route, from: source, at: now)
        }
    }

    /// Changes nothing: the initiation may be a recording.
    private func decide(
        _ server: ServerRole,
        _ key: PublicKey,
        _ hello: Hello,
        _ route: UInt32
    ) -> ResponderDecision {
        guard let index = server.directory.index(of: key) else { return .refuse(.unknownKey) }
        guard !server.directory.peers[index].services.isEmpty else { return .refuse(.noPermission) }
        if self.session(route, of: key, instance: hello.instance) != nil {
            return .accept(continues: true)
        }
        let count = self.sessions.reduce(0) { $0 + ($1?.isConfirmed == true ? 1 : 0) }
        return count < server.settings.maximumSessions
            ? .accept(continues: false) : .refuse(.limit)
    }

    /// The session behind a receiver index, if it is that client's.
    private func session(
        _ index: UInt32,
        of key: PublicKey,
        instance: UInt64
    ) -> PeerSession? {
        let slot = self.indices[index]
        guard index != 0, slot != IndexTable.none, let session = self.sessions[Int(slot)],
            session.instance == instance, session.clientKey == key
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
            if let waiting = session.next { self.indices.remove(waiting.localIndex) }
            session.next = PeerSession.Keypair(established, at: now)
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
        if let index = server.directory.index(of: client) {
            session.peerIndex = index
            session.peerName = server.directory.peers[index].name
        }
    }

    /// Unconfirmed sessions are bounded, per client and in all; the oldest makes room.
    private func limitPending(of client: PublicKey) {
        var own: [PeerSession] = []
        var all: [PeerSession] = []
        for session in self.sessions {
            guard let session, !session.isConfirmed else { continue }
            all.append(session)
            if session.clientKey == client { own.append(session) }
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
    func confirm(_ session: PeerSession, _ keypair: PeerSession.Keypair, at now: Instant) {
        guard keypair === session.next || !session.isConfirmed else { return }
        if case .server(let server) = self.role { server.responder.confirmed(keypair.localIndex) }
        if keypair === session.next {
            if let retired = session.promote(keypair) { self.indices.remove(retired) }
        }
        guard !session.isConfirmed else { return }
        session.isConfirmed = true
        self.board.post(.sessionUp(session.handle, session.info))
        // The client's earlier process, if this is its successor, will not answer any more.
        for other in self.sessions {
            guard let other, other !== session, other.isConfirmed,
                other.clientKey == session.clientKey
            else { continue }
            other.isPingDue = true
            other.suspectAt = now + .seconds(3)
            self.touch(other)
        }
    }

    /// Server reload: ends the sessions of peers that are gone, and what is no longer allowed.
    public func replace(directory: PeerDirectory, at now: Instant) {
        guard case .server(let server) = self.role else { return }
        server.directory = directory
        for session in self.sessions {
            guard let session, let key = session.clientKey else { continue }
            guard let index = directory.index(of: key) else {
                session.sendAlone(FrameType.closeSession, to: session.path.address, at: now) {
                    $0.write(ResetReason.reload.rawValue)
                }
                self.end(session, reason: .reload)
                continue
            }
            session.peerIndex = index
            session.peerName = directory.peers[index].name
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
        for slot in 0..<UInt32(self.board.streams.slotCount) {
            guard let stream = self.board.streams.live(slot), !stream.pointee.isReset,
                stream.pointee.session == Int32(session.slot), !isAllowed(stream.pointee.request)
            else { continue }
            session.announceEnd(stream, .reload)
            session.reset(stream, reason: .serviceForbidden)
        }
        for slot in 0..<UInt32(self.board.flows.slotCount) {
            guard let flow = self.board.flows.live(slot), flow.pointee.channel == nil,
                flow.pointee.session == Int32(session.slot), !isAllowed(flow.pointee.request)
            else { continue }
            session.refuse(ChannelKind.flow, flow.pointee.id, .serviceForbidden)
            session.detach(flow)
            self.board.post(.flowClosed(flow.pointee.handle, .reload))
            self.board.flows.release(flow)
        }
        self.touch(session)
    }

    // MARK: - What peers open

    private func permission(
        _ request: OpenRequest,
        _ session: PeerSession,
        _ server: ServerRole
    ) -> Result<PeerDirectory.Service, Refusal> {
        let peers = server.directory.peers
        guard
            let service = server.directory.service(request.service, request.serviceProtocol)
        else { return .failure(Refusal(reason: .serviceUnknown)) }
        guard peers.indices.contains(session.peerIndex),
            peers[session.peerIndex].mayUse(request.service)
        else { return .failure(Refusal(reason: .serviceForbidden)) }
        return .success(service)
    }

    func openStream(
        _ id: UInt32,
        _ request: OpenRequest,
        for session: PeerSession,
        at now: Instant
    ) {
        guard case .server(let server) = self.role else { return }
        var request = request
        switch self.permission(request, session, server) {
        case .success(let service):
            request.redundancy = service.redundancy
            let stream = self.board.streams.allocate(request, limits: self.board.limits, at: now)
            guard let stream else {
                self.board.drop(.streamLimit)
                session.refuse(ChannelKind.stream, id, .limit)
                return
            }
            session.openedStreams.insert(id)
            session.attach(stream, conversation: id)
            stream.pointee.isOpenAcknowledged = true
            if request.isCompressed, !service.allowsCompression {
                stream.pointee.compression = StreamCompression(mayCompress: false)
            }
            if request.serviceProtocol == .udp {
                self.openReliable(stream, request, for: session, at: now)
            } else {
                self.board.post(.streamOpened(stream.pointee.handle, session.handle, request))
            }
        case .failure(let refusal):
            // A stream that exists only to carry its RESET until that is acknowledged.
            request.isCompressed = false
            self.board.post(
                .openRefused(session.handle, session.info, request, refusal.reason)
            )
            let stream = self.board.streams.allocate(request, limits: self.board.limits, at: now)
            guard let stream else { return session.refuse(ChannelKind.stream, id, refusal.reason) }
            session.openedStreams.insert(id)
            session.attach(stream, conversation: id)
            session.reset(stream, reason: refusal.reason)
        }
    }

    /// A conversation that carries the datagrams of a reliable flow.
    private func openReliable(
        _ stream: StreamPointer,
        _ request: OpenRequest,
        for session: PeerSession,
        at now: Instant
    ) {
        guard let flow = self.board.flows.allocate(request, at: now) else {
            self.board.drop(.flowLimit)
            return session.reset(stream, reason: .limit)
        }
        session.attachReliable(flow, to: stream)
        self.board.post(.flowOpened(flow.pointee.handle, session.handle, request))
        self.armFlowSweep(request, at: now)
    }

    func openFlow(
        _ id: UInt32,
        _ request: OpenRequest,
        for session: PeerSession,
        at now: Instant
    ) {
        guard case .server(let server) = self.role else { return }
        session.openedFlows.insert(id)
        let permission = self.permission(request, session, server)
        if case .failure(let refusal) = permission {
            self.board.post(
                .openRefused(session.handle, session.info, request, refusal.reason)
            )
            return session.refuse(ChannelKind.flow, id, refusal.reason)
        }
        if self.board.flows.isFull { self.evictFlow(of: session, at: now) }
        guard let flow = self.board.flows.allocate(request, at: now) else {
            self.board.drop(.flowLimit)
            return session.refuse(ChannelKind.flow, id, .limit)
        }
        session.attach(flow, id: id)
        flow.pointee.isOpenAcknowledged = true
        if case .success(let service) = permission {
            flow.pointee.request.redundancy = service.redundancy
            flow.pointee.mayCompress = service.allowsCompression
        }
        self.board.post(.flowOpened(flow.pointee.handle, session.handle, request))
        self.armFlowSweep(request, at: now)
    }
}

/// A reason in the shape `Result` wants.
struct Refusal: Error { var reason: ResetReason }
