import Compression
import Erasure
import KCP
import Primitives
import Recovery

/// The streams of a session: joining, receiving, ending.
///
/// How they are written is in `StreamSet+Writing.swift`, and what carries datagrams in
/// `MessageChannel.swift`; nobody but these files changes what is stored here.
final class StreamSet {
    unowned(unsafe) let board: Switchboard
    unowned(unsafe) let leg: Leg
    let memory: MemoryCharge
    let owner: SessionHandle
    let isClient: Bool

    /// Slots by conversation.
    private var slots = IndexTable()
    /// Which conversations the peer has opened.
    private var opened = OpenedIDs()
    private var nextConversation: UInt32 = 1
    /// Whose turn it is.
    var queues = StreamQueues()
    /// Small segments that go out once more.
    var copies: SegmentCopies
    /// Receive windows granted above the initial one of each stream.
    private var grantedBytes = 0
    /// When a stream last ran dry whose driver has more for it.
    var starvedAt = Instant(nanoseconds: 0)

    init(
        of owner: SessionHandle,
        isClient: Bool,
        redundancy: RedundancyLevel,
        over leg: Leg,
        charging memory: MemoryCharge,
        _ board: Switchboard,
        at now: Instant
    ) {
        self.owner = owner
        self.isClient = isClient
        self.copies = SegmentCopies(level: redundancy, at: now)
        self.leg = leg
        self.memory = memory
        self.board = board
    }

    var count: Int { self.slots.count }

    /// The stream of a conversation.
    func stream(_ conversation: UInt32) -> StreamPointer? {
        let slot = self.slots[conversation]
        guard slot != IndexTable.none else { return nil }
        let stream = self.board.streams[slot]
        assert(self.owns(stream) && stream.pointee.conversation == conversation)
        return stream
    }

    func owns(_ stream: StreamPointer) -> Bool { stream.pointee.owner == self.owner }

    /// The stream that a packet's frame belonged to, if that is not over.
    func stream(of frame: FrameRecord) -> StreamPointer? {
        guard let stream = self.board.streams.live(frame.slot),
            stream.pointee.conversation == frame.id, self.owns(stream)
        else { return nil }
        return stream
    }

    /// Shows all of them.
    func forEach(_ look: (StreamPointer) -> Void) {
        for slot in self.board.streams.slots {
            if let stream = self.board.streams.live(slot), self.owns(stream) { look(stream) }
        }
    }

    // MARK: - Joining

    private func attach(_ stream: StreamPointer, _ conversation: UInt32) {
        precondition(stream.pointee.owner == nil, "the stream has a session")
        precondition(self.slots[conversation] == IndexTable.none, "the conversation is taken")
        stream.pointee.owner = self.owner
        stream.pointee.conversation = conversation
        self.slots.insert(conversation, stream.pointee.slot)
        self.memory.settle(stream)
    }

    /// Client: gives a stream that waited for a session its conversation.
    func adopt(_ stream: StreamPointer, mayDeflate: Bool) {
        precondition(self.isClient, "a server opens nothing")
        self.attach(stream, self.nextConversation)
        self.nextConversation += 1
        if mayDeflate { stream.pointee.compression?.allowDeflating() }
        self.schedule(stream, .open)
        self.scheduleData(stream)
        if stream.pointee.isReadyToClose { self.schedule(stream, .close) }
    }

    /// Server: the peer has opened a stream.
    func accept(_ stream: StreamPointer, _ conversation: UInt32) {
        precondition(!self.isClient, "a server opens nothing")
        assert(!self.isUsed(conversation), "opened twice")
        self.opened.insert(conversation)
        self.attach(stream, conversation)
        stream.pointee.opening = .received
    }

    /// Server: the peer has used up a conversation for a stream that there is not.
    func skip(_ conversation: UInt32) { self.opened.insert(conversation) }

    /// Whether a conversation was opened before, or used up.
    func isUsed(_ conversation: UInt32) -> Bool {
        self.isClient
            ? conversation < self.nextConversation : self.opened.contains(conversation)
    }

    // MARK: - Receiving

    func receive(_ body: UnsafeRawBufferPointer) -> Receipt {
        var reader = ByteReader(body)
        guard let frame = StreamFrame(parsing: &reader) else { return self.malformed() }
        guard let stream = self.stream(frame.conversation) else {
            return self.stray(frame.conversation)
        }
        guard !stream.pointee.isReset else { return .taken }
        var outcome: HostedReceiver.Outcome
        repeat {
            outcome = stream.pointee.receiver.receive(
                number: frame.number,
                offset: frame.offset,
                reader.rest,
                allowance: self.memory.allowance
            )
        } while outcome == .noRoom && self.relieve()
        return self.took(outcome, for: stream)
    }

    func receivePart(_ body: UnsafeRawBufferPointer) -> Receipt {
        var reader = ByteReader(body)
        guard let frame = StreamPartFrame(parsing: &reader) else { return self.malformed() }
        let segment = frame.segment
        guard let stream = self.stream(segment.conversation) else {
            return self.stray(segment.conversation)
        }
        guard !stream.pointee.isReset else { return .taken }
        var outcome: HostedReceiver.Outcome
        repeat {
            outcome = stream.pointee.receiver.receivePart(
                number: segment.number,
                offset: segment.offset,
                segmentByteCount: Int(frame.segmentByteCount),
                firstChunk: Int(frame.firstChunk),
                reader.rest,
                allowance: self.memory.allowance
            )
        } while outcome == .noRoom && self.relieve()
        return self.took(outcome, for: stream)
    }

    private func took(_ outcome: HostedReceiver.Outcome, for stream: StreamPointer) -> Receipt {
        self.memory.settle(stream)
        switch outcome {
        case .accepted(let isReadable):
            if isReadable { self.board.markReady(stream) }
        case .duplicate: break
        case .violation:
            self.failViolation(stream)
        case .noRoom:
            self.board.drop(.sessionMemory)
            return .noMemory
        }
        return .taken
    }

    private func malformed() -> Receipt {
        self.board.drop(.malformed)
        return .taken
    }

    /// A frame for a conversation that is not here: an old acquaintance, or one never opened.
    private func stray(_ conversation: UInt32) -> Receipt {
        self.board.drop(.unknownStream)
        guard !self.isUsed(conversation) else { return .taken }
        return .unknown(ChannelID(ChannelKind.stream, conversation), .limit)
    }

    func receive(_ frame: WindowFrame) {
        guard let stream = self.stream(frame.conversation) else { return }
        stream.pointee.sender.raiseCredit(to: frame.limit)
        self.scheduleData(stream)
    }

    func receive(_ frame: CloseFrame) -> Receipt {
        guard let stream = self.stream(frame.conversation) else {
            return self.stray(frame.conversation)
        }
        guard !stream.pointee.isReset else { return .taken }
        switch stream.pointee.receiver.finish(at: frame.segmentCount) {
        case .accepted(_):
            self.board.markReady(stream)
            self.queues.appendEnded(stream.pointee.slot)
        case .duplicate, .noRoom: break
        case .violation: self.failViolation(stream)
        }
        return .taken
    }

    /// The peer ends a stream at once.
    func receiveReset(_ conversation: UInt32, _ reason: ResetReason) {
        // The OPEN of a stream reset this early may still be on its way.
        if !self.isClient { self.opened.insert(conversation) }
        guard let stream = self.stream(conversation) else { return }
        if reason == .stalled { self.board.drop(.stalled) }
        self.act(on: stream.pointee.on(.cut(reason)), stream)
    }

    // MARK: - The fate of frames

    func acknowledged(_ frame: FrameRecord, at now: Instant) {
        guard let stream = self.stream(of: frame) else { return }
        switch frame.kind {
        case .open: stream.pointee.opening.acknowledged()
        case .segment:
            if stream.pointee.sender.acknowledge(frame.value, part: frame.part) {
                self.board.watchStall(stream, at: now)
                self.roomAppeared(stream)
                self.scheduleData(stream)
            }
            self.look(at: stream)
        case .close: self.act(on: stream.pointee.on(.closeAcknowledged), stream)
        case .reset: self.act(on: stream.pointee.on(.resetAcknowledged), stream)
        default: return
        }
    }

    func lost(_ frame: FrameRecord) {
        guard let stream = self.stream(of: frame) else { return }
        switch frame.kind {
        case .close: return self.act(on: stream.pointee.on(.closeLost), stream)
        case .reset: return self.act(on: stream.pointee.on(.resetLost), stream)
        default: break
        }
        guard !stream.pointee.isReset else { return }
        switch frame.kind {
        case .segment: _ = self.takeForLost(frame, of: stream)
        case .open:
            if !stream.pointee.opening.isKnown { self.schedule(stream, .open) }
        case .window: self.schedule(stream, .window)
        default: return
        }
    }

    /// The segment of a frame goes out once more; the memory for the note of that is charged.
    ///
    /// False if it is on its way already, or here no more.
    func takeForLost(_ frame: FrameRecord, of stream: StreamPointer) -> Bool {
        defer { self.memory.settle(stream) }
        guard stream.pointee.sender.lose(frame.value) else { return false }
        self.scheduleData(stream)
        return true
    }

    // MARK: - The local side

    /// Bytes of the driver's that leave soon.
    private var unsentTarget: Int {
        max(131_072, Int(min(self.leg.pacingRate / 100, 16_000_000)))
    }

    /// How many more bytes the local side may hand over now.
    ///
    /// Bytes that cannot leave soon stay in the local socket, where TCP's own back-pressure sees
    /// them: at most ten milliseconds of the path's rate waits unsent (the idea of
    /// TCP_NOTSENT_LOWAT). Where memory is short, idle streams give theirs back for it.
    func makeRoom(_ stream: StreamPointer) -> Int {
        let wanted = self.unsentTarget - stream.pointee.sender.unsentByteCount
        var room = stream.pointee.sender.room(allowance: self.memory.allowance)
        while room < wanted, stream.pointee.sender.isShort(allowance: self.memory.allowance),
            self.relieve()
        {
            room = stream.pointee.sender.room(allowance: self.memory.allowance)
        }
        return max(0, min(room, wanted))
    }

    /// Room in the send buffer appeared: tells the driver if it waits for some.
    func roomAppeared(_ stream: StreamPointer) {
        guard stream.pointee.wantsRoom, self.makeRoom(stream) > 0 else { return }
        stream.pointee.wantsRoom = false
        self.board.markReady(stream)
    }

    /// Asks the driver for more while half of what it gave still waits, so that the path never
    /// waits for the driver.
    func askAhead(_ stream: StreamPointer) {
        guard stream.pointee.wantsRoom,
            stream.pointee.sender.unsentByteCount < self.unsentTarget / 2
        else { return }
        self.roomAppeared(stream)
    }

    /// The local side consumed bytes: raises the peer's credit when that is worth a frame.
    func updateCredit(_ stream: StreamPointer, at now: Instant) {
        let before = stream.pointee.receiver.window
        // Half of what is left: streams whose readers stall do not keep the others small.
        let left = max(0, self.board.limits.sessionBuffer - self.grantedBytes)
        let limit = stream.pointee.receiver.creditUpdate(
            roundTrip: self.leg.roundTrip,
            growth: left / 2,
            at: now
        )
        guard limit != nil else { return }
        self.grantedBytes += stream.pointee.receiver.window - before
        assert(self.grantedBytes >= 0)
        self.schedule(stream, .window)
    }

    // MARK: - Ending

    /// Does what the fate of a stream asks for; it may be gone afterwards.
    func act(on action: StreamLifecycle.Action, _ stream: StreamPointer) {
        assert(self.owns(stream), "another session's stream")
        switch action {
        case .nothing: return
        case .writeClose:
            assert(stream.pointee.lifecycle == .finishing)
            if stream.pointee.isReadyToClose { self.schedule(stream, .close) }
        case .repeatClose:
            assert(stream.pointee.sender.unsentByteCount == 0, "CLOSE before the last byte")
            self.schedule(stream, .close)
        case .repeatReset:
            assert(stream.pointee.isReset)
            self.schedule(stream, .reset)
        case .writeReset:
            assert(stream.pointee.isReset)
            stream.pointee.pending = []
            self.schedule(stream, .reset)
        case .fail(let reason):
            self.announceEnd(stream, reason)
            stream.pointee.pending = []
            self.schedule(stream, .reset)
        case .end(let reason):
            self.announceEnd(stream, reason)
            self.release(stream)
        case .release:
            assert(stream.pointee.isReset, "the driver was not told")
            self.release(stream)
        case .look: self.look(at: stream)
        }
    }

    /// Something was acknowledged or consumed: the stream is history if both directions are over.
    func look(at stream: StreamPointer) {
        guard stream.pointee.isSettled else { return }
        self.act(on: stream.pointee.on(.settled), stream)
    }

    /// The peer's end was found where no bytes are left to be consumed.
    func endedWithoutBytes(_ stream: StreamPointer) {
        guard stream.pointee.lifecycle == .closed, stream.pointee.isSettled else { return }
        self.queues.appendEnded(stream.pointee.slot)
    }

    /// Ends streams that had nothing left to do but to hear of their peer's end.
    func finishEnded() {
        while let slot = self.queues.popEnded() {
            guard let stream = self.board.streams.live(slot), self.owns(stream) else { continue }
            self.look(at: stream)
        }
    }

    /// The local side has ended; what it wrote still goes out.
    func finish(_ stream: StreamPointer) {
        self.scheduleData(stream)
        self.act(on: stream.pointee.on(.finished), stream)
    }

    /// Takes the stream out of every table; queued slots are skipped when they come up.
    private func release(_ stream: StreamPointer) {
        precondition(self.owns(stream), "another session's stream")
        assert(self.slots[stream.pointee.conversation] == stream.pointee.slot)
        self.slots.remove(stream.pointee.conversation)
        self.grantedBytes -= stream.pointee.receiver.window - EngineLimits.initialWindow
        assert(self.grantedBytes >= 0, "more credit is taken back than was granted")
        self.memory.hold(-stream.pointee.chargedByteCount)
        self.board.streams.release(stream.pointee.slot)
    }

    /// Ends a stream from this side; the driver knows.
    func reset(_ stream: StreamPointer, reason: ResetReason) {
        self.act(on: stream.pointee.on(.aborted(reason)), stream)
    }

    /// Ends a stream from this side; the driver is told `told`, if that is not the same.
    func fail(_ stream: StreamPointer, _ reason: ResetReason, telling told: ResetReason? = nil) {
        self.act(on: stream.pointee.on(.failed(reason, telling: told ?? reason)), stream)
    }

    /// Ends a stream at once, its slot included: the word about it needs none.
    func cut(_ stream: StreamPointer, _ reason: ResetReason) {
        self.act(on: stream.pointee.on(.cut(reason)), stream)
    }

    /// The peer broke the rules of one stream: that stream ends, the session goes on.
    func failViolation(_ stream: StreamPointer) {
        self.board.drop(.protocolViolation)
        self.fail(stream, .protocolViolation)
    }

    /// The peer sent what this end does not inflate: the stream ends, the session goes on.
    func failCompression(of stream: StreamPointer, _ fault: CompressedStreamReader.Fault) {
        switch fault {
        case .corrupt: self.board.drop(.protocolViolation)
        case .forbidden: self.board.drop(.compressionForbidden)
        case .excessive: self.board.drop(.inflationBudget)
        }
        self.fail(stream, .compression)
    }

    /// The session is over: no stream of it can be carried on.
    func drop(reason: ResetReason) {
        self.forEach { self.cut($0, reason) }
        assert(self.count == 0 && self.grantedBytes == 0)
    }

    // MARK: - Memory

    private static let reliefSample: UInt32 = 32

    /// Lets go of memory that streams had and do not need now, a few streams at a time; true if
    /// there was some.
    ///
    /// Asked where memory is short: whoever was busy once and is idle now does not keep others
    /// small. Each call looks at the next streams, so that its cost does not depend on how many
    /// there are.
    func relieve() -> Bool {
        let before = self.memory.byteCount
        let count = self.board.streams.slots.upperBound
        for _ in 0..<min(Self.reliefSample, count) {
            let hand = self.board.reliefHand + 1 < count ? self.board.reliefHand + 1 : 0
            self.board.reliefHand = hand
            guard let stream = self.board.streams.live(hand), self.owns(stream) else { continue }
            stream.pointee.receiver.releaseIdle()
            stream.pointee.sender.releaseIdle()
            self.memory.settle(stream)
        }
        return self.memory.byteCount < before
    }

    /// Bytes of memory, counted anew: it looks at every stream.
    var memoryByteCount: Int {
        var count = 0
        self.forEach { count += $0.pointee.memoryByteCount }
        return count
    }
}
