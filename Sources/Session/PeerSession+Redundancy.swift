import Erasure
import KCP
import Primitives
import Recovery

/// Copies and repairs: what goes out beside the data so that a loss need not be waited for.
extension PeerSession {
    /// When redundancy is due next.
    var redundancyDeadline: Instant { min(self.protection.next, self.segmentCopies.deadline) }

    /// A whole datagram was written at `message`; decides what will follow it.
    func protect(
        _ flow: FlowPointer,
        _ number: UInt32,
        _ message: UnsafeRawBufferPointer,
        at now: Instant
    ) {
        flow.pointee.traffic.sent(byteCount: message.count, at: now)
        guard self.watch.hasSeenLoss, flow.pointee.request.redundancy != .off else { return }
        let protection: FlowProtection
        if let existing = flow.pointee.protection {
            protection = existing
        } else {
            let limit =
                self.mtu.confirmed - RecordLayout.header - RecordLayout.tag - FrameSize.header
                - 4 - RepairHeader.byteCount - 2
            protection = FlowProtection(flow.pointee.request, messageLimit: limit, at: now)
            flow.pointee.protection = protection
        }
        protection.sent(
            number,
            message,
            traffic: flow.pointee.traffic,
            report: self.watch.report,
            roundTrip: self.recovery.smoothedRTT,
            at: now
        )
        self.protection.set(Int(flow.pointee.slot), to: protection.deadline(at: now))
    }

    /// A small segment of a message stream was written for the first time.
    func protect(_ stream: StreamPointer, _ segment: HostedSender.Segment, at now: Instant) {
        guard segment.byteCount <= SegmentCopies.segmentByteLimit,
            stream.pointee.request.redundancy != .off
        else { return }
        self.segmentCopies.sent(
            SegmentCopies.Entry(
                dueAt: now,
                slot: stream.pointee.slot,
                conversation: stream.pointee.conversation,
                number: segment.number
            ),
            byteCount: segment.byteCount,
            watch: self.watch,
            roundTrip: self.recovery.smoothedRTT,
            at: now
        )
    }

    /// Writes the redundancy that is due.
    func writeRedundancy(_ packet: inout PacketBuilder, at now: Instant) {
        let before = packet.writer.count
        while let slot = self.protection.due(at: now), packet.room > 128 {
            guard let flow = self.board.flows.live(UInt32(slot)),
                flow.pointee.session == Int32(self.slot), let protection = flow.pointee.protection
            else {
                self.protection.set(slot, to: .never)
                continue
            }
            _ = protection.write(flow: flow.pointee.id, to: &packet, at: now)
            self.protection.set(slot, to: protection.deadline(at: now))
        }
        while self.segmentCopies.deadline <= now,
            packet.room >= FrameSize.streamHeader + SegmentCopies.segmentByteLimit,
            let entry = self.segmentCopies.next(at: now)
        {
            self.writeCopies(of: entry, to: &packet, at: now)
        }
        let spent = packet.writer.count - before
        if spent > 0 { packet.flags.insert(.isInteractive) }
        self.board.counters.redundancyBytes &+= UInt64(spent)
    }

    private func writeCopies(
        of entry: SegmentCopies.Entry,
        to packet: inout PacketBuilder,
        at now: Instant
    ) {
        guard let stream = self.board.streams.live(entry.slot),
            stream.pointee.conversation == entry.conversation,
            stream.pointee.session == Int32(self.slot), !stream.pointee.isReset,
            stream.pointee.isOpenAcknowledged || !self.isClient
        else { return }
        // The newest first: it is the one the copy is for.
        for step in 0..<UInt32(self.segmentCopies.messages) {
            guard let segment = stream.pointee.sender.outstanding(entry.number &- step),
                segment.byteCount <= SegmentCopies.segmentByteLimit,
                packet.room >= FrameSize.streamHeader + segment.byteCount,
                self.segmentCopies.spend(segment.byteCount + FrameSize.streamHeader, at: now)
            else { return }
            self.write(segment, of: stream, to: &packet)
        }
    }
}
