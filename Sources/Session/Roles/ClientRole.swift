public import Primitives
import Recovery
public import Sealing

/// What only a client engine has: a server to reach, and things that wait until it is reached.
final class ClientRole {
    let settings: ClientSettings
    let initiator: HandshakeInitiator
    /// This end's name for its session: a server that still has it continues it.
    ///
    /// Every session gets a new one, because a continued one has to be had by both.
    var instance: UInt64
    /// In the order to be tried, each with its addresses, of which the first that answers wins.
    var servers: [[SocketAddress]]
    var serverPlace = 0
    /// What the handshake under way is sent to.
    var targets: [SocketAddress] = []
    var session: PeerSession?
    /// Where ``session`` is, among ``servers``.
    var sessionPlace = 0
    /// Since when ``session`` owes a word for so long that other servers are tried beside it.
    private(set) var doubtedSince: Instant?
    /// Another server's answer, which counts once the doubted one has had its last chance.
    var candidate: Candidate?
    /// The address that said no last.
    private(set) var lastRefusing: SocketAddress?
    /// Where the last session was.
    var lastServer: SocketAddress?
    /// Streams opened before there was a session, oldest first.
    var waiting: [StreamHandle] = []
    /// When a refused or failed attempt may be repeated.
    private var retryAt = Instant.never
    private var lastSilence: Instant?
    private var reports = OutageReports()
    private var isStopped = false
    private var attemptStartedAt: Instant

    struct Candidate {
        let established: EstablishedKeys
        let source: SocketAddress
        let acceptAt: Instant
    }

    /// The earliest that an initiation is repeated.
    static let firstRetry = Instant.Interval.milliseconds(200)
    /// Silence after which the log is told, and the next server tried.
    static let silence = Instant.Interval.milliseconds(2500)
    private static let refusalPause = Instant.Interval.seconds(5)

    init(
        _ settings: ClientSettings,
        mask: HeaderMask,
        entropy: EntropySource,
        at now: Instant
    ) {
        self.settings = settings
        self.servers = settings.servers
        self.instance = entropy.next()
        self.attemptStartedAt = now
        self.initiator = HandshakeInitiator(
            local: settings.privateKey,
            remote: settings.serverPublicKey,
            mask: mask,
            cipher: settings.cipher,
            entropy: entropy
        )
        self.initiator.presharedKey = settings.presharedKey
        self.initiator.postQuantum = settings.postQuantum.policy
        self.retryAt = now
    }

    /// Where the last initiation went.
    var server: SocketAddress {
        self.targets.isEmpty
            ? self.addresses.first ?? SocketAddress(ipv4: 0, port: 0)
            : self.targets[min(self.initiator.addresses.index, self.targets.count - 1)]
    }

    /// Of the server that is tried.
    var addresses: [SocketAddress] {
        self.servers.isEmpty ? [] : self.servers[self.serverPlace % self.servers.count]
    }

    var deadline: Instant {
        guard !self.isStopped else { return .never }
        var earliest = self.waitingDeadline
        if self.initiator.isActive {
            earliest = min(earliest, self.initiator.deadline, self.silenceDeadline)
        } else {
            earliest = min(earliest, self.retryAt)
        }
        if let session = self.session {
            earliest = min(earliest, self.rekeyDeadline(session), self.deathDeadline(session))
            earliest = min(earliest, self.doubtDeadline(session))
        }
        return min(earliest, self.candidate?.acceptAt ?? .never)
    }

    private var waitingDeadline: Instant {
        self.waiting.isEmpty ? .never : self.waitingSince + self.settings.connectTimeout
    }

    /// When the oldest waiting stream was opened.
    var waitingSince = Instant.never

    private var silenceDeadline: Instant {
        guard let first = self.initiator.firstSentAt else { return .never }
        return max(first, self.lastSilence ?? first) + Self.silence
    }

    /// A rekey is a new handshake that the session survives.
    func rekeyDeadline(_ session: PeerSession) -> Instant {
        guard !self.initiator.isActive else { return .never }
        if let ratchet = session.leg.keys.ratchet {
            return ratchet.startedAt + Self.ratchetPatience(failed: session.leg.keys.failedRatchets)
        }
        if session.leg.keys.current.keys.needsRekey { return Instant(nanoseconds: 0) }
        return session.leg.keys.current.establishedAt + KeyLifetime.rekeyAfter
    }

    /// How long the server has to answer an offer before another handshake is made: from 5 to 80 s.
    private static func ratchetPatience(failed count: Int) -> Instant.Interval {
        .seconds(5 << UInt64(clamping: min(count, 4)))
    }

    /// The server owes an answer for so long that it may have forgotten us.
    func deathDeadline(_ session: PeerSession) -> Instant {
        guard !self.initiator.isActive, self.candidate == nil,
            let since = session.leg.liveness.unansweredSince
        else { return .never }
        return since + self.deathPatience(session)
    }

    func deathPatience(_ session: PeerSession) -> Instant.Interval {
        max(.milliseconds(1500), session.leg.roundTrip * 6)
    }

    // MARK: - Doubt

    /// A session that has expected something for so long is in doubt.
    private static let leastPatience = Instant.Interval.milliseconds(2500)

    var isInDoubt: Bool { self.doubtedSince != nil }

    /// When the session will be in doubt, or may be in doubt again.
    func doubtDeadline(_ session: PeerSession) -> Instant {
        guard !self.isInDoubt, let since = session.leg.liveness.unansweredSince else {
            return .never
        }
        return since + max(Self.leastPatience, session.leg.roundTrip * 6)
    }

    /// Looks for another server beside the silent one.
    func beginDoubt(at now: Instant) {
        precondition(self.session != nil && !self.isInDoubt, "there is nothing to doubt")
        self.doubtedSince = now
        let own = self.session.map { [$0.leg.path.address] }
        guard self.servers.count > 1 || self.addresses != own else { return }
        self.initiator.cancel()
        if self.servers.count > 1 {
            self.serverPlace = (self.sessionPlace + 1) % self.servers.count
        }
        self.retryAt = now
    }

    /// The silent one has spoken.
    func endDoubt() {
        self.doubtedSince = nil
        self.candidate = nil
        guard self.isElsewhere else { return }
        self.initiator.cancel()
        self.serverPlace = self.sessionPlace
    }

    /// Whether the server that is tried is not the session's.
    var isElsewhere: Bool { self.session != nil && self.serverPlace != self.sessionPlace }

    /// How long a doubted session's server has when another one has answered.
    func lastChance(_ session: PeerSession) -> Instant.Interval {
        max(.milliseconds(100), session.leg.roundTrip + session.leg.roundTrip / 2)
    }

    /// Begins a handshake, to continue the session behind `routeIndex` or to get a first one.
    func start(localIndex: UInt32, routeIndex: UInt32, at now: Instant) {
        guard !self.isStopped, !self.servers.isEmpty else { return }
        self.attemptStartedAt = now
        self.retryAt = .never
        self.chooseTargets(isRenewal: routeIndex != 0)
        let sinceStart = now.since(Instant(nanoseconds: 0)).milliseconds
        self.initiator.start(
            localIndex: localIndex,
            routeIndex: routeIndex,
            hello: Hello(
                instance: self.instance,
                maximumPacketSize: UInt16(clamping: self.settings.maximumPacketSize ?? 1472),
                unixMilliseconds: self.settings.wallClockOffset &+ sinceStart
            ),
            at: now
        )
    }

    func restart(at instant: Instant) { self.retryAt = instant }

    /// What is asked of the server has changed: a handshake under way begins anew.
    func restartHandshake() {
        guard self.initiator.isActive else { return }
        self.initiator.cancel()
        self.restart(at: Instant(nanoseconds: 0))
    }

    func isRetryDue(at now: Instant) -> Bool {
        !self.initiator.isActive && !self.isStopped && self.retryAt <= now
    }

    /// Nothing of use came back for too long: what to complain about, and the next server to try.
    func noteSilence(at now: Instant) -> (failure: ConnectFailure, server: SocketAddress)? {
        guard self.initiator.isActive, self.silenceDeadline <= now else { return nil }
        let failure: ConnectFailure =
            self.initiator.hasUnreadableAnswer ? .presharedKey : .serverSilent
        let silent = self.server
        self.lastSilence = now
        if self.servers.count > 1, self.session == nil || self.isInDoubt {
            self.serverPlace = (self.serverPlace + 1) % self.servers.count
            self.initiator.cancel()
            self.retryAt = now
        }
        return self.reports.isNews(failure, at: now) ? (failure, silent) : nil
    }

    /// Whether this is to be told.
    func refused(_ failure: ConnectFailure, at now: Instant) -> Bool {
        self.retryAt = now + Self.refusalPause
        self.lastRefusing = self.server
        if self.session == nil || self.isInDoubt, self.servers.count > 1 {
            self.serverPlace = (self.serverPlace + 1) % self.servers.count
        }
        return self.reports.isNews(failure, at: now)
    }

    func established() {
        self.lastSilence = nil
        self.lastRefusing = nil
        self.reports.end()
    }

    /// `session` is what there is now.
    func adopt(_ session: PeerSession) {
        precondition(self.session == nil, "a client has one session")
        self.session = session
        self.sessionPlace = self.serverPlace
        self.doubtedSince = nil
        self.candidate = nil
    }

    /// There is no session any more.
    func lostSession() {
        assert(self.session != nil, "it was lost before")
        self.session = nil
        self.doubtedSince = nil
        self.candidate = nil
    }

    func stop() {
        self.isStopped = true
        self.initiator.cancel()
    }
}

extension Engine {
    /// The resolver's news: the session goes on, the next handshake goes there.
    ///
    /// `servers` are tried in order, each by all its addresses.
    public func replace(servers: [[SocketAddress]]) {
        guard case .client(let client) = self.role else { return }
        client.replace(servers: servers)
    }

    /// Client reload: the session goes on, the next handshake is made with `presharedKey`.
    public func replace(presharedKey: PresharedKey?) {
        guard case .client(let client) = self.role,
            client.initiator.presharedKey != presharedKey
        else { return }
        client.initiator.presharedKey = presharedKey
        client.restartHandshake()
    }

    func wake(_ client: ClientRole, at now: Instant) {
        if client.isRetryDue(at: now) {
            client.restart(at: .never)
            let route = client.isElsewhere ? 0 : client.session?.leg.keys.current.remoteIndex ?? 0
            client.start(localIndex: self.newIndex(), routeIndex: route, at: now)
        }
        if let session = client.session, client.doubtDeadline(session) <= now {
            client.beginDoubt(at: now)
            if !session.leg.keys.isHeldBack {
                self.board.post(.sessionDoubted(session.handle, session.info))
            }
            return self.wake(client, at: now)
        }
        if let candidate = client.candidate, candidate.acceptAt <= now {
            self.beginSession(client, candidate.established, from: candidate.source, at: now)
        }
        if let session = client.session,
            min(client.rekeyDeadline(session), client.deathDeadline(session)) <= now
        {
            if client.deathDeadline(session) <= now {
                self.board.post(.sessionSilent(session.handle, session.info))
            }
            client.start(
                localIndex: self.newIndex(),
                routeIndex: session.leg.keys.current.remoteIndex,
                at: now
            )
        }
        if let (failure, server) = client.noteSilence(at: now) {
            self.board.post(.connectFailed(failure, server: server))
        }
        self.expireWaiting(client, at: now)
    }

    /// Streams that waited too long for a session are reset.
    private func expireWaiting(_ client: ClientRole, at now: Instant) {
        while let handle = client.waiting.first {
            if let stream = self.board.stream(handle), stream.pointee.owner == nil {
                let since = stream.pointee.openedAt
                guard now.since(since) >= client.settings.connectTimeout else {
                    client.waitingSince = since
                    return
                }
                self.board.post(.streamReset(handle, .connectTimeout))
                self.board.streams.release(handle.slot)
            }
            client.waiting.removeFirst()
        }
        client.waitingSince = .never
    }

    func receiveAnswer(
        _ packet: UnsafeMutableRawBufferPointer,
        _ client: ClientRole,
        from source: SocketAddress,
        at now: Instant
    ) {
        let firstSentAt = client.initiator.firstSentAt
        switch client.initiator.receive(packet, at: now) {
        case .ignored:
            self.board.drop(.handshakeRefused)
        case .cookieStored:
            client.hurry(to: source)
        case .refused(let reason):
            let server = client.server
            let failure = ConnectFailure(reason)
            guard client.refused(failure, at: now) else { return }
            self.board.post(.connectFailed(failure, server: server))
        case .established(let established):
            client.established()
            // Only what was asked can answer; whoever passes its answer on is not where it is.
            let isAsked = client.isTarget(source)
            let source = isAsked ? source : client.server
            if established.continuesSession {
                if let session = client.session {
                    if isAsked, let old = session.leg.follow(to: source, at: now) {
                        self.board.post(.peerMoved(session.handle, session.info, from: old))
                    }
                    self.continueSession(session, established, at: now)
                } else {
                    // The server kept what this end has given up since it asked.
                    client.restart(at: now)
                }
                return
            }
            if client.isElsewhere, let session = client.session {
                client.candidate = ClientRole.Candidate(
                    established: established,
                    source: source,
                    acceptAt: now + client.lastChance(session)
                )
                session.ping()
                self.touch(session)
                return
            }
            self.beginSession(client, established, from: source, at: now)
            // After a retry nobody knows which copy was answered (Karn's rule).
            if let session = client.session, let firstSentAt,
                now.since(firstSentAt) < ClientRole.firstRetry
            {
                session.leg.seedRoundTrip(now.since(firstSentAt), at: now)
            }
        }
    }

    private func continueSession(
        _ session: PeerSession,
        _ established: EstablishedKeys,
        at now: Instant
    ) {
        if let secret = established.ratchet {
            // Until it is done, what the session has is sealed as it was.
            self.offerRatchet(session, secret, handshake: established.remoteIndex, at: now)
        } else {
            let keypair = Keypair(established, at: now)
            if let retired = session.leg.keys.endRatchet() { self.indices.remove(retired) }
            if let retired = session.leg.keys.promote(keypair) { self.indices.remove(retired) }
            self.indices.insert(keypair.localIndex, session.slot)
        }
        // The server lives and has the session: whatever it owed, it need not be asked again, and
        // a new handshake now would take the new keys away before they are used.
        session.leg.heard(isTraffic: false, at: now)
        session.ping()
        self.endDoubt(session)
        self.touch(session)
    }

    /// A session the server did not have before; what there was at this end is over.
    private func beginSession(
        _ client: ClientRole,
        _ established: EstablishedKeys,
        from source: SocketAddress,
        at now: Instant
    ) {
        if let old = client.session {
            client.lostSession()
            self.end(old, reason: .sessionLost)
        }
        let session = self.makeSession(
            established,
            client: nil,
            address: source,
            packetSizeLimit: client.settings.maximumPacketSize,
            congestion: client.settings.congestion,
            redundancy: client.settings.redundancy,
            at: now
        )
        session.peer.name = "server"
        session.ping()
        client.adopt(session)
        if let before = client.lastServer, before != source {
            self.board.post(.serverChanged(from: before, to: source))
        }
        client.lastServer = source
        if let secret = established.ratchet {
            self.offerRatchet(session, secret, handshake: established.remoteIndex, at: now)
        }
        if !session.leg.keys.isHeldBack { self.announce(session, client, at: now) }
        self.touch(session)
    }

    /// The session is there for streams and flows.
    func announce(_ session: PeerSession, _ client: ClientRole, at now: Instant) {
        self.board.post(.sessionUp(session.handle, session.info))
        self.adoptWaiting(client, session)
        for slot in self.board.flows.slots {
            if let flow = self.board.flows.live(slot), flow.pointee.owner == nil {
                session.adopt(flow, at: now)
            }
        }
        self.touch(session)
    }
}

extension Engine {
    /// A session has been heard: if it was in doubt, all is as before.
    func endDoubt(_ session: PeerSession) {
        guard case .client(let client) = self.role, client.isInDoubt, session === client.session
        else { return }
        client.endDoubt()
        guard !session.leg.keys.isHeldBack else { return }
        self.board.post(.sessionTrusted(session.handle, session.info))
        self.adoptWaiting(client, session)
    }

    /// Gives what waits for a session the one there is.
    private func adoptWaiting(_ client: ClientRole, _ session: PeerSession) {
        for handle in client.waiting {
            guard let stream = self.board.stream(handle), stream.pointee.owner == nil else {
                continue
            }
            session.adopt(stream)
        }
        client.waiting.removeAll()
        client.waitingSince = .never
        self.touch(session)
    }
}

extension ConnectFailure {
    init(_ reason: RefusalReason) {
        switch reason {
        case .unknownKey: self = .unknownKey
        case .noPermission: self = .noPermission
        case .cipherMismatch: self = .cipherMismatch
        case .versionMismatch: self = .versionMismatch
        case .limit: self = .limit
        case .keyExpired: self = .keyExpired
        case .postQuantum: self = .postQuantum
        }
    }
}
