public import Primitives
import Erasure
import KCP
import Recovery
public import Sealing

/// The whole protocol of one worker, without a clock, a socket or a thread.
///
/// The contract: say what happened (``receive(_:from:at:isLate:)``, ``wake(at:)``, a call on a
/// stream or flow); then take outputs until there are none (``nextReadyStream()``,
/// ``nextDatagram()``, ``nextEvent()``, ``nextTransmit(into:at:)``); then sleep until ``deadline``
/// or the next event.
///
/// One thread owns an engine.
public final class Engine {
    enum Role {
        case client(ClientRole)
        case server(ServerRole)
    }

    let board: Switchboard
    /// What sessions have cost in the driver's turn.
    var work = WorkShares()
    let entropy: EntropySource
    let mask: HeaderMask
    let indexer: ReceiverIndex
    let role: Role
    let worker: Int
    let generation: Int
    var postQuantum: PostQuantumChoice

    /// Sessions by slot.
    var sessions: [PeerSession?] = []
    private var sessionGenerations: [UInt32] = []
    /// Session slots by receiver index.
    var indices = IndexTable()
    var heap = DeadlineHeap()
    /// Sessions that may have something to transmit.
    var dirty = SlotQueue()
    var flowSweepAt = Instant.never
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 2048, alignment: 64)

    /// An engine that seeks a session with one of `settings.servers` from the first turn on.
    ///
    /// `entropy` is drawn from as long as the engine lives; `now` begins its time.
    public init(
        client settings: ClientSettings,
        limits: EngineLimits,
        entropy: EntropySource,
        at now: Instant
    ) {
        self.board = Switchboard(limits: limits, largestPacket: settings.maximumPacketSize)
        self.entropy = entropy
        self.mask = HeaderMask(serverPublicKey: settings.serverPublicKey)
        self.indexer = ReceiverIndex(key: entropy.next())
        self.worker = settings.worker
        self.generation = 0
        self.postQuantum = settings.postQuantum
        self.role = .client(ClientRole(settings, mask: self.mask, entropy: entropy, at: now))
    }

    /// An engine that answers clients; its siblings of one process share key and `indexKey`.
    ///
    /// `entropy` is drawn from as long as the engine lives; `now` begins its time.
    public init(
        server settings: ServerSettings,
        limits: EngineLimits,
        entropy: EntropySource,
        at now: Instant
    ) {
        self.board = Switchboard(limits: limits, largestPacket: settings.maximumPacketSize)
        self.entropy = entropy
        self.mask = HeaderMask(serverPublicKey: settings.privateKey.publicKey)
        self.indexer = ReceiverIndex(key: settings.indexKey)
        self.worker = settings.worker
        self.generation = settings.generation
        self.postQuantum = settings.postQuantum
        self.role = .server(ServerRole(settings, mask: self.mask, entropy: entropy))
    }

    deinit { self.scratch.deallocate() }

    // MARK: - Time and outputs

    /// When ``wake(at:)`` is next due; `Instant.never` if only an event can change anything.
    public var deadline: Instant {
        var earliest = min(self.heap.next, self.flowSweepAt, self.board.stalls.next)
        if case .client(let client) = self.role { earliest = min(earliest, client.deadline) }
        return earliest
    }

    /// Does what was due at `now`; outputs may follow.
    public func wake(at now: Instant) {
        self.board.now = now
        while let slot = self.heap.due(at: now) {
            guard let session = self.sessions[slot] else {
                self.heap.set(slot, to: .never)
                continue
            }
            self.wake(session, at: now)
        }
        if self.flowSweepAt <= now { self.sweepFlows(at: now) }
        if self.board.stalls.next <= now { self.endStalled(at: now) }
        if case .client(let client) = self.role, client.deadline <= now {
            self.wake(client, at: now)
        }
    }

    private func wake(_ session: PeerSession, at now: Instant) {
        // Moved on first: what follows may only set it earlier than the next look.
        self.heap.set(Int(session.slot), to: .never)
        if self.endIfOver(session, at: now) { return }
        if session.leg.keys.spareDeadline <= now {
            for index in session.leg.keys.dropOld(at: now) { self.indices.remove(index) }
        }
        session.wake(at: now)
        // Sessions that other engines have take their part as well.
        if session.rates.reviewAt <= now { self.applyRates(to: session, at: now) }
        if session.isConfirmed {
            session.leg.probeSilence(hasChannels: session.hasChannels, at: now)
        }
        self.touch(session)
    }

    /// Ends a session that was never confirmed, has expired, or has no usable keys; true if so.
    private func endIfOver(_ session: PeerSession, at now: Instant) -> Bool {
        if !session.isConfirmed {
            guard now.since(session.createdAt) >= KeyLifetime.pendingLifetime else { return false }
            self.forget(session)
            return true
        }
        if session.leg.keys.isHeldBack, now.since(session.createdAt) >= KeyLifetime.pendingLifetime
        {
            self.giveUp(session, at: now)
            return true
        }
        let keyAge = now.since(session.leg.keys.current.establishedAt)
        let isSuspect = session.suspectAt.map { $0 <= now } ?? false
        guard
            session.leg.liveness.isExpired(at: now) || keyAge >= KeyLifetime.rejectAfter
                || isSuspect
        else { return false }
        self.end(session, reason: .sessionLost)
        return true
    }

    /// Packets for the network, at the front of `buffer`; `nil` when there are none now.
    ///
    /// The buffer has 64 KiB, or at least room for one packet.
    public func nextTransmit(
        into buffer: UnsafeMutableRawBufferPointer,
        at now: Instant
    ) -> Transmit? {
        if let transmit = self.board.nextOutboxPacket(into: buffer) { return transmit }
        if case .client(let client) = self.role,
            let count = client.initiator.nextPacket(into: buffer, at: now)
        {
            self.board.countSent(packets: 1, bytes: count)
            return Transmit(destination: client.server, byteCount: count, segmentSize: count)
        }
        while let slot = self.dirty.first {
            guard let session = self.sessions[Int(slot)] else {
                _ = self.dirty.popFirst()
                continue
            }
            if let transmit = session.transmit(into: buffer, at: now) {
                assert(transmit.byteCount > 0 && transmit.byteCount <= buffer.count)
                assert(transmit.segmentSize <= transmit.byteCount)
                // A busy session does not keep the others waiting.
                if self.dirty.count > 1 {
                    _ = self.dirty.popFirst()
                    self.dirty.append(slot)
                }
                return transmit
            }
            _ = self.dirty.popFirst()
            session.isDirty = false
            self.heap.set(Int(slot), to: self.deadline(of: session, at: now))
        }
        return nil
    }

    private func deadline(of session: PeerSession, at now: Instant) -> Instant {
        guard session.isConfirmed else { return session.createdAt + KeyLifetime.pendingLifetime }
        var earliest = session.deadline(at: now)
        if session.leg.keys.isHeldBack {
            earliest = min(earliest, session.createdAt + KeyLifetime.pendingLifetime)
        }
        if let suspectAt = session.suspectAt { earliest = min(earliest, suspectAt) }
        earliest = min(earliest, session.leg.keys.spareDeadline)
        return min(earliest, session.leg.keys.current.establishedAt + KeyLifetime.rejectAfter)
    }

    /// Lets `session` transmit at the next opportunity.
    func touch(_ session: PeerSession) {
        guard !session.isDirty else { return }
        session.isDirty = true
        assert(self.sessions.indices.contains(Int(session.slot)))
        self.dirty.append(session.slot)
    }

    /// What happened rarely enough to be told one by one; `nil` when there is nothing more.
    public func nextEvent() -> EngineEvent? { self.board.nextEvent() }

    // MARK: - Sessions

    /// The session that a stream or flow belongs to.
    func session(_ owner: SessionHandle?) -> PeerSession? {
        guard let owner else { return nil }
        let session = self.sessions[Int(owner.slot)]
        assert(session?.handle == owner, "the session is over, its channel is not")
        return session
    }

    func makeSession(
        _ established: EstablishedKeys,
        client: PublicKey?,
        address: SocketAddress,
        packetSizeLimit: Int?,
        congestion: CongestionChoice,
        redundancy: RedundancyLevel,
        at now: Instant
    ) -> PeerSession {
        let slot = self.sessions.firstIndex { $0 == nil } ?? self.sessions.count
        if slot == self.sessions.count {
            self.sessions.append(nil)
            self.sessionGenerations.append(0)
        }
        self.sessionGenerations[slot] &+= 1
        let generation = self.sessionGenerations[slot]
        let session = PeerSession(
            SessionHandle(slot: UInt32(clamping: slot), generation: generation),
            board: self.board,
            established: established,
            client: client,
            address: address,
            packetSizeLimit: packetSizeLimit,
            congestion: congestion,
            redundancy: redundancy,
            entropy: self.entropy,
            account: self.memoryAccount(of: client),
            at: now
        )
        session.leg.settleLogs()
        assert(session.memory.account.byteCount >= session.memory.byteCount)
        assert(self.sessions[slot] == nil)
        assert(self.indices[established.localIndex] == IndexTable.none, "the index is taken")
        self.sessions[slot] = session
        self.indices.insert(established.localIndex, UInt32(clamping: slot))
        self.touch(session)
        return session
    }

    /// One account for all sessions of a peer.
    private func memoryAccount(of client: PublicKey?) -> MemoryAccount {
        for case let session? in self.sessions where session.peer.clientKey == client {
            return session.memory.account
        }
        return MemoryAccount()
    }

    /// A receiver index nobody uses.
    func newIndex() -> UInt32 {
        while true {
            let index = self.indexer.make(
                worker: self.worker,
                generation: self.generation,
                chance: self.entropy.next()
            )
            if index != 0, self.indices[index] == IndexTable.none { return index }
        }
    }

    /// Ends a session that was up: its streams are reset, the log is told.
    func end(_ session: PeerSession, reason: ResetReason) {
        session.drop(reason: .sessionLost)
        self.retireRatchet(session)
        session.releaseMemory()
        assert(session.memory.byteCount == 0)
        self.board.post(.sessionDown(session.handle, session.info, reason))
        self.forget(session)
    }

    /// Drops a session nobody was told of.
    func forget(_ session: PeerSession) {
        for index in session.leg.keys.indices { self.indices.remove(index) }
        self.retireRatchet(session)
        session.releaseMemory()
        precondition(self.sessions[Int(session.slot)] === session, "forgotten before")
        self.sessions[Int(session.slot)] = nil
        self.heap.set(Int(session.slot), to: .never)
        if case .client(let client) = self.role, client.session === session {
            client.lostSession()
            client.instance = self.entropy.next()
            client.initiator.cancel()
            client.restart(at: Instant(nanoseconds: 0))
        }
    }

    /// Says goodbye to every peer and ends all streams.
    ///
    /// Drain ``nextTransmit(into:at:)`` afterwards.
    public func shutDown(at now: Instant) {
        for session in self.sessions {
            guard let session, session.isConfirmed else { continue }
            for _ in 0..<2 {
                session.sendAlone(
                    CloseSessionFrame(reason: .shutdown),
                    to: session.leg.path.address,
                    at: now
                )
            }
            self.end(session, reason: .shutdown)
        }
        if case .client(let client) = self.role { client.stop() }
    }

    /// The state of everything, for people and metrics.
    ///
    /// Allocates: not for the data path.
    public func snapshot(at now: Instant) -> EngineSnapshot {
        var buffered = 0
        for slot in self.board.streams.slots {
            guard let stream = self.board.streams.live(slot) else { continue }
            buffered += stream.pointee.sender.memoryByteCount
            buffered += stream.pointee.receiver.memoryByteCount
        }
        for slot in self.board.flows.slots {
            guard let flow = self.board.flows.live(slot) else { continue }
            buffered += flow.pointee.queue.memoryByteCount
        }
        return EngineSnapshot(
            sessions: self.sessions.compactMap {
                $0.flatMap {
                    $0.isConfirmed && !$0.leg.keys.isHeldBack ? $0.snapshot(at: now) : nil
                }
            },
            counters: self.board.counters,
            streams: self.board.streams.count,
            flows: self.board.flows.count,
            bufferedByteCount: buffered,
            heldByteCounts: self.sessions.compactMap { $0?.memory.byteCount },
            unaccountedByteCounts: self.sessions.compactMap { $0?.unaccountedByteCount }
        )
    }

    /// Client: asks the server for a sign of life, which tells the round trip; nothing without a
    /// session.
    public func ping(at now: Instant) {
        guard case .client(let client) = self.role, let session = client.session else { return }
        session.ping()
        self.touch(session)
    }

    /// Client: what a server knows it by.
    public var clientPublicKey: PublicKey? {
        guard case .client(let client) = self.role else { return nil }
        return client.settings.privateKey.publicKey
    }

    /// Client: whether a session is up, in doubt or not.
    public var isSessionUp: Bool {
        guard case .client(let client) = self.role else { return !self.sessions.isEmpty }
        return client.session?.leg.keys.isHeldBack == false
    }

    /// Client: the session has been silent for so long that another server is looked for.
    public var isSessionInDoubt: Bool {
        guard case .client(let client) = self.role else { return false }
        return client.isInDoubt
    }
}
