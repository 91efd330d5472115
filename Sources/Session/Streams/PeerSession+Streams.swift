import KCP
import Primitives
import Recovery

/// The streams of a session: joining, scheduling, ending.
extension PeerSession {
    func attach(_ stream: StreamPointer, conversation: UInt32) {
        stream.pointee.owner = self.handle
        stream.pointee.conversation = conversation
        self.conversations.insert(conversation, stream.pointee.slot)
        self.settleMemory(of: stream)
    }

    /// Client: gives a stream that waited for a session its conversation.
    func adopt(_ stream: StreamPointer) {
        self.attach(stream, conversation: self.nextConversation)
        self.nextConversation += 1
        if let compression = stream.pointee.compression,
            self.deflatable.contains(ServiceName(stream.pointee.request))
        {
            compression.allowDeflating()
        }
        self.scheduleControl(stream, .open)
        self.scheduleData(stream)
        if stream.pointee.isReadyToClose { self.scheduleControl(stream, .close) }
    }

    func scheduleControl(_ stream: StreamPointer, _ pending: Stream.Pending) {
        stream.pointee.pending.formUnion(pending)
        guard !stream.pointee.isInControlQueue else { return }
        stream.pointee.isInControlQueue = true
        self.control.append(stream.pointee.slot)
        self.boundQueues()
    }

    /// Takes the slots of released streams out of the queues.
    ///
    /// They are skipped when their turn comes. While nothing may be sent no turn comes, and a peer
    /// that opens and resets streams would make the queues grow for ever.
    private func boundQueues() {
        let most = 2 * self.conversations.count + 64
        guard self.control.count > most || self.ended.count > most || self.rounds.count > 3 * most
        else { return }
        let isMine = { [board, handle] (stream: UInt32) in
            board.streams.live(stream).map { $0.pointee.owner == handle } ?? false
        }
        self.control.keepFirst { stream in
            isMine(stream) && self.board.streams[stream].pointee.isInControlQueue
        }
        self.ended.keepFirst(where: isMine)
        self.rounds.keepFirst { stream in
            isMine(stream) && self.board.streams[stream].pointee.isInDataQueue
        }
    }

    /// Puts a stream that has something to send into the round, new ones first.
    func scheduleData(_ stream: StreamPointer) {
        guard !stream.pointee.isInDataQueue, stream.pointee.hasDataToSend else { return }
        stream.pointee.isInDataQueue = true
        stream.pointee.tier = stream.pointee.isUrgent ? .urgent : .fresh
        stream.pointee.deficit = self.mtu.confirmed
        self.rounds.append(stream.pointee.slot, stream.pointee.tier)
    }

    /// Room in the send buffer appeared: tells the driver if it waits for some.
    func roomAppeared(_ stream: StreamPointer) {
        guard stream.pointee.wantsRoom, self.roomForWriting(stream) > 0 else { return }
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

    private var unsentTarget: Int {
        max(131_072, Int(min(self.recovery.pacingRate / 100, 16_000_000)))
    }

    /// How many more bytes the local side may hand over now.
    ///
    /// Bytes that cannot leave soon stay in the local socket, where TCP's own back-pressure sees
    /// them: at most ten milliseconds of the path's rate waits unsent (the idea of
    /// TCP_NOTSENT_LOWAT).
    func roomForWriting(_ stream: StreamPointer) -> Int {
        let wanted = self.unsentTarget - stream.pointee.sender.unsentByteCount
        var room = stream.pointee.sender.room(allowance: self.allowance)
        while room < wanted, stream.pointee.sender.isShort(allowance: self.allowance),
            self.relieve()
        {
            room = stream.pointee.sender.room(allowance: self.allowance)
        }
        return max(0, min(room, wanted))
    }

    /// The end was asked for: announces it once all bytes are cut.
    func finishRequested(_ stream: StreamPointer) {
        if stream.pointee.isReadyToClose { self.scheduleControl(stream, .close) }
    }

    /// Both directions are over and acknowledged: the stream is history.
    func finishIfDone(_ stream: StreamPointer) {
        guard stream.pointee.ending == .acknowledged, !stream.pointee.isReset,
            stream.pointee.sender.isEverythingAcknowledged, stream.pointee.isReceiveFinished
        else { return }
        self.announceEnd(stream, nil)
        self.release(stream)
    }

    /// The peer's end was found where no bytes are left to be consumed.
    func endedWithoutBytes(_ stream: StreamPointer) {
        guard stream.pointee.ending == .acknowledged, !stream.pointee.isReset,
            stream.pointee.sender.isEverythingAcknowledged
        else { return }
        self.ended.append(stream.pointee.slot)
    }

    /// Streams that had nothing left to do but to hear of their peer's end.
    func finishEnded() {
        while let slot = self.ended.popFirst() {
            guard let stream = self.board.streams.live(slot),
                self.owns(stream)
            else { continue }
            self.finishIfDone(stream)
        }
    }

    /// Takes the stream out of every table; queued slots are skipped when they come up.
    func release(_ stream: StreamPointer) {
        self.conversations.remove(stream.pointee.conversation)
        self.grantedBytes -= stream.pointee.receiver.window - EngineLimits.initialWindow
        self.hold(-stream.pointee.chargedByteCount)
        self.board.streams.release(stream.pointee.slot)
    }

    /// Ends a stream from this side; the slot lives until the peer has the RESET.
    func reset(_ stream: StreamPointer, reason: ResetReason) {
        stream.pointee.isReset = true
        stream.pointee.resetReason = reason
        stream.pointee.pending = []
        self.scheduleControl(stream, .reset)
    }

    /// The local side consumed bytes: raises the peer's credit when that is worth a frame.
    func updateCredit(_ stream: StreamPointer, at now: Instant) {
        let before = stream.pointee.receiver.window
        // Half of what is left: streams whose readers stall do not keep the others small.
        let left = max(0, self.board.limits.sessionBuffer - self.grantedBytes)
        let limit = stream.pointee.receiver.creditUpdate(
            roundTrip: self.recovery.smoothedRTT,
            growth: left / 2,
            at: now
        )
        guard limit != nil else { return }
        self.grantedBytes += stream.pointee.receiver.window - before
        self.scheduleControl(stream, .window)
    }

    /// The session is over: no stream of it can be carried on.
    func dropStreams(reason: ResetReason) {
        for slot in self.board.streams.slots {
            guard let stream = self.board.streams.live(slot),
                self.owns(stream)
            else { continue }
            if !stream.pointee.isReset { self.announceEnd(stream, reason) }
            self.release(stream)
        }
    }
}
