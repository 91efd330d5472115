import Erasure
import Primitives
import Recovery
import Sealing

/// One end of an established tunnel to one peer: what both roles share.
///
/// The path is its ``Leg``'s, streams and flows are in their sets, and what is said of neither in
/// the ``ControlQueue``. The session routes between them: frames that arrive, frames to be written,
/// and the fate of those that were. The engine drives it and owns the tables it points into.
final class PeerSession {
    /// Whom a session is with.
    struct Identity {
        /// The client's static key, on a server.
        let clientKey: PublicKey?
        /// The client process's name for this session.
        let instance: UInt64
        var name = ""
        /// Where a server's directory has it.
        var index = -1
    }

    let handle: SessionHandle
    unowned(unsafe) let board: Switchboard
    let isClient: Bool
    let createdAt: Instant
    var peer: Identity
    /// The peer has shown that it holds the keys: before that a server sends nothing.
    var isConfirmed: Bool
    /// Server: what the peer holds over all its sessions, and this one's place among them.
    var account: (any PeerAccount)?
    var holding: Holding?
    /// Its client has come back as another process: over at this time unless heard before.
    var suspectAt: Instant?
    /// When it was last heard although that was in doubt.
    private(set) var vouchedAt: Instant?
    /// In the engine's list of sessions to transmit for.
    var isDirty = false

    let memory: MemoryCharge
    let leg: Leg
    let streams: StreamSet
    let flows: FlowSet
    var control = ControlQueue()
    var services = ServiceWords()
    /// Client: the server has acknowledged something, and said in the same packet what it had to
    /// say of services.
    var isHeard = false
    var rates: RateLimits

    init(
        _ handle: SessionHandle,
        board: Switchboard,
        established: EstablishedKeys,
        client: PublicKey?,
        address: SocketAddress,
        packetSizeLimit: Int?,
        congestion: CongestionChoice,
        redundancy: RedundancyLevel,
        entropy: EntropySource,
        account: MemoryAccount,
        at now: Instant
    ) {
        self.handle = handle
        self.board = board
        self.isClient = client == nil
        self.peer = Identity(clientKey: client, instance: established.peerHello.instance)
        self.createdAt = now
        self.isConfirmed = client == nil
        self.memory = MemoryCharge(account, board)
        self.leg = Leg(
            established,
            isClient: client == nil,
            address: address,
            packetSizeLimit: packetSizeLimit,
            congestion: congestion,
            entropy: entropy,
            memory: self.memory,
            board: board,
            at: now
        )
        self.streams = StreamSet(
            of: handle,
            isClient: client == nil,
            redundancy: redundancy,
            over: self.leg,
            charging: self.memory,
            board,
            at: now
        )
        self.flows = FlowSet(
            of: handle,
            isClient: client == nil,
            over: self.leg,
            charging: self.memory,
            board
        )
        self.rates = RateLimits(at: now)
    }

    var slot: UInt32 { self.handle.slot }

    /// Streams or flows exist.
    var hasChannels: Bool { self.streams.count + self.flows.count > 0 }

    /// The next packet asks the peer for a sign of life.
    func ping() { self.leg.requests.isPingDue = true }

    var info: SessionInfo {
        SessionInfo(
            peerName: self.peer.name,
            address: self.leg.path.proven,
            cipher: self.leg.keys.current.keys.cipher,
            peerIndex: self.peer.index
        )
    }

    func snapshot(at now: Instant) -> SessionSnapshot {
        SessionSnapshot(
            peer: self.peer.name,
            address: self.leg.path.proven,
            roundTrip: self.leg.roundTrip,
            lossRate: self.leg.lossRate,
            cipher: self.leg.keys.current.keys.cipher,
            streams: self.streams.count,
            flows: self.flows.count,
            packetSize: self.leg.largestPacket,
            congestionWindow: self.leg.congestionWindow,
            pacingRate: UInt64(self.leg.pacingRate),
            age: now.since(self.createdAt),
            silence: now.since(self.leg.liveness.lastHeard),
            wireBytesSent: self.leg.traffic.bytesSent,
            wireBytesReceived: self.leg.traffic.bytesReceived,
            isPostQuantum: self.leg.keys.current.isPostQuantum
        )
    }

    // MARK: - Time

    /// When copies or repairs are due next.
    var redundancyDeadline: Instant {
        min(self.flows.redundancyDeadline, self.streams.copyDeadline)
    }

    /// When this session next has to be woken or may send again.
    func deadline(at now: Instant) -> Instant {
        var earliest = self.leg.wakeDeadline(hasChannels: self.hasChannels)
        // An address that has not answered yet gets no more: only it can change that.
        guard self.leg.mayTransmit else { return earliest }
        earliest = min(earliest, self.leg.ackDeadline)
        let hasMore = self.streams.hasData || self.flows.hasDatagrams
        let opening = self.rates.deadline
        if opening != .never {
            let isWaiting = hasMore || self.redundancyDeadline <= now
            return isWaiting ? min(earliest, opening) : earliest
        }
        if hasMore, self.leg.hasLogRoom { earliest = min(earliest, self.leg.pacingDeadline) }
        earliest = min(earliest, self.redundancyDeadline)
        return min(earliest, self.leg.searchDeadline)
    }

    /// Does what was due at `now`, the session's end and its rates aside.
    func wake(at now: Instant) {
        if self.leg.wake(at: now) { self.settle(at: now) }
        self.leg.giveUpMove(at: now)
    }

    /// The peer was heard although that was in doubt.
    func vouch(at now: Instant) {
        guard self.suspectAt != nil else { return }
        self.suspectAt = nil
        self.vouchedAt = now
    }

    // MARK: - Joining and leaving

    /// Client: a stream that waited for a session is this one's.
    func adopt(_ stream: StreamPointer) {
        self.streams.adopt(stream, mayDeflate: self.control.mayDeflate(stream.pointee.request))
    }

    /// Client: a flow that waited for a session is this one's.
    func adopt(_ flow: FlowPointer, at now: Instant) {
        precondition(self.isClient, "a server's flows come from its client")
        let mayDeflate = self.control.mayDeflate(flow.pointee.request)
        if flow.pointee.request.delivery == .reliable {
            self.streams.adopt(flow, mayDeflate: mayDeflate, at: now)
        } else {
            self.flows.adopt(flow, mayDeflate: mayDeflate)
        }
    }

    /// Tells the peer that an id means nothing here; false when too many wait to be told.
    @discardableResult
    func refuse(_ channel: ChannelID, _ reason: ResetReason) -> Bool {
        self.control.refuse(channel, reason)
    }

    /// The session is over, and with it its streams, and on a server its flows.
    func drop(reason: ResetReason) {
        self.streams.drop(reason: reason)
        self.flows.drop(reason: reason)
        assert(!self.hasChannels)
    }

    /// The session is over, and with it what was charged to it and to nothing in it.
    func releaseMemory() {
        self.leg.releaseMemory()
        self.flows.releaseMemory()
        assert(self.hasChannels || self.leg.keys.ratchet != nil || self.memory.byteCount == 0)
    }

    /// By how much the session's memory, counted anew, differs from what it was charged for.
    ///
    /// For tests and simulations: it looks at every stream and flow.
    var unaccountedByteCount: Int {
        self.leg.memoryByteCount + self.streams.memoryByteCount + self.flows.memoryByteCount
            - self.memory.byteCount
    }

    // MARK: - The fate of packets

    /// Gives the frames of every packet whose fate is known back to their owners.
    func settle(at now: Instant) {
        while let (fate, frame) = self.leg.nextFate(at: now) {
            switch fate {
            case .acknowledged: self.acknowledged(frame, at: now)
            case .lost: self.lost(frame)
            case .late:
                if frame.kind.owner == .flows { self.flows.cameBack(frame, at: now) }
            // Bytes that somebody waits for go again before they are known to be lost.
            case .overdue:
                if frame.kind == .segment { self.streams.lost(frame) }
            }
        }
        self.leg.settled(at: now)
    }

    private func acknowledged(_ frame: FrameRecord, at now: Instant) {
        switch frame.kind.owner {
        case .streams: self.streams.acknowledged(frame, at: now)
        case .flows: self.flows.acknowledged(frame, at: now)
        // What was said once is known, or is said by other means.
        case .control, .services, .rates, .keys, .leg: return
        }
    }

    private func lost(_ frame: FrameRecord) {
        switch frame.kind.owner {
        case .streams: self.streams.lost(frame)
        case .flows: self.flows.lost(frame)
        case .control: self.control.lost(frame)
        case .services: self.services.lost(frame)
        case .rates: self.rates.lost()
        case .keys: self.leg.keys.lost(frame)
        case .leg: preconditionFailure("the leg settles its own frames")
        }
    }
}
