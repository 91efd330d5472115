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
        let service: PeerDirectory.Service
        switch self.permission(request, session, server) {
        case .success(let allowed): service = allowed
        case .failure(let refusal):
            return self.refuse(ChannelKind.stream, id, request, refusal.reason, session)
        }
        request.redundancy = service.redundancy
        guard session.mayOpen(request), let holding = self.place(.stream, for: session, at: now),
            let stream = self.board.makeStream(request, at: now)
        else {
            self.board.drop(.streamLimit)
            return self.refuse(ChannelKind.stream, id, request, .limit, session)
        }
        stream.pointee.holding = consume holding
        session.openedStreams.insert(id)
        session.attach(stream, conversation: id)
        stream.pointee.opening = .received
        if let compression = stream.pointee.compression {
            if service.allowsCompression {
                compression.allowDeflating()
                session.allowDeflating(ChannelKind.stream, id)
            } else {
                compression.forbidInflating()
            }
        }
        if request.serviceProtocol == .udp {
            self.openReliable(stream, request, for: session, at: now)
        } else {
            self.board.post(.streamOpened(stream.pointee.handle, session.handle, request))
        }
    }

    /// Turns a request down and keeps nothing of it but the word that is owed.
    ///
    /// Without room for the word the packet is left unacknowledged: the request comes again.
    private func refuse(
        _ kind: UInt8,
        _ id: UInt32,
        _ request: OpenRequest,
        _ reason: ResetReason,
        _ session: PeerSession
    ) {
        guard session.refuse(kind, id, reason) else {
            session.mustComeAgain = true
            return
        }
        if kind == ChannelKind.flow {
            session.openedFlows.insert(id)
        } else {
            session.openedStreams.insert(id)
        }
        guard session.mayReportRefusal(at: self.board.now) else { return }
        self.board.post(.openRefused(session.handle, session.info, request, reason))
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
            if session.mayReportRefusal(at: now) {
                self.board.post(.openRefused(session.handle, session.info, request, .limit))
            }
            return session.reset(stream, reason: .limit)
        }
        flow.pointee.holding = consume holding
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
        let service: PeerDirectory.Service
        switch self.permission(request, session, server) {
        case .success(let allowed): service = allowed
        case .failure(let refusal):
            return self.refuse(ChannelKind.flow, id, request, refusal.reason, session)
        }
        guard let holding = self.place(.flow, for: session, at: now),
            let flow = self.board.makeFlow(request, at: now)
        else {
            self.board.drop(.flowLimit)
            return self.refuse(ChannelKind.flow, id, request, .limit, session)
        }
        flow.pointee.holding = consume holding
        session.openedFlows.insert(id)
        session.attach(flow, id: id)
        flow.pointee.opening = .received
        flow.pointee.request.redundancy = service.redundancy
        flow.pointee.mayCompress = service.allowsCompression
        flow.pointee.inflation.mayInflate = service.allowsCompression
        if request.isCompressed, service.allowsCompression {
            session.allowDeflating(ChannelKind.flow, id)
        }
        self.board.post(.flowOpened(flow.pointee.handle, session.handle, request))
        self.armFlowSweep(request, at: now)
    }
}

/// A reason in the shape `Result` wants.
struct Refusal: Error { var reason: ResetReason }
