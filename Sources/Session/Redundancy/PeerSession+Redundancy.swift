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
                self.mtu.confirmed - RecordLayout.header - RecordLayout.tag
                - RepairFrame.byteCount - RepairHeader.byteCount - 2
            protection = FlowProtection(flow.pointee.request, messageLimit: limit, at: now)
            flow.pointee.protection = protection
        }
        protection.sent(
            number,
            message,
            traffic: flow.pointee.traffic,
            report: self.watch.report,
            answer: self.answerTime,
            mayGrow: self.mayHold(FlowProtection.mostByteCount),
            at: now
        )
        self.settleMemory(of: flow)
        self.schedule(flow, protection, at: now)
    }

    private var answerTime: AnswerTime {
        let roundTrip = self.recovery.smoothedRTT
        // The peer waits up to 5 ms with its acknowledgement.
        let spread = max(self.recovery.rttVariance * 2, .milliseconds(2)) + .milliseconds(6)
        return AnswerTime(roundTrip: roundTrip, latest: roundTrip + spread)
    }

    private func schedule(_ flow: FlowPointer, _ protection: FlowProtection, at now: Instant) {
        self.protection.set(Int(flow.pointee.slot), to: protection.deadline(at: now))
        self.riders.set(Int(flow.pointee.slot), to: protection.earliest)
    }

    /// A small segment of a message stream was written for the first time.
    func protect(_ stream: StreamPointer, _ segment: HostedSender.Segment, at now: Instant) {
        guard segment.byteCount <= SegmentCopies.segmentByteLimit,
            stream.pointee.request.redundancy != .off
        else { return }
        self.segmentCopies.sent(
            SegmentCopies.Entry(
                dueAt: now,
                readyAt: now,
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
        while let slot = self.protection.due(at: now), packet.room > Self.redundancyRoom {
            guard let flow = self.protectedFlow(slot), let protection = flow.pointee.protection
            else { continue }
            let before = packet.writer.count
            self.writeCopies(of: flow, protection, to: &packet, at: now)
            protection.writeRepair(flow: flow.pointee.id, to: &packet, at: now)
            self.countRedundancy(packet.writer.count - before, in: &packet)
            self.schedule(flow, protection, at: now)
            // What finds no room here leaves in the next packet.
            if protection.deadline(at: now) <= now { break }
        }
        guard self.segmentCopies.deadline <= now else { return }
        self.writeSegmentCopies(&packet, at: now)
    }

    /// Copies that need not leave yet, but cost the least in a packet that leaves anyway.
    func writeRiders(_ packet: inout PacketBuilder, at now: Instant) {
        while let slot = self.riders.due(at: now), packet.room > Self.redundancyRoom {
            guard let flow = self.protectedFlow(slot), let protection = flow.pointee.protection
            else { continue }
            let before = packet.writer.count
            self.writeCopies(of: flow, protection, to: &packet, at: now)
            self.countRedundancy(packet.writer.count - before, in: &packet)
            self.schedule(flow, protection, at: now)
            // What finds no room here leaves in the next packet, or in one of its own.
            if protection.earliest <= now { break }
        }
        guard self.segmentCopies.earliest <= now else { return }
        self.writeSegmentCopies(&packet, at: now)
    }

    /// Room that a packet needs for a look at redundancy to be worth it.
    private static let redundancyRoom = 128

    private func protectedFlow(_ slot: Int) -> FlowPointer? {
        guard let flow = self.board.flows.live(UInt32(clamping: slot)),
            self.owns(flow), flow.pointee.protection != nil
        else {
            self.protection.set(slot, to: .never)
            self.riders.set(slot, to: .never)
            return nil
        }
        return flow
    }

    private func countRedundancy(_ byteCount: Int, in packet: inout PacketBuilder) {
        guard byteCount > 0 else { return }
        packet.flags.insert(.isInteractive)
        self.board.counters.redundancyBytes &+= UInt64(byteCount)
    }

    private func writeCopies(
        of flow: FlowPointer,
        _ protection: FlowProtection,
        to packet: inout PacketBuilder,
        at now: Instant
    ) {
        // A peer that has not heard of the flow would throw its copies away.
        let open = flow.pointee.opening.byteCount(in: packet)
        let room = packet.frameBody.room - CopiesFrame.fieldByteCount - open
        guard room > 0, var batch = protection.nextCopies(room: room, at: now),
            flow.pointee.writeOpen(to: &packet, leaving: 0)
        else { return }
        var body = packet.frameBody
        CopiesFrame(flow: flow.pointee.id).encode(to: &body)
        batch.write(to: &body)
        packet.append(FrameType.copies, body, flags: .countsInFlight)
        while let (number, _) = batch.popFirst() {
            packet.note(
                .copy,
                slot: flow.pointee.slot,
                id: flow.pointee.id,
                value: number
            )
        }
    }

    private func writeSegmentCopies(_ packet: inout PacketBuilder, at now: Instant) {
        let before = packet.writer.count
        while packet.room >= StreamFrame.byteCount + SegmentCopies.segmentByteLimit,
            let entry = self.segmentCopies.next(at: now)
        {
            self.writeCopy(of: entry, to: &packet, at: now)
        }
        self.countRedundancy(packet.writer.count - before, in: &packet)
    }

    private func writeCopy(
        of entry: SegmentCopies.Entry,
        to packet: inout PacketBuilder,
        at now: Instant
    ) {
        guard let stream = self.board.streams.live(entry.slot),
            stream.pointee.conversation == entry.conversation,
            self.owns(stream), !stream.pointee.isReset,
            stream.pointee.opening.isKnown,
            let segment = stream.pointee.sender.outstanding(entry.number),
            segment.byteCount <= SegmentCopies.segmentByteLimit,
            packet.room >= StreamFrame.byteCount + segment.byteCount,
            self.segmentCopies.spend(segment.byteCount + StreamFrame.byteCount, at: now)
        else { return }
        self.write(segment, of: stream, to: &packet)
    }

    // MARK: - What has arrived and what has not

    /// A datagram or its copy has arrived: nothing more need be done for it.
    func datagramArrived(_ frame: FrameRecord, in flow: FlowPointer, at now: Instant) {
        guard frame.kind == .copy || frame.part.first == Self.wholeDatagram else { return }
        flow.pointee.retention?.acknowledged(frame.value)
        guard let protection = flow.pointee.protection else { return }
        protection.acknowledged(frame.value)
        self.schedule(flow, protection, at: now)
    }

    /// A datagram or its copy is lost: it goes out again if that is of use.
    func datagramLost(_ frame: FrameRecord, in flow: FlowPointer) {
        guard let retention = flow.pointee.retention else { return }
        let isWhole = frame.kind == .copy || frame.part.first == Self.wholeDatagram
        retention.lost(
            frame.value,
            fragment: isWhole ? Self.wholeDatagram : frame.part.first,
            mayGrow: self.mayHold(retention.memoryByteCount)
        )
        self.settleMemory(of: flow)
        self.scheduleDatagrams(flow)
    }
}
