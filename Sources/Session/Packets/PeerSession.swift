import Primitives
import Erasure
import KCP
import Recovery
import Sealing

/// One end of an established tunnel to one peer: what both roles share.
///
/// Packet numbers, loss, rate and path belong to the session; its streams and flows only say what
/// they want carried. The engine drives it and owns the tables it points into.
final class PeerSession {
    /// One handshake's keys; the session outlives them.
    final class Keypair {
        let keys: TransportKeys
        let localIndex: UInt32
        let remoteIndex: UInt32
        let establishedAt: Instant
        /// Whether they are a handshake's strengthened ones.
        let isPostQuantum: Bool
        /// Packets sealed under these keys.
        var sealedCount: UInt64 = 0

        init(_ established: EstablishedKeys, at now: Instant) {
            self.keys = established.keys
            self.localIndex = established.localIndex
            self.remoteIndex = established.remoteIndex
            self.establishedAt = now
            self.isPostQuantum = false
        }

        init(strengthened keys: TransportKeys, local: UInt32, remote: UInt32, at now: Instant) {
            self.keys = keys
            self.localIndex = local
            self.remoteIndex = remote
            self.establishedAt = now
            self.isPostQuantum = true
        }
    }

    let slot: UInt32
    let generation: UInt32
    unowned(unsafe) let board: Switchboard
    let isClient: Bool
    /// The client's static key, on a server.
    let clientKey: PublicKey?
    /// The client process's name for this session.
    let instance: UInt64
    var peerName: String
    var peerIndex: Int
    let createdAt: Instant
    /// The peer has shown that it holds the keys: before that a server sends nothing.
    var isConfirmed: Bool

    /// Sealing uses this one.
    var current: Keypair
    /// Still opened: what was current before, and on a server what will be once the client uses it.
    var previous: Keypair?
    var next: Keypair?
    /// The exchange that makes the newest handshake's keys stronger, while it is under way.
    var ratchet: Ratchet?
    /// How many of those of this end have come to nothing in a row.
    var failedRatchets = 0
    /// Nothing of an application passes before such keys are in use: an end insists on them.
    var isHeldBack: Bool
    /// Such keys have been in use.
    var wasPostQuantum = false

    private var numbers: PacketNumbers
    /// UDP payload of this session's packets.
    var wireBytesSent: UInt64 = 0
    var wireBytesReceived: UInt64 = 0
    var replay = ReplayWindow()
    var recovery: LossRecovery
    var received = ReceivedPackets()
    let log = FrameLog()
    var path: Path
    var mtu: MTUSearch
    var liveness: Liveness

    /// Streams by conversation, flows by id.
    var conversations = IndexTable()
    var flowIDs = IndexTable()
    var openedStreams = OpenedIDs()
    var openedFlows = OpenedIDs()
    var nextConversation: UInt32 = 1
    var nextFlowID: UInt32 = 1
    var reassembly = Reassembly()

    /// Streams with frames other than data to send.
    var control = SlotQueue()
    /// Streams with data to send.
    var rounds = StreamRounds()
    /// Streams whose peer has ended, until the driver had its chance to see that.
    var ended = SlotQueue()
    /// Flows with datagrams to send.
    var flowQueue = SlotQueue()
    /// The loss of the direction this end sends in.
    var watch = LossWatch()
    /// When the redundancy of which flow is due, by the flow's slot.
    var protection = DeadlineHeap()
    /// From when on copies of which flow may ride along.
    var riders = DeadlineHeap()
    var segmentCopies: SegmentCopies
    /// Flows with a decoder, whose memory is bounded.
    var decoderCount = 0
    /// RESETs for ids that have no stream or flow here.
    var refusals: [Refusal] = []
    /// How many refused requests the operator has heard of since when.
    var reportedCount = 0
    var reportedSince = Instant(nanoseconds: 0)
    /// Server: what the peer holds over all its sessions, and this one's place among them.
    var account: (any PeerAccount)?
    var holding: Holding?
    /// Holds what is sent to the rate that was set for this direction.
    var shaper: RateShaper
    /// Server: holds what arrives to the rate that the client has been told.
    var policer: RateShaper
    /// Server: bytes a second that the client may send, and whether it has to be told.
    var grantedRate: UInt64?
    var isRateDue = false
    /// Server: when to look again how many sessions share the peer's rates.
    var ratesDueAt = Instant.never
    /// Streams and flows whose client may deflate, and has not been told.
    var mayDeflate: [(kind: UInt8, id: UInt32)] = []
    /// Client: services whose server inflates what comes.
    var deflatable: Set<ServiceName> = []
    var isPingDue = false
    /// Path tokens to echo.
    var pathReplies: [UInt64] = []
    /// Receive windows granted above the initial one of each stream.
    var grantedBytes = 0
    /// Bytes of memory that the peer makes this end hold by this session, and by all of its own.
    var heldByteCount = 0
    let memory: MemoryAccount
    /// What has been charged for datagrams in parts.
    var chargedPlaceByteCount = 0
    /// What has been charged for the logs of what was sent.
    var chargedLogByteCount = 0
    /// Something in the packet at hand found no memory: the peer has to send it again.
    var mustComeAgain = false
    /// The highest packet number that authenticated, for roaming.
    var highestReceived: UInt64 = 0
    /// Its client has come back as another process: over at this time unless heard before.
    var suspectAt: Instant?
    /// When it was last heard although that was in doubt.
    var vouchedAt: Instant?
    /// When a stream last ran dry whose driver has more for it.
    var starvedAt = Instant(nanoseconds: 0)
    /// Probe timeouts since anything was acknowledged.
    var unansweredProbes = 0
    /// In the engine's list of sessions to transmit for.
    var isDirty = false
    private var lostBefore: UInt64 = 0

    static let pathReplyLimit = 4

    init(
        slot: UInt32,
        generation: UInt32,
        board: Switchboard,
        established: EstablishedKeys,
        client: PublicKey?,
        address: SocketAddress,
        packetSizeLimit: Int?,
        congestion: CongestionChoice,
        redundancy: RedundancyLevel,
        entropy: EntropySource,
        memory: MemoryAccount,
        at now: Instant
    ) {
        self.slot = slot
        self.generation = generation
        self.board = board
        self.isClient = client == nil
        self.clientKey = client
        self.instance = established.peerHello.instance
        self.peerName = ""
        self.peerIndex = -1
        self.createdAt = now
        self.isConfirmed = client == nil
        self.isHeldBack = established.requiresRatchet
        self.numbers = PacketNumbers(entropy: entropy)
        self.memory = memory
        self.current = Keypair(established, at: now)
        self.path = Path(address: address)
        self.mtu = MTUSearch(
            limit: min(packetSizeLimit ?? .max, Int(established.peerHello.maximumPacketSize)),
            isFixed: packetSizeLimit != nil,
            isIPv4: address.isIPv4
        )
        self.liveness = Liveness(at: now)
        self.shaper = .smooth(at: now)
        self.policer = .tolerant(at: now)
        self.segmentCopies = SegmentCopies(level: redundancy, at: now)
        self.recovery = LossRecovery(
            congestion: congestion,
            maximumPacketSize: self.mtu.confirmed,
            at: now
        )
    }

    /// The number of the next packet.
    var nextNumber: UInt64 { self.numbers.next }

    /// The next packet has its number.
    func takeNumber() { self.numbers.advance() }

    var handle: SessionHandle { SessionHandle(slot: self.slot, generation: self.generation) }

    var info: SessionInfo {
        SessionInfo(
            peerName: self.peerName,
            address: self.path.proven,
            cipher: self.current.keys.cipher,
            peerIndex: self.peerIndex
        )
    }

    /// When this session next has to be woken or may send again.
    func deadline(at now: Instant) -> Instant {
        var earliest = min(self.path.deadline, self.liveness.deadline(self.circumstances))
        earliest = min(earliest, self.recovery.deadline)
        // An address that has not answered yet gets no more: only it can change that.
        guard self.path.allowance >= self.packetSize else { return earliest }
        earliest = min(earliest, self.received.ackDeadline)
        if self.shaper.deadline != .never {
            let hasMore = !self.rounds.isEmpty || !self.flowQueue.isEmpty
            let isWaiting = hasMore || self.redundancyDeadline <= now
            return isWaiting ? min(earliest, self.shaper.deadline) : earliest
        }
        if !self.rounds.isEmpty || !self.flowQueue.isEmpty, self.hasLogRoom {
            earliest = min(earliest, self.recovery.pacingDeadline)
        }
        earliest = min(earliest, self.redundancyDeadline)
        return self.path.isValidated ? min(earliest, self.mtu.deadline) : earliest
    }

    /// The size of the next packets: small ones while even probes go unanswered, because the path
    /// may have become too small for the others.
    var packetSize: Int {
        self.unansweredProbes < 2 ? self.mtu.confirmed : min(self.mtu.confirmed, MTUSearch.base)
    }

    var circumstances: Liveness.Circumstances {
        Liveness.Circumstances(
            roundTrip: self.recovery.smoothedRTT,
            hasChannels: self.conversations.count + self.flowIDs.count > 0,
            isClient: self.isClient
        )
    }

    func snapshot(at now: Instant) -> SessionSnapshot {
        SessionSnapshot(
            peer: self.peerName,
            address: self.path.proven,
            roundTrip: self.recovery.smoothedRTT,
            lossRate: self.recovery.lossRate,
            cipher: self.current.keys.cipher,
            streams: self.conversations.count,
            flows: self.flowIDs.count,
            packetSize: self.mtu.confirmed,
            congestionWindow: self.recovery.congestionWindow,
            pacingRate: UInt64(self.recovery.pacingRate),
            age: now.since(self.createdAt),
            silence: now.since(self.liveness.lastHeard),
            wireBytesSent: self.wireBytesSent,
            wireBytesReceived: self.wireBytesReceived,
            isPostQuantum: self.current.isPostQuantum
        )
    }

    // MARK: - Keys

    /// The keys that `index` names on this side; `nil` too when they are too old to be used.
    func keypair(index: UInt32, at now: Instant) -> Keypair? {
        let named: Keypair?
        if self.current.localIndex == index {
            named = self.current
        } else if let next = self.next, next.localIndex == index {
            named = next
        } else if let previous = self.previous, previous.localIndex == index {
            named = previous
        } else {
            named = nil
        }
        guard let named, now.since(named.establishedAt) < KeyLifetime.rejectAfter else {
            return nil
        }
        return named
    }

    /// When the keys beside the current ones are too old.
    var spareKeyDeadline: Instant {
        var earliest = Instant.never
        if let previous = self.previous {
            earliest = previous.establishedAt + KeyLifetime.rejectAfter
        }
        if let next = self.next {
            earliest = min(earliest, next.establishedAt + KeyLifetime.rejectAfter)
        }
        if let ratchet = self.ratchet {
            earliest = min(earliest, ratchet.startedAt + KeyLifetime.rejectAfter)
        }
        return earliest
    }

    /// Lets go of keys beside the current ones that are too old, which wipes them; returns their
    /// indices.
    func dropOldKeys(at now: Instant) -> [UInt32] {
        var dropped: [UInt32] = []
        if let previous = self.previous,
            now.since(previous.establishedAt) >= KeyLifetime.rejectAfter
        {
            dropped.append(previous.localIndex)
            self.previous = nil
        }
        if let next = self.next, now.since(next.establishedAt) >= KeyLifetime.rejectAfter {
            dropped.append(next.localIndex)
            self.next = nil
        }
        if let ratchet = self.ratchet,
            now.since(ratchet.startedAt) >= KeyLifetime.rejectAfter,
            let index = self.endRatchet()
        {
            dropped.append(index)
        }
        return dropped
    }

    /// Starts to seal with `keypair`; returns the index that is no longer in use, if any.
    func promote(_ keypair: Keypair) -> UInt32? {
        let retired = self.previous?.localIndex
        self.previous = self.current
        self.current = keypair
        if self.next === keypair { self.next = nil }
        return retired
    }

    // MARK: - Fate of packets

    /// Gives every acknowledged or lost packet's frames back to their owners.
    func settle(at now: Instant) {
        while let packet = self.recovery.nextAcknowledged() {
            self.mtu.packetArrived(size: Int(packet.byteCount))
            self.unansweredProbes = 0
            self.watch.arrived(packet)
            if packet.flags.contains(.ackCarrier) {
                self.received.ackWasAcknowledged(largest: packet.largestAcked)
            }
            for index in 0..<UInt64(packet.frameCount) {
                let place = packet.firstFrame + index
                guard place >= self.log.head else { continue }
                self.acknowledged(self.log[place], at: now)
            }
        }
        while let packet = self.recovery.nextLost() {
            if !packet.flags.contains(.isProbe) {
                self.watch.lost(packet, hasQueue: LossWatch.hasQueue(self.recovery))
            }
            if !packet.flags.contains(.isProbe),
                self.mtu.packetLost(size: Int(packet.byteCount), at: now)
            {
                self.recovery.maximumPacketSize = self.mtu.confirmed
            }
            for index in 0..<UInt64(packet.frameCount) {
                let place = packet.firstFrame + index
                guard place >= self.log.head else { continue }
                self.lost(self.log[place], at: now)
            }
        }
        while let packet = self.recovery.nextLate() {
            self.watch.cameBack(packet)
            for index in 0..<UInt64(packet.frameCount) {
                let place = packet.firstFrame + index
                guard place >= self.log.head else { continue }
                self.cameBack(self.log[place], at: now)
            }
        }
        self.repeatOverdue()
        self.watch.update(self.recovery, at: now)
        self.log.trim(below: self.recovery.leastUnacknowledged)
        self.settleLogs()
        let lost = self.recovery.totalLost
        self.board.counters.packetsLost &+= lost &- self.lostBefore
        self.lostBefore = lost
    }

    /// Sends again what somebody waits for and should have been acknowledged by now.
    private func repeatOverdue() {
        while let packet = self.recovery.nextOverdue() {
            for index in 0..<UInt64(packet.frameCount) {
                let place = packet.firstFrame + index
                guard place >= self.log.head, self.log[place].kind == .segment,
                    let stream = self.stream(self.log[place]), !stream.pointee.isReset
                else { continue }
                _ = self.takeForLost(self.log[place], of: stream)
            }
        }
    }

    private func acknowledged(_ frame: FrameRecord, at now: Instant) {
        switch frame.kind {
        case .mtuProbe:
            if self.mtu.probeArrived(size: Int(frame.value), at: now) {
                self.recovery.maximumPacketSize = self.mtu.confirmed
            }
        case .flowOpen:
            if let flow = self.flow(frame) { flow.pointee.opening.acknowledged() }
        case .segment:
            guard let stream = self.stream(frame) else { return }
            if stream.pointee.sender.acknowledge(frame.value, part: frame.part) {
                self.board.watchStall(stream, at: now)
                self.roomAppeared(stream)
                self.scheduleData(stream)
            }
            self.finishIfDone(stream)
        case .open:
            if let stream = self.stream(frame) { stream.pointee.opening.acknowledged() }
        case .close:
            guard let stream = self.stream(frame) else { return }
            stream.pointee.ending = .acknowledged
            self.finishIfDone(stream)
        case .reset:
            if let stream = self.stream(frame), stream.pointee.isReset { self.release(stream) }
        case .datagram, .copy:
            if let flow = self.flow(frame) { self.datagramArrived(frame, in: flow, at: now) }
        case .window, .refusal, .rate, .mayDeflate, .ratchet:
            return
        }
    }

    /// Given up for lost and acknowledged after all.
    private func cameBack(_ frame: FrameRecord, at now: Instant) {
        guard frame.kind == .datagram || frame.kind == .copy, let flow = self.flow(frame) else {
            return
        }
        self.datagramArrived(frame, in: flow, at: now)
    }

    private func lost(_ frame: FrameRecord, at now: Instant) {
        switch frame.kind {
        case .mtuProbe: self.mtu.probeLost(size: Int(frame.value), at: now)
        case .flowOpen: return
        case .datagram, .copy:
            if let flow = self.flow(frame) { self.datagramLost(frame, in: flow) }
        case .segment:
            guard let stream = self.stream(frame), !stream.pointee.isReset else { return }
            _ = self.takeForLost(frame, of: stream)
        case .open: self.repeatControl(frame, .open)
        case .close: self.repeatControl(frame, .close)
        case .reset: self.repeatControl(frame, .reset)
        case .window: self.repeatControl(frame, .window)
        case .refusal: self.repeatRefusal(frame)
        case .rate: self.isRateDue = true
        case .mayDeflate: self.repeatMayDeflate(frame)
        case .ratchet: self.repeatRatchet(frame)
        }
    }

    /// The segment of a frame goes out once more; the memory for the note of that is charged.
    ///
    /// False if it is on its way already, or here no more.
    func takeForLost(_ frame: FrameRecord, of stream: StreamPointer) -> Bool {
        defer { self.settleMemory(of: stream) }
        guard stream.pointee.sender.lose(frame.value) else { return false }
        self.scheduleData(stream)
        return true
    }

    private func repeatControl(_ frame: FrameRecord, _ pending: Stream.Pending) {
        guard let stream = self.stream(frame) else { return }
        if pending == .open, stream.pointee.opening.isKnown { return }
        if pending == .close, stream.pointee.ending == .acknowledged { return }
        if stream.pointee.isReset, pending != .reset { return }
        self.scheduleControl(stream, pending)
    }

    func owns(_ stream: StreamPointer) -> Bool {
        stream.pointee.owner == self.handle
    }

    func owns(_ flow: FlowPointer) -> Bool {
        flow.pointee.owner == self.handle
    }

    private func stream(_ frame: FrameRecord) -> StreamPointer? {
        guard let stream = self.board.streams.live(frame.slot),
            stream.pointee.conversation == frame.id, self.owns(stream)
        else { return nil }
        return stream
    }

    private func flow(_ frame: FrameRecord) -> FlowPointer? {
        guard let flow = self.board.flows.live(frame.slot), flow.pointee.id == frame.id,
            self.owns(flow)
        else { return nil }
        return flow
    }
}
