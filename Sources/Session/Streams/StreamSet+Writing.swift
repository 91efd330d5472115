import Erasure
import KCP
import Primitives
import Recovery

/// What streams put into packets: control frames, bytes, copies.
extension StreamSet {
    var hasControl: Bool { self.queues.hasControl }
    var hasData: Bool { self.queues.hasData }
    var hasUrgentData: Bool { self.queues.hasUrgentData }
    /// Data that window and pacer have a say in.
    var hasOtherData: Bool { self.queues.hasOtherData }

    // MARK: - Whose turn it is

    func schedule(_ stream: StreamPointer, _ pending: Stream.Pending) {
        stream.pointee.pending.formUnion(pending)
        guard !stream.pointee.isInControlQueue else { return }
        stream.pointee.isInControlQueue = true
        self.queues.appendControl(stream.pointee.slot)
        guard self.queues.isCrowded(streamCount: self.count) else { return }
        let (streams, owner) = (self.board.streams, self.owner)
        self.queues.keep { slot in
            streams.live(slot).flatMap { $0.pointee.owner == owner ? $0 : nil }
        }
    }

    /// Puts a stream that has something to send into the round, new ones first.
    func scheduleData(_ stream: StreamPointer) {
        guard !stream.pointee.turn.isQueued, stream.pointee.hasDataToSend else { return }
        stream.pointee.turn.isQueued = true
        stream.pointee.turn.tier = stream.pointee.isUrgent ? .urgent : .fresh
        stream.pointee.turn.deficit = self.leg.largestPacket
        assert(stream.pointee.turn.deficit > 0, "a turn in which nothing may be sent")
        self.queues.appendData(stream.pointee.slot, stream.pointee.turn.tier)
    }

    /// A probe timeout with nothing new to say repeats the oldest segments that are still out.
    func repeatOldest() {
        var found = 0
        var place = self.leg.log.head
        while place < self.leg.log.tail, found < 2 {
            let frame = self.leg.log[place]
            place += 1
            guard frame.kind == .segment, let stream = self.stream(of: frame),
                !stream.pointee.isReset
            else { continue }
            if self.takeForLost(frame, of: stream) { found += 1 }
        }
    }

    // MARK: - Control frames

    func writeControl(into packet: inout PacketBuilder) {
        while let slot = self.queues.firstControl, packet.room >= self.controlByteCount(slot) {
            self.queues.removeFirstControl()
            guard let stream = self.board.streams.live(slot), stream.pointee.isInControlQueue,
                self.owns(stream)
            else { continue }
            stream.pointee.isInControlQueue = false
            assert(!stream.pointee.pending.isEmpty, "it has nothing to say")
            self.writeControl(of: stream, into: &packet)
        }
    }

    /// What control frames of one stream may take.
    private func controlByteCount(_ slot: UInt32) -> Int {
        let request = self.board.streams.live(slot)?.pointee.request
        return Opening.byteCountLimit(request) + WindowFrame.byteCount
    }

    private func writeControl(of stream: StreamPointer, into packet: inout PacketBuilder) {
        let pending = stream.pointee.pending
        stream.pointee.pending = []
        let slot = stream.pointee.slot
        let id = stream.pointee.conversation
        if case .reset(let reason) = stream.pointee.lifecycle {
            assert(pending == .reset, "a stream that was reset has nothing else to say")
            packet.append(ResetFrame(channel: ChannelID(ChannelKind.stream, id), reason: reason))
            packet.note(.reset, slot: slot, id: id)
            return
        }
        guard stream.pointee.writeOpen(to: &packet, leaving: WindowFrame.byteCount) else {
            return self.schedule(stream, pending)
        }
        if pending.contains(.window) {
            let limit = stream.pointee.receiver.creditLimit
            packet.append(WindowFrame(conversation: id, limit: limit))
            packet.note(.window, slot: slot, id: id)
        }
        if pending.contains(.close) { self.writeClose(stream, into: &packet) }
    }

    private func writeClose(_ stream: StreamPointer, into packet: inout PacketBuilder) {
        guard stream.pointee.sender.unsentByteCount == 0, stream.pointee.lifecycle.owesClose else {
            return
        }
        guard stream.pointee.writeOpen(to: &packet, leaving: CloseFrame.byteCount) else {
            return self.schedule(stream, .close)
        }
        assert(!stream.pointee.isReset && stream.pointee.lifecycle != .closed)
        let id = stream.pointee.conversation
        let count = UInt32(truncatingIfNeeded: stream.pointee.sender.segmentCount)
        packet.append(CloseFrame(conversation: id, segmentCount: count))
        packet.note(.close, slot: stream.pointee.slot, id: id)
        self.act(on: stream.pointee.on(.closeWritten), stream)
    }

    // MARK: - Bytes

    /// Urgent streams, then deficit round robin by bytes among the others if the path lets them.
    func write(
        into packet: inout PacketBuilder,
        includingOthers others: Bool,
        at now: Instant
    ) {
        while packet.room > StreamFrame.byteCount,
            let (slot, tier) = self.queues.firstData(includingOthers: others)
        {
            guard let stream = self.board.streams.live(slot), stream.pointee.turn.isQueued,
                stream.pointee.turn.tier == tier, self.owns(stream),
                !stream.pointee.isReset
            else {
                self.queues.removeFirstData(tier)
                continue
            }
            if stream.pointee.turn.deficit <= 0 {
                stream.pointee.turn.deficit += self.leg.largestPacket
                self.queues.removeFirstData(tier)
                stream.pointee.turn.tier = .steady
                self.queues.appendData(slot, .steady)
                continue
            }
            switch self.writeSegment(of: stream, into: &packet, at: now) {
            case .written(let count):
                assert(count > 0, "an empty segment")
                stream.pointee.turn.deficit -= count
                self.askAhead(stream)
                if tier == .urgent { packet.flags.insert(.isInteractive) }
                if stream.pointee.sender.unsentByteCount == 0 { packet.flags.insert(.isAwaited) }
            case .noRoom:
                return
            case .nothing:
                self.queues.removeFirstData(tier)
                stream.pointee.turn.isQueued = false
                if stream.pointee.wantsRoom { self.starvedAt = now }
                if stream.pointee.isReadyToClose { self.writeClose(stream, into: &packet) }
                self.roomAppeared(stream)
            }
        }
    }

    private enum SegmentResult {
        case written(Int)
        case noRoom
        case nothing
    }

    private func writeSegment(
        of stream: StreamPointer,
        into packet: inout PacketBuilder,
        at now: Instant
    ) -> SegmentResult {
        guard stream.pointee.hasDataToSend else { return .nothing }
        guard stream.pointee.writeOpen(to: &packet, leaving: StreamFrame.byteCount + 64) else {
            return .noRoom
        }
        let room = packet.room - StreamFrame.byteCount
        var segment = stream.pointee.sender.takeLost(
            room: room,
            largest: self.largestSegment(of: stream),
            partRoom: packet.room - StreamPartFrame.byteCount
        )
        if segment == nil {
            // A lost segment that does not fit here fits the next, empty packet.
            if stream.pointee.sender.hasLost { return .noRoom }
            // No crumbs at the end of a packet that others have nearly filled.
            let waiting = stream.pointee.sender.sendableByteCount
            if room < min(waiting, 256) { return .noRoom }
            segment = stream.pointee.sender.cutSegment(room: room, mayGrow: self.memory.mayHold(0))
            self.memory.settle(stream)
            if let segment, stream.pointee.turn.tier == .urgent {
                self.protect(stream, segment, at: now)
            }
        }
        guard let segment else { return .nothing }
        assert(segment.byteCount > 0 && segment.byteCount <= room, "a segment beyond its room")
        self.write(segment, of: stream, into: &packet)
        packet.isTraffic = true
        return .written(segment.byteCount)
    }

    /// Bytes of a segment that an otherwise empty packet carries, OPEN aside while that goes along.
    private func largestSegment(of stream: StreamPointer) -> Int {
        self.leg.packetRoom - StreamFrame.byteCount - stream.pointee.opening.reserve
    }

    /// Writes the frame of a segment that fits.
    private func write(
        _ segment: HostedSender.Segment,
        of stream: StreamPointer,
        into packet: inout PacketBuilder
    ) {
        let frame = StreamFrame(
            conversation: stream.pointee.conversation,
            number: segment.number,
            offset: UInt32(truncatingIfNeeded: segment.segmentOffset)
        )
        if segment.part == .whole {
            packet.append(frame, rest: segment.byteCount)
        } else {
            let part = StreamPartFrame(
                segment: frame,
                segmentByteCount: UInt16(segment.segmentByteCount),  // bound: a segment's 16 bits
                firstChunk: segment.part.first
            )
            packet.append(part, rest: segment.byteCount)
        }
        stream.pointee.sender.copy(segment, to: packet.writer.cursor)
        packet.writer.count += segment.byteCount
        packet.note(
            .segment,
            slot: stream.pointee.slot,
            id: stream.pointee.conversation,
            value: segment.number,
            part: segment.part
        )
    }

    // MARK: - Copies

    /// When a copy of a small segment is due, and from when on one may ride along.
    var copyDeadline: Instant { self.copies.deadline }
    var earliestCopy: Instant { self.copies.earliest }

    /// A small segment of a message stream was written for the first time.
    private func protect(
        _ stream: StreamPointer,
        _ segment: HostedSender.Segment,
        at now: Instant
    ) {
        guard segment.byteCount <= SegmentCopies.segmentByteLimit,
            stream.pointee.request.redundancy != .off
        else { return }
        self.copies.sent(
            SegmentCopies.Entry(
                dueAt: now,
                readyAt: now,
                slot: stream.pointee.slot,
                conversation: stream.pointee.conversation,
                number: segment.number
            ),
            byteCount: segment.byteCount,
            watch: self.leg.watch,
            roundTrip: self.leg.roundTrip,
            at: now
        )
    }

    /// Writes copies that are due, or may ride along.
    func writeCopies(into packet: inout PacketBuilder, at now: Instant) {
        let before = packet.writer.count
        while packet.room >= StreamFrame.byteCount + SegmentCopies.segmentByteLimit,
            let entry = self.copies.next(at: now)
        {
            self.writeCopy(of: entry, into: &packet, at: now)
        }
        self.board.countRedundancy(since: before, in: &packet)
    }

    private func writeCopy(
        of entry: SegmentCopies.Entry,
        into packet: inout PacketBuilder,
        at now: Instant
    ) {
        guard let stream = self.board.streams.live(entry.slot),
            stream.pointee.conversation == entry.conversation,
            self.owns(stream), !stream.pointee.isReset, stream.pointee.opening.isKnown,
            let segment = stream.pointee.sender.outstanding(entry.number),
            segment.byteCount <= SegmentCopies.segmentByteLimit,
            packet.room >= StreamFrame.byteCount + segment.byteCount,
            self.copies.spend(segment.byteCount + StreamFrame.byteCount, at: now)
        else { return }
        self.write(segment, of: stream, into: &packet)
    }
}
