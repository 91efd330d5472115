import Erasure
import Primitives

/// The flows of a session: joining, receiving, ending.
///
/// How they are written is in `FlowSet+Writing.swift`, and what is added to them against loss in
/// `FlowSet+Redundancy.swift`; nobody but these files changes what is stored here.
///
/// Flows whose delivery is `reliable` are not among them: a stream carries those, see
/// `MessageChannel.swift`.
final class FlowSet {
    unowned(unsafe) let board: Switchboard
    unowned(unsafe) let leg: Leg
    let memory: MemoryCharge
    let owner: SessionHandle
    let isClient: Bool

    /// Slots by id.
    private var slots = IndexTable()
    /// Which ids the peer has opened.
    private var opened = OpenedIDs()
    private var nextID: UInt32 = 1
    /// Flows with datagrams to send.
    var queue = SlotQueue()
    private var reassembly = Reassembly()
    /// What has been charged for datagrams in parts.
    private var chargedPlaceByteCount = 0
    /// Flows with a decoder, whose memory is bounded.
    private(set) var decoderCount = 0
    var redundancy = RedundancyTimes()

    /// Decoders cost half a megabyte each.
    private static let decoderLimit = 32
    private static let decoderByteCount = 450_000

    init(
        of owner: SessionHandle,
        isClient: Bool,
        over leg: Leg,
        charging memory: MemoryCharge,
        _ board: Switchboard
    ) {
        self.owner = owner
        self.isClient = isClient
        self.leg = leg
        self.memory = memory
        self.board = board
    }

    var count: Int { self.slots.count }

    /// The flow of an id.
    func flow(_ id: UInt32) -> FlowPointer? {
        let slot = self.slots[id]
        guard slot != IndexTable.none else { return nil }
        let flow = self.board.flows[slot]
        assert(self.owns(flow) && flow.pointee.id == id)
        return flow
    }

    func owns(_ flow: FlowPointer) -> Bool { flow.pointee.owner == self.owner }

    /// The flow that a packet's frame belonged to, if that is not over.
    func flow(of frame: FrameRecord) -> FlowPointer? {
        guard let flow = self.board.flows.live(frame.slot), flow.pointee.id == frame.id,
            self.owns(flow)
        else { return nil }
        return flow
    }

    /// Shows all flows of the session, those that streams carry among them.
    func forEach(_ look: (FlowPointer) -> Void) {
        for slot in self.board.flows.slots {
            if let flow = self.board.flows.live(slot), self.owns(flow) { look(flow) }
        }
    }

    // MARK: - Joining and leaving

    private func attach(_ flow: FlowPointer, _ id: UInt32) {
        precondition(self.slots[id] == IndexTable.none, "the id is taken")
        let action = flow.pointee.on(.attached(self.owner), isClient: self.isClient)
        assert(action == .nothing)
        flow.pointee.id = id
        self.slots.insert(id, flow.pointee.slot)
        self.memory.settle(flow)
    }

    /// Client: gives a flow an id in this session; its OPEN travels with its next datagram.
    func adopt(_ flow: FlowPointer, mayDeflate: Bool) {
        precondition(self.isClient, "a server opens nothing")
        self.attach(flow, self.nextID)
        self.nextID += 1
        flow.pointee.mayCompress = flow.pointee.request.isCompressed && mayDeflate
        flow.pointee.opening = Opening(of: flow.pointee.request)
        flow.pointee.fragments.offset = 0
        flow.pointee.fragments.index = 0
        self.schedule(flow)
    }

    /// Server: the peer has opened a flow.
    func accept(_ flow: FlowPointer, _ id: UInt32, under service: PeerDirectory.Service) {
        precondition(!self.isClient, "a server opens nothing")
        assert(!self.isUsed(id), "opened twice")
        self.opened.insert(id)
        self.attach(flow, id)
        flow.pointee.opening = .received
        flow.pointee.request.redundancy = service.redundancy
        flow.pointee.mayCompress = service.allowsCompression
        flow.pointee.inflation.mayInflate = service.allowsCompression
    }

    /// Server: the peer has used up an id for a flow that there is not.
    func skip(_ id: UInt32) { self.opened.insert(id) }

    /// Server: whether an id was opened before, or used up.
    func isUsed(_ id: UInt32) -> Bool { self.opened.contains(id) }

    /// Takes a flow out of this session; returns what is to be done with it.
    private func leave(_ flow: FlowPointer, _ event: FlowLifecycle.Event) -> FlowLifecycle.Action {
        precondition(self.owns(flow), "another session's flow")
        // What a stream carries has no id of its own.
        if flow.pointee.carrier == nil, self.slots[flow.pointee.id] == flow.pointee.slot {
            self.slots.remove(flow.pointee.id)
        }
        self.forget(flow)
        return flow.pointee.on(event, isClient: self.isClient)
    }

    /// Forgets what this session knows of a flow; on a client it may join another.
    private func forget(_ flow: FlowPointer) {
        self.redundancy.cancel(flow.pointee.slot)
        if flow.pointee.decoder != nil {
            self.decoderCount -= 1
            assert(self.decoderCount >= 0)
            self.memory.hold(-Self.decoderByteCount)
        }
        self.memory.settle(&flow.pointee.chargedByteCount, to: 0)
        flow.pointee.decoder = nil
        flow.pointee.protection = nil
        flow.pointee.resetRetention()
        flow.pointee.mayCompress = false
        flow.pointee.inflation = DatagramPacking.InflationRule()
        flow.pointee.arrivals = DuplicateFilter()
        flow.pointee.isQueued = false
    }

    /// Ends a flow of which the driver knows.
    func close(_ flow: FlowPointer) { self.board.act(on: self.leave(flow, .closed), flow) }

    /// The session is over: a client keeps its flows for the next one, a server ends them.
    func drop(reason: ResetReason) {
        self.forEach { flow in
            self.board.act(on: self.leave(flow, .sessionOver(reason)), flow)
        }
        assert(self.count == 0 && self.decoderCount == 0)
    }

    /// The session is over, and with it what was charged to none of its flows.
    func releaseMemory() { self.memory.settle(&self.chargedPlaceByteCount, to: 0) }

    /// Bytes of memory, counted anew: it looks at every flow.
    var memoryByteCount: Int {
        var count = self.reassembly.memoryByteCount + self.decoderCount * Self.decoderByteCount
        self.forEach { flow in
            if flow.pointee.carrier == nil { count += flow.pointee.memoryByteCount }
        }
        return count
    }

    // MARK: - Receiving

    func receive(_ body: UnsafeRawBufferPointer, at now: Instant) -> Receipt {
        var reader = ByteReader(body)
        guard let frame = DatagramFrame(parsing: &reader) else { return self.malformed() }
        guard let flow = self.flow(frame.flow) else { return self.unknown(frame.flow) }
        flow.pointee.decoder?.received(frame.number, reader.rest, at: now)
        if flow.pointee.arrivals.admit(frame.number) {
            self.deliver(reader.rest, to: flow, at: now)
        }
        if flow.pointee.decoder != nil { self.deliverRecovered(flow, at: now) }
        return .taken
    }

    func receiveCopies(_ body: UnsafeRawBufferPointer, at now: Instant) -> Receipt {
        var reader = ByteReader(body)
        guard let id = CopiesFrame(parsing: &reader)?.flow else { return self.malformed() }
        guard let flow = self.flow(id) else { return self.unknown(id) }
        var messages = CopyReader(reader.rest)
        while let (number, bytes) = messages.next() {
            guard flow.pointee.arrivals.admit(number) else { continue }
            self.board.counters.packetsRecovered &+= 1
            self.deliver(bytes, to: flow, at: now)
        }
        return messages.isMalformed ? self.malformed() : .taken
    }

    func receiveRepair(_ body: UnsafeRawBufferPointer, at now: Instant) -> Receipt {
        var reader = ByteReader(body)
        guard let id = RepairFrame(parsing: &reader)?.flow else { return self.malformed() }
        guard let flow = self.flow(id) else { return self.unknown(id) }
        if flow.pointee.decoder == nil {
            var peek = reader
            guard self.decoderCount < Self.decoderLimit,
                self.memory.mayHold(Self.decoderByteCount),
                let header = RepairHeader(reading: &peek)
            else {
                self.board.drop(.reassemblyFull)
                return .taken
            }
            // What this first repair covers is gone; the next ones find what comes from now on.
            flow.pointee.decoder = SlidingWindowDecoder(
                from: header.last &+ 1,
                maximumMessageByteCount: 1472,
                hasBudget: true
            )
            self.decoderCount += 1
            assert(self.decoderCount <= Self.decoderLimit)
            self.memory.hold(Self.decoderByteCount)
        }
        switch flow.pointee.decoder?.received(repair: reader.rest) {
        case .malformed: self.board.drop(.malformed)
        case .overBudget: self.board.drop(.repairBudget)
        default: break
        }
        self.deliverRecovered(flow, at: now)
        return .taken
    }

    func receiveFragment(_ body: UnsafeRawBufferPointer, at now: Instant) -> Receipt {
        var reader = ByteReader(body)
        guard let frame = FragmentFrame(parsing: &reader) else { return self.malformed() }
        let datagram = frame.datagram
        guard let flow = self.flow(datagram.flow) else { return self.unknown(datagram.flow) }
        let before = self.reassembly.abandoned
        let outcome = self.reassembly.receive(
            flow: datagram.flow,
            number: datagram.number,
            index: Int(frame.index),
            count: Int(frame.count),
            offset: Int(frame.offset),
            total: Int(frame.total),
            reader.rest,
            mayGrow: self.memory.mayHold(Reassembly.placeByteCount),
            at: now
        )
        self.memory.settle(&self.chargedPlaceByteCount, to: self.reassembly.memoryByteCount)
        for _ in before..<self.reassembly.abandoned { self.board.drop(.reassemblyStale) }
        switch outcome {
        case .incomplete: break
        case .malformed: return self.malformed()
        case .complete(let bytes):
            guard flow.pointee.arrivals.admit(datagram.number) else { break }
            self.deliver(bytes, to: flow, at: now)
        }
        return .taken
    }

    /// The peer ends a flow, or does not know it.
    func receiveReset(_ id: UInt32, _ reason: ResetReason) -> Receipt {
        guard let flow = self.flow(id) else { return .taken }
        let action = self.leave(flow, .resetByPeer(reason))
        guard action != .reopen else { return .reopen(flow) }
        self.board.act(on: action, flow)
        return .taken
    }

    private func malformed() -> Receipt {
        self.board.drop(.malformed)
        return .taken
    }

    private func unknown(_ id: UInt32) -> Receipt {
        self.board.drop(.unknownFlow)
        return .unknown(ChannelID(ChannelKind.flow, id), .flowUnknown)
    }

    /// A message that repairs give back so much later than its siblings came is worth nothing, on a
    /// short path.
    private static let recoveryLifetime = Instant.Interval.milliseconds(150)

    private func deliverRecovered(_ flow: FlowPointer, at now: Instant) {
        let roundTrip = self.leg.roundTrip
        let age = max(roundTrip + roundTrip / 2, Self.recoveryLifetime)
        let oldest = now - age
        while let (number, message) = flow.pointee.decoder?.nextRecovered(siblingsSince: oldest) {
            guard flow.pointee.arrivals.admit(number) else { continue }
            self.board.counters.packetsRecovered &+= 1
            self.deliver(message, to: flow, at: now)
        }
    }

    private func deliver(_ bytes: UnsafeRawBufferPointer, to flow: FlowPointer, at now: Instant) {
        assert(self.owns(flow) && flow.pointee.carrier == nil, "a stream carries it")
        assert(now >= flow.pointee.lastActivity, "time went back")
        flow.pointee.lastActivity = now
        guard !flow.pointee.request.isCompressed else {
            return self.board.deliverPacked(bytes, to: flow)
        }
        guard bytes.count <= DatagramPacking.largest else {
            return self.board.drop(.datagramTooLarge)
        }
        let target = self.board.inbox.reserve(bytes.count, for: flow.pointee.handle)
        guard let target else { return self.board.drop(.inboxFull) }
        if let source = bytes.baseAddress, !bytes.isEmpty {
            target.copyMemory(from: source, byteCount: bytes.count)
        }
    }
}
