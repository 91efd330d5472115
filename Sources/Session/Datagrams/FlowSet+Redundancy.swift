import Erasure
import KCP
import Primitives
import Recovery

/// Copies and repairs: what goes out beside datagrams so that a loss need not be waited for.
extension FlowSet {
    /// When redundancy is due next.
    var redundancyDeadline: Instant { self.redundancy.deadline }

    /// A whole datagram was written at `message`; decides what will follow it.
    func protect(
        _ flow: FlowPointer,
        _ number: UInt32,
        _ message: UnsafeRawBufferPointer,
        at now: Instant
    ) {
        assert(self.owns(flow) && flow.pointee.carrier == nil, "a stream carries it")
        flow.pointee.traffic.sent(byteCount: message.count, at: now)
        guard self.leg.watch.hasSeenLoss, flow.pointee.request.redundancy != .off else { return }
        let protection: FlowProtection
        if let existing = flow.pointee.protection {
            protection = existing
        } else {
            let limit =
                self.leg.largestPacket - RecordLayout.header - RecordLayout.tag
                - RepairFrame.byteCount - RepairHeader.byteCount - 2
            protection = FlowProtection(flow.pointee.request, messageLimit: limit, at: now)
            flow.pointee.protection = protection
        }
        protection.sent(
            number,
            message,
            traffic: flow.pointee.traffic,
            report: self.leg.watch.report,
            answer: self.leg.answerTime,
            mayGrow: self.memory.mayHold(FlowProtection.mostByteCount),
            at: now
        )
        self.memory.settle(flow)
        self.scheduleRedundancy(of: flow, protection, at: now)
    }

    private func scheduleRedundancy(
        of flow: FlowPointer,
        _ protection: FlowProtection,
        at now: Instant
    ) {
        self.redundancy.set(
            flow.pointee.slot,
            due: protection.deadline(at: now),
            ridingFrom: protection.earliest
        )
    }

    /// Writes the redundancy that is due.
    func writeRedundancy(into packet: inout PacketBuilder, at now: Instant) {
        while let slot = self.redundancy.firstDue(at: now), packet.room > Self.redundancyRoom {
            guard let flow = self.resolveProtected(slot), let protection = flow.pointee.protection
            else { continue }
            let before = packet.writer.count
            self.writeCopies(of: flow, protection, to: &packet, at: now)
            protection.writeRepair(flow: flow.pointee.id, to: &packet, at: now)
            self.board.countRedundancy(since: before, in: &packet)
            self.scheduleRedundancy(of: flow, protection, at: now)
            // What finds no room here leaves in the next packet.
            if protection.deadline(at: now) <= now { break }
        }
    }

    /// Copies that need not leave yet, but cost the least in a packet that leaves anyway.
    func writeRiders(into packet: inout PacketBuilder, at now: Instant) {
        while let slot = self.redundancy.firstRider(at: now), packet.room > Self.redundancyRoom {
            guard let flow = self.resolveProtected(slot), let protection = flow.pointee.protection
            else { continue }
            let before = packet.writer.count
            self.writeCopies(of: flow, protection, to: &packet, at: now)
            self.board.countRedundancy(since: before, in: &packet)
            self.scheduleRedundancy(of: flow, protection, at: now)
            // What finds no room here leaves in the next packet, or in one of its own.
            if protection.earliest <= now { break }
        }
    }

    /// Room that a packet needs for a look at redundancy to be worth it.
    private static let redundancyRoom = 128

    private func resolveProtected(_ slot: UInt32) -> FlowPointer? {
        guard let flow = self.board.flows.live(slot),
            self.owns(flow), flow.pointee.protection != nil
        else {
            self.redundancy.cancel(slot)
            return nil
        }
        return flow
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
        assert(flow.pointee.opening.byteCount(in: packet) == 0, "copies before OPEN")
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

    // MARK: - The fate of frames

    func acknowledged(_ frame: FrameRecord, at now: Instant) {
        guard let flow = self.flow(of: frame) else { return }
        guard frame.kind != .flowOpen else { return flow.pointee.opening.acknowledged() }
        self.arrived(frame, of: flow, at: now)
    }

    /// Given up for lost and acknowledged after all.
    func cameBack(_ frame: FrameRecord, at now: Instant) {
        guard frame.kind != .flowOpen, let flow = self.flow(of: frame) else { return }
        self.arrived(frame, of: flow, at: now)
    }

    /// A datagram or its copy has arrived: nothing more need be done for it.
    private func arrived(_ frame: FrameRecord, of flow: FlowPointer, at now: Instant) {
        guard frame.kind == .copy || frame.part.first == Self.wholeDatagram else { return }
        flow.pointee.retention?.acknowledged(frame.value)
        guard let protection = flow.pointee.protection else { return }
        protection.acknowledged(frame.value)
        self.scheduleRedundancy(of: flow, protection, at: now)
    }

    /// A datagram or its copy is lost: it goes out again if that is of use.
    func lost(_ frame: FrameRecord) {
        guard frame.kind != .flowOpen, let flow = self.flow(of: frame),
            let retention = flow.pointee.retention
        else { return }
        let isWhole = frame.kind == .copy || frame.part.first == Self.wholeDatagram
        retention.lost(
            frame.value,
            fragment: isWhole ? Self.wholeDatagram : frame.part.first,
            mayGrow: self.memory.mayHold(retention.memoryByteCount)
        )
        self.memory.settle(flow)
        self.schedule(flow)
    }
}
