import Primitives

/// What peers ask a server to open: permissions, limits, places.
extension Engine {
    private func permission(
        _ request: OpenRequest,
        _ session: PeerSession,
        _ server: ServerRole
    ) -> Result<PeerDirectory.Service, Refusal> {
        let peers = server.directory.peers
        guard
            let service = server.directory.service(request.service, request.serviceProtocol)
        else { return .failure(Refusal(reason: .serviceUnknown)) }
        guard peers.indices.contains(session.peer.index),
            peers[session.peer.index].mayUse(request.service)
        else { return .failure(Refusal(reason: .serviceForbidden)) }
        return .success(service)
    }

    /// Opens what a peer asks for, or refuses it; false when there is no room for the word about
    /// that, and the peer has to ask again.
    func open(_ frame: OpenFrame, for session: PeerSession, at now: Instant) -> Bool {
        precondition(session.isConfirmed, "a stranger opens nothing")
        return frame.channel.kind == ChannelKind.flow
            ? self.openFlow(frame.channel.id, frame.request, for: session, at: now)
            : self.openStream(frame.channel.id, frame.request, for: session, at: now)
    }

    private func openStream(
        _ id: UInt32,
        _ request: OpenRequest,
        for session: PeerSession,
        at now: Instant
    ) -> Bool {
        guard case .server(let server) = self.role else { return true }
        let channel = ChannelID(ChannelKind.stream, id)
        var request = request
        let service: PeerDirectory.Service
        switch self.permission(request, session, server) {
        case .success(let allowed): service = allowed
        case .failure(let refusal):
            return self.refuse(channel, request, refusal.reason, session)
        }
        request.redundancy = service.redundancy
        guard session.memory.mayOpen(request),
            let holding = self.place(.stream, for: session, at: now),
            let stream = self.board.makeStream(request, at: now)
        else {
            self.board.drop(.streamLimit)
            return self.refuse(channel, request, .limit, session)
        }
        stream.pointee.holding = consume holding
        session.streams.accept(stream, id)
        if let compression = stream.pointee.compression {
            if service.allowsCompression {
                compression.allowDeflating()
                session.control.allowDeflating(channel)
            } else {
                compression.forbidInflating()
            }
        }
        if request.serviceProtocol == .udp {
            self.openReliable(stream, request, for: session, at: now)
        } else {
            self.board.post(.streamOpened(stream.pointee.handle, session.handle, request))
        }
        return true
    }

    /// Turns a request down and keeps nothing of it but the word that is owed.
    ///
    /// False without room for the word: the packet is left unacknowledged, and the request comes
    /// again.
    private func refuse(
        _ channel: ChannelID,
        _ request: OpenRequest,
        _ reason: ResetReason,
        _ session: PeerSession
    ) -> Bool {
        guard session.refuse(channel, reason) else { return false }
        if channel.kind == ChannelKind.flow {
            session.flows.skip(channel.id)
        } else {
            session.streams.skip(channel.id)
        }
        guard session.control.takeReport(at: self.board.now) else { return true }
        self.board.post(.openRefused(session.handle, session.info, request, reason))
        return true
    }

    /// A conversation that carries the datagrams of a reliable flow.
    private func openReliable(
        _ stream: StreamPointer,
        _ request: OpenRequest,
        for session: PeerSession,
        at now: Instant
    ) {
        guard let holding = self.place(.flow, for: session, at: now),
            let flow = self.board.makeFlow(request, at: now)
        else {
            self.board.drop(.flowLimit)
            if session.control.takeReport(at: now) {
                self.board.post(.openRefused(session.handle, session.info, request, .limit))
            }
            return session.streams.reset(stream, reason: .limit)
        }
        flow.pointee.holding = consume holding
        session.streams.accept(flow, over: stream)
        self.board.post(.flowOpened(flow.pointee.handle, session.handle, request))
        self.armFlowSweep(request, at: now)
    }

    private func openFlow(
        _ id: UInt32,
        _ request: OpenRequest,
        for session: PeerSession,
        at now: Instant
    ) -> Bool {
        guard case .server(let server) = self.role else { return true }
        let channel = ChannelID(ChannelKind.flow, id)
        let service: PeerDirectory.Service
        switch self.permission(request, session, server) {
        case .success(let allowed): service = allowed
        case .failure(let refusal):
            return self.refuse(channel, request, refusal.reason, session)
        }
        guard let holding = self.place(.flow, for: session, at: now),
            let flow = self.board.makeFlow(request, at: now)
        else {
            self.board.drop(.flowLimit)
            return self.refuse(channel, request, .limit, session)
        }
        flow.pointee.holding = consume holding
        session.flows.accept(flow, id, under: service)
        if request.isCompressed, service.allowsCompression {
            session.control.allowDeflating(channel)
        }
        self.board.post(.flowOpened(flow.pointee.handle, session.handle, request))
        self.armFlowSweep(request, at: now)
        return true
    }
}

/// A reason in the shape `Result` wants.
struct Refusal: Error { var reason: ResetReason }
