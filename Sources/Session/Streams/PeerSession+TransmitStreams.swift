import KCP
import Primitives
import Recovery

/// The bytes of streams.
extension PeerSession {
    /// Urgent streams, then deficit round robin by bytes among the others if the path lets them.
    func writeStreams(
        _ packet: inout PacketBuilder,
        includingOthers others: Bool,
        at now: Instant
    ) {
        while packet.room > StreamFrame.byteCount,
            let (slot, tier) = self.rounds.first(includingOthers: others)
        {
            guard let stream = self.board.streams.live(slot), stream.pointee.isInDataQueue,
                stream.pointee.tier == tier, self.owns(stream),
                !stream.pointee.isReset
            else {
                self.rounds.removeFirst(tier)
                continue
            }
            if stream.pointee.deficit <= 0 {
                stream.pointee.deficit += self.mtu.confirmed
                self.rounds.removeFirst(tier)
                stream.pointee.tier = .steady
                self.rounds.append(slot, .steady)
                continue
            }
            switch self.writeSegment(of: stream, to: &packet, at: now) {
            case .written(let count):
                stream.pointee.deficit -= count
                self.askAhead(stream)
                if tier == .urgent { packet.flags.insert(.isInteractive) }
                if stream.pointee.sender.unsentByteCount == 0 { packet.flags.insert(.isAwaited) }
            case .noRoom:
                return
            case .nothing:
                self.rounds.removeFirst(tier)
                stream.pointee.isInDataQueue = false
                if stream.pointee.wantsRoom { self.starvedAt = now }
                if stream.pointee.isReadyToClose { self.writeClose(stream, to: &packet) }
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
        to packet: inout PacketBuilder,
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
            segment = stream.pointee.sender.cutSegment(room: room, mayGrow: self.mayHold(0))
            self.settleMemory(of: stream)
            if let segment, stream.pointee.tier == .urgent {
                self.protect(stream, segment, at: now)
            }
        }
        guard let segment else { return .nothing }
        self.write(segment, of: stream, to: &packet)
        packet.isTraffic = true
        return .written(segment.byteCount)
    }

    /// Writes the frame of a segment that fits.
    func write(
        _ segment: HostedSender.Segment,
        of stream: StreamPointer,
        to packet: inout PacketBuilder
    ) {
        self.writeHeader(of: segment, in: stream.pointee.conversation, to: &packet)
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

    /// Bytes of a segment that an otherwise empty packet carries, OPEN aside while that goes along.
    private func largestSegment(of stream: StreamPointer) -> Int {
        self.packetSize - RecordLayout.header - RecordLayout.tag - StreamFrame.byteCount
            - stream.pointee.opening.reserve
    }

    private func writeHeader(
        of segment: HostedSender.Segment,
        in conversation: UInt32,
        to packet: inout PacketBuilder
    ) {
        let frame = StreamFrame(
            conversation: conversation,
            number: segment.number,
            offset: UInt32(truncatingIfNeeded: segment.segmentOffset)
        )
        guard segment.part != .whole else {
            return packet.append(frame, rest: segment.byteCount)
        }
        let part = StreamPartFrame(
            segment: frame,
            segmentByteCount: UInt16(segment.segmentByteCount),  // bound: a segment's 16 bits
            firstChunk: segment.part.first
        )
        packet.append(part, rest: segment.byteCount)
    }
}
