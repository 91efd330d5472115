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
        while packet.room > FrameSize.streamHeader,
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
        guard self.ensureOpen(stream, in: &packet, leaving: FrameSize.streamHeader + 64) else {
            return .noRoom
        }
        let room = packet.room - FrameSize.streamHeader
        var segment = stream.pointee.sender.takeLost(
            room: room,
            largest: self.largestSegment(of: stream),
            partRoom: packet.room - FrameSize.streamPartHeader
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
        self.note(
            .segment,
            slot: stream.pointee.slot,
            id: stream.pointee.conversation,
            value: segment.number,
            part: segment.part,
            in: packet
        )
    }

    /// Bytes of a segment that an otherwise empty packet carries, OPEN aside while that goes along.
    private func largestSegment(of stream: StreamPointer) -> Int {
        let needsOpen = self.isClient && !stream.pointee.isOpenAcknowledged
        let open = needsOpen ? FrameSize.open(stream.pointee.request) : 0
        return self.packetSize - RecordLayout.header - RecordLayout.tag - FrameSize.streamHeader
            - open
    }

    private func writeHeader(
        of segment: HostedSender.Segment,
        in conversation: UInt32,
        to packet: inout PacketBuilder
    ) {
        let isWhole = segment.part == .whole
        packet.begin(
            isWhole ? FrameType.stream : FrameType.streamPart,
            count: (isWhole ? 12 : 15) + segment.byteCount
        )
        packet.writer.write(conversation)
        packet.writer.write(segment.number)
        packet.writer.write(UInt32(truncatingIfNeeded: segment.segmentOffset))
        guard !isWhole else { return }
        packet.writer.write(UInt16(segment.segmentByteCount))  // bound: a segment's 16 bits
        packet.writer.write(segment.part.first)
    }
}
