public import Primitives
import Recovery
public import Sealing

/// What each peer may hold, and who gives way when there is too little for all.
extension Engine {
    /// What the peer behind a session may hold; `nil` when it is no peer any more.
    func quota(of session: PeerSession) -> PeerQuota? {
        guard case .server(let server) = self.role,
            server.directory.peers.indices.contains(session.peer.index)
        else { return nil }
        return server.directory.peers[session.peer.index].quota
    }

    /// Ends a session and tells its peer why.
    func dismiss(_ session: PeerSession, reason: ResetReason, at now: Instant) {
        session.sendAlone(
            CloseSessionFrame(reason: reason),
            to: session.leg.path.address,
            at: now
        )
        self.end(session, reason: reason)
    }

    // MARK: - Sessions

    /// How long a silent session may take to answer when its client wants another one.
    private static let answerTime = Instant.Interval.milliseconds(1500)
    /// How long an answer is good for: longer than a client takes to ask again.
    private static let trust = Instant.Interval.milliseconds(500)

    /// Whether a session of this client may be dead, so that a newcomer should wait and see.
    ///
    /// A client that was killed comes back before its sessions have expired, and perhaps at once:
    /// each of them has to say something before a newcomer is refused.
    func question(_ key: PublicKey, at now: Instant) -> Bool {
        guard case .server(let server) = self.role else { return false }
        let own = self.sessions.compactMap { session in
            session.flatMap { $0.isConfirmed && $0.peer.clientKey == key ? $0 : nil }
        }
        if server.settings.accounts(key).held(.session) > own.count {
            self.board.post(.peerCrowded(key))
        }
        return own.reduce(false) { self.question($1, at: now) || $0 }
    }

    /// Another worker has a newcomer of this client and no place: sessions here that are dead
    /// should end.
    public func questionSessions(of key: PublicKey, at now: Instant) {
        guard case .server = self.role else { return }
        for case let session? in self.sessions where session.peer.clientKey == key {
            _ = self.question(session, at: now)
        }
    }

    private func question(_ session: PeerSession, at now: Instant) -> Bool {
        let hasAnswered = session.vouchedAt.map { now.since($0) < Self.trust } ?? false
        guard session.isConfirmed, !hasAnswered else { return false }
        guard session.suspectAt == nil else { return true }
        session.ping()
        session.suspectAt = now + max(Self.answerTime, session.leg.roundTrip * 4)
        self.touch(session)
        return true
    }

    // MARK: - Rates

    /// The number of a peer's sessions has changed: each gets its part of the peer's rates.
    func shareRates(of session: PeerSession, at now: Instant) {
        guard let account = session.account else { return }
        for other in self.sessions {
            guard let other, other.account === account else { continue }
            self.applyRates(to: other, at: now)
        }
    }

    /// Gives a session its part of what its peer may send and be sent.
    func applyRates(to session: PeerSession, at now: Instant) {
        guard let quota = self.quota(of: session), let account = session.account else { return }
        assert(account.held(.session) >= 0)
        let parts = UInt64(max(account.held(.session), 1))
        session.rates.limit(to: quota.rateDown.map { $0 / parts }, at: now)
        session.rates.grant(quota.rateUp.map { $0 / parts }, at: now)
        session.rates.reviewAt =
            quota.rateDown == nil && quota.rateUp == nil ? .never : now + .seconds(1)
        if session.rates.isDue { self.touch(session) }
    }

    // MARK: - Streams and flows

    /// A flow of a peer at its limit gives way to the peer's next when it has been silent this
    /// long.
    private static let longSilence = Instant.Interval.seconds(10)

    /// A place for one more stream or flow, if the peer may hold more and room can be had.
    func place(_ kind: PeerQuota.Kind, for session: PeerSession, at now: Instant) -> Holding? {
        guard let quota = self.quota(of: session), let account = session.account else { return nil }
        if kind == .flow, account.held(.flow) >= quota.maximumFlows {
            _ = self.evictFlow(of: session, silentFor: Self.longSilence, at: now)
        }
        guard account.held(kind) < quota.limit(kind) else { return nil }
        guard self.makeRoom(kind, for: session, at: now) else { return nil }
        return Holding(kind, of: account, under: quota)
    }

    /// Whether there is room for one more; takes it from whoever holds most.
    private func makeRoom(
        _ kind: PeerQuota.Kind,
        for session: PeerSession,
        at now: Instant
    ) -> Bool {
        let isFull = { () -> Bool in
            self.board.streams.count + self.board.flows.count >= self.board.limits.maximumChannels
                || (kind == .flow ? self.board.flows.isFull : self.board.streams.isFull)
        }
        guard isFull(), let own = session.account?.channels else { return true }
        let isEitherKind = kind == .flow ? !self.board.flows.isFull : !self.board.streams.isFull
        var most = own + 1
        var victimFlow: FlowPointer?
        var victimStream: StreamPointer?
        if kind == .flow || isEitherKind {
            self.board.flows.sample { flow in
                let held = self.holder(flow.pointee.owner)?.channels ?? 0
                let isOlder = victimFlow.map { flow.pointee.lastActivity < $0.pointee.lastActivity }
                guard held > most || held == most && isOlder == true else { return }
                most = held
                victimFlow = flow
            }
        }
        if kind == .stream || isEitherKind {
            self.board.streams.sample { stream in
                let held = self.holder(stream.pointee.owner)?.channels ?? 0
                let isOlder = victimStream.map { stream.pointee.openedAt < $0.pointee.openedAt }
                guard held > most || held == most && isOlder == true else { return }
                most = held
                victimStream = stream
            }
        }
        if let victimStream {
            self.evict(victimStream)
        } else if let victimFlow {
            self.evict(victimFlow, at: now)
        } else if kind == .flow {
            // Nobody holds more: only one's own can make room.
            return self.evictFlow(of: session, silentFor: .seconds(1), at: now) && !isFull()
        }
        return !isFull()
    }

    private func holder(_ owner: SessionHandle?) -> (any PeerAccount)? {
        self.session(owner)?.account
    }

    /// Ends a stream at once, its slot included; the word about it needs none.
    private func evict(_ stream: StreamPointer) {
        guard let session = self.session(stream.pointee.owner) else { return }
        self.board.drop(.streamEvicted)
        session.refuse(ChannelID(ChannelKind.stream, stream.pointee.conversation), .limit)
        session.streams.cut(stream, .limit)
        self.touch(session)
    }

    private func evict(_ flow: FlowPointer, at now: Instant) {
        self.board.drop(.flowEvicted)
        self.board.post(.flowClosed(flow.pointee.handle, .limit))
        self.discard(flow, telling: .limit)
    }

    /// Makes room among the flows of one session.
    private func evictFlow(
        of session: PeerSession,
        silentFor patience: Instant.Interval,
        at now: Instant
    ) -> Bool {
        guard let victim = self.leastUsedFlow(of: session, silentFor: patience, at: now) else {
            return false
        }
        assert(session.flows.owns(victim), "another peer's flow gives way")
        self.evict(victim, at: now)
        return true
    }
}

extension PeerAccount {
    /// Streams and flows: what takes a descriptor each.
    var channels: Int { self.held(.stream) + self.held(.flow) }
}
