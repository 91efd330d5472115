import Primitives
import KCP
import Recovery
import Sealing

/// Filling packets: acknowledgements, control, datagrams, then streams as the path allows.
extension PeerSession {
    /// Most packets of one segmented send; the kernel takes 64 and more.
    private static let trainLimit = 64

    /// Fills `buffer` with packets of one size for the session's address; `nil` when there is
    /// nothing to send now.
    func transmit(into buffer: UnsafeMutableRawBufferPointer, at now: Instant) -> Transmit? {
        guard self.isConfirmed, let base = buffer.baseAddress, !self.current.keys.isExhausted
        else { return nil }
        if let probe = self.transmitMTUProbe(into: buffer, at: now) { return probe }
        let size = self.mtu.confirmed
        var used = 0
        var count = 0
        var allowance = self.recovery.sendAllowance(at: now)
        while count < Self.trainLimit, buffer.count - used >= size,
            self.path.allowance >= size
        {
            let length = self.buildPacket(base + used, size, &allowance, at: now)
            guard length > 0 else { break }
            used += length
            count += 1
            // A shorter packet ends the train: segmentation offload wants equal sizes.
            guard length == size else { break }
        }
        guard count > 0 else {
            self.noteApplicationLimit(allowance, at: now)
            return nil
        }
        self.board.countSent(packets: count, bytes: used)
        return Transmit(
            destination: self.path.address,
            byteCount: used,
            segmentSize: count == 1 ? used : size
        )
    }

    private func noteApplicationLimit(_ allowance: Int, at now: Instant) {
        guard allowance > 0, self.fresh.isEmpty, self.steady.isEmpty, self.flowQueue.isEmpty
        else { return }
        self.recovery.becameApplicationLimited(at: now)
    }

    /// Builds and seals one packet at `base`; its length, or 0 when there was nothing to put in.
    private func buildPacket(
        _ base: UnsafeMutableRawPointer,
        _ size: Int,
        _ allowance: inout Int,
        at now: Instant
    ) -> Int {
        let isProbe = self.recovery.probesDue > 0
        let hasControl =
            !self.control.isEmpty || self.isPingDue || !self.pathReplies.isEmpty
            || !self.strayResets.isEmpty
        let mayStream = allowance > 0 || isProbe
        let hasStreams = mayStream && !(self.fresh.isEmpty && self.steady.isEmpty)
        let hasDatagrams =
            !self.flowQueue.isEmpty
            && (mayStream || self.recovery.interactiveAllowance(at: now) > 0)
        let isAckDue = self.received.isAckDue(at: now)
        guard isAckDue || hasControl || hasStreams || hasDatagrams || isProbe else { return 0 }

        var packet = PacketBuilder(
            base: base,
            size: size,
            number: self.nextNumber,
            firstFrame: self.log.tail
        )
        if isAckDue || self.received.hasAnythingToAck { self.writeAck(&packet, at: now) }
        self.writeControl(&packet)
        if hasDatagrams { self.writeDatagrams(&packet, at: now) }
        if isProbe, self.fresh.isEmpty, self.steady.isEmpty { self.repeatOldest() }
        if mayStream { self.writeStreams(&packet) }
        if isProbe {
            if packet.flags.isEmpty { packet.begin(FrameType.ping, count: 0) }
            self.recovery.probeSent()
        }
        guard packet.writer.count > 0 else { return 0 }
        let length = self.seal(packet, at: now)
        if packet.flags.contains(.countsInFlight) { allowance -= length }
        return length
    }

    /// Encrypts the packet where it stands and notes it as sent.
    private func seal(_ packet: PacketBuilder, at now: Instant) -> Int {
        let keypair = self.current
        keypair.keys.seal(
            packet.base,
            plaintextByteCount: packet.writer.count,
            receiverIndex: keypair.remoteIndex,
            counter: packet.number
        )
        keypair.sealedCount &+= 1
        self.nextNumber += 1
        let length = packet.writer.count + RecordLayout.header + RecordLayout.tag
        self.recovery.sent(
            number: packet.number,
            byteCount: length,
            firstFrame: packet.firstFrame,
            frameCount: Int(self.log.tail - packet.firstFrame),
            flags: packet.flags,
            largestAcked: packet.largestAcked,
            at: now
        )
        self.liveness.sent(
            asksForAnswer: packet.flags.contains(.ackEliciting),
            isTraffic: packet.isTraffic,
            at: now
        )
        self.path.spend(length)
        return length
    }

    /// A probe timeout with nothing new to say repeats the oldest segments that are still out.
    private func repeatOldest() {
        var found = 0
        var place = self.log.head
        while place < self.log.tail, found < 2 {
            let frame = self.log[place]
            place += 1
            guard frame.kind == .segment, let stream = self.board.streams.live(frame.slot),
                stream.pointee.conversation == frame.id,
                stream.pointee.session == Int32(self.slot), !stream.pointee.isReset
            else { continue }
            if stream.pointee.sender.lose(frame.value) {
                self.scheduleData(stream)
                found += 1
            }
        }
    }

    private func note(
        _ kind: FrameRecord.Kind,
        slot: UInt32,
        id: UInt32,
        value: UInt32 = 0,
        in packet: PacketBuilder
    ) {
        self.log.append(
            FrameRecord(packet: packet.number, slot: slot, id: id, value: value, kind: kind)
        )
    }

    // MARK: - Acknowledgements and control

    private func writeAck(_ packet: inout PacketBuilder, at now: Instant) {
        let room = packet.room - FrameSize.header
        guard room > 0 else { return }
        let largest = self.received.largest
        let length = self.received.writeAck(
            into: packet.writer.cursor + FrameSize.header,
            capacity: room,
            at: now
        )
        guard length > 0 else { return }
        packet.writer.writeFrameHeader(FrameType.ack, count: length)
        packet.writer.count += length
        packet.flags.insert(.ackCarrier)
        packet.largestAcked = largest
    }

    private func writeControl(_ packet: inout PacketBuilder) {
        if self.isPingDue, packet.room >= FrameSize.header {
            packet.begin(FrameType.ping, count: 0)
            self.isPingDue = false
        }
        while let token = self.pathReplies.last, packet.room >= FrameSize.path {
            self.pathReplies.removeLast()
            packet.begin(FrameType.path, count: FrameSize.path - FrameSize.header)
            packet.writer.write(PathOperation.response)
            packet.writer.write(UInt8(0))
            packet.writer.write(token)
        }
        while let reset = self.strayResets.last, packet.room >= FrameSize.reset {
            self.strayResets.removeLast()
            self.writeReset(reset.kind, reset.id, reset.reason, to: &packet)
        }
        while let slot = self.control.first, packet.room >= FrameSize.open {
            _ = self.control.popFirst()
            guard let stream = self.board.streams.live(slot), stream.pointee.isInControlQueue,
                stream.pointee.session == Int32(self.slot)
            else { continue }
            stream.pointee.isInControlQueue = false
            self.writeControl(of: stream, to: &packet)
        }
    }

    private func writeReset(
        _ kind: UInt8,
        _ id: UInt32,
        _ reason: ResetReason,
        to packet: inout PacketBuilder
    ) {
        packet.begin(FrameType.reset, count: FrameSize.reset - FrameSize.header)
        packet.writer.write(kind)
        packet.writer.write(id)
        packet.writer.write(reason.rawValue)
    }

    private func writeControl(of stream: StreamPointer, to packet: inout PacketBuilder) {
        let pending = stream.pointee.pending
        stream.pointee.pending = []
        let slot = stream.pointee.slot
        let id = stream.pointee.conversation
        if pending.contains(.reset) {
            self.writeReset(ChannelKind.stream, id, stream.pointee.resetReason, to: &packet)
            self.note(.reset, slot: slot, id: id, in: packet)
            return
        }
        if pending.contains(.open), !stream.pointee.isOpenAcknowledged {
            self.writeOpen(stream, to: &packet)
        }
        if pending.contains(.window), packet.room >= FrameSize.window {
            packet.begin(FrameType.window, count: FrameSize.window - FrameSize.header)
            packet.writer.write(id)
            packet.writer.write(stream.pointee.receiver.creditLimit)
            self.note(.window, slot: slot, id: id, in: packet)
        }
        if pending.contains(.close) { self.writeClose(stream, to: &packet) }
    }

    private func writeOpen(_ stream: StreamPointer, to packet: inout PacketBuilder) {
        stream.pointee.lastOpenPacket = packet.number
        self.writeOpen(
            ChannelKind.stream,
            stream.pointee.conversation,
            stream.pointee.request,
            to: &packet
        )
        self.note(
            .open,
            slot: stream.pointee.slot,
            id: stream.pointee.conversation,
            in: packet
        )
    }

    private func writeOpen(
        _ kind: UInt8,
        _ id: UInt32,
        _ request: OpenRequest,
        to packet: inout PacketBuilder
    ) {
        // The length is known afterwards: write the body first, three bytes ahead.
        var body = ByteWriter(
            packet.writer.cursor + FrameSize.header,
            capacity: packet.room - FrameSize.header
        )
        body.write(kind)
        body.write(id)
        request.write(to: &body)
        packet.begin(FrameType.open, count: body.count)
        packet.writer.count += body.count
    }

    private func writeClose(_ stream: StreamPointer, to packet: inout PacketBuilder) {
        guard stream.pointee.sender.unsentByteCount == 0, stream.pointee.ending != .open,
            stream.pointee.ending != .acknowledged
        else { return }
        guard packet.room >= FrameSize.close else {
            return self.scheduleControl(stream, .close)
        }
        packet.begin(FrameType.close, count: FrameSize.close - FrameSize.header)
        packet.writer.write(stream.pointee.conversation)
        packet.writer.write(UInt32(truncatingIfNeeded: stream.pointee.sender.segmentCount))
        stream.pointee.ending = .sent
        self.note(
            .close,
            slot: stream.pointee.slot,
            id: stream.pointee.conversation,
            in: packet
        )
    }

    // MARK: - Datagrams

    /// Datagrams older than this are worth nothing to anybody who asked for datagrams.
    static let datagramPatience = Instant.Interval.seconds(1)

    private func writeDatagrams(_ packet: inout PacketBuilder, at now: Instant) {
        while let slot = self.flowQueue.first {
            guard let flow = self.board.flows.live(slot), flow.pointee.isQueued,
                flow.pointee.session == Int32(self.slot), self.dropStale(flow, at: now)
            else {
                self.unqueueFirstFlow(slot)
                continue
            }
            let needsOpen =
                self.isClient && !flow.pointee.isOpenAcknowledged
                && flow.pointee.lastOpenPacket != packet.number
            if needsOpen {
                guard packet.room >= FrameSize.open + FrameSize.fragmentHeader + 64 else { return }
                self.writeOpen(
                    ChannelKind.flow,
                    flow.pointee.id,
                    flow.pointee.request,
                    to: &packet
                )
                flow.pointee.lastOpenPacket = packet.number
                self.note(.flowOpen, slot: slot, id: flow.pointee.id, in: packet)
            }
            guard self.writeDatagram(flow, to: &packet) else { return }
            packet.isTraffic = true
            packet.flags.insert(.isInteractive)
            // One datagram a turn: no flow waits behind another's burst.
            _ = self.flowQueue.popFirst()
            if flow.pointee.queue.isEmpty {
                flow.pointee.isQueued = false
            } else {
                self.flowQueue.append(slot)
            }
        }
    }

    private func unqueueFirstFlow(_ slot: UInt32) {
        _ = self.flowQueue.popFirst()
        if let flow = self.board.flows.live(slot), flow.pointee.session == Int32(self.slot) {
            flow.pointee.isQueued = false
        }
    }

    /// Drops what waited too long; false when nothing is left.
    private func dropStale(_ flow: FlowPointer, at now: Instant) -> Bool {
        while !flow.pointee.queue.isEmpty, flow.pointee.fragmentOffset == 0,
            now.since(flow.pointee.queue.first.queuedAt) > Self.datagramPatience
        {
            flow.pointee.removeFirstDatagram()
            self.board.drop(.flowQueueStale)
        }
        return !flow.pointee.queue.isEmpty
    }

    /// Writes the first datagram or its next fragment; false when the packet has no room for it.
    private func writeDatagram(_ flow: FlowPointer, to packet: inout PacketBuilder) -> Bool {
        let total = flow.pointee.queue.first.byteCount
        let largest =
            self.mtu.confirmed - RecordLayout.header - RecordLayout.tag - FrameSize.datagramHeader
        if flow.pointee.fragmentOffset == 0, total <= packet.room - FrameSize.datagramHeader {
            packet.begin(FrameType.datagram, count: 8 + total)
            packet.writer.write(flow.pointee.id)
            packet.writer.write(flow.pointee.nextNumber)
            flow.pointee.queue.copyFirst(from: 0, count: total, to: packet.writer.cursor)
            packet.writer.count += total
            flow.pointee.nextNumber &+= 1
            flow.pointee.removeFirstDatagram()
            return true
        }
        if flow.pointee.fragmentOffset == 0, total <= largest { return false }
        return self.writeFragments(flow, total: total, to: &packet)
    }

    private func writeFragments(
        _ flow: FlowPointer,
        total: Int,
        to packet: inout PacketBuilder
    ) -> Bool {
        if flow.pointee.fragmentOffset == 0 {
            // All fragments but the last are equally long, so that their number is known from the
            // start; some room is left for what else the packets carry.
            let others = FrameSize.fragmentHeader + 48
            let open = self.isClient && !flow.pointee.isOpenAcknowledged ? FrameSize.open : 0
            flow.pointee.fragmentByteCount =
                self.mtu.confirmed - RecordLayout.header - RecordLayout.tag - others - open
        }
        let chunk = flow.pointee.fragmentByteCount
        let count = (total + chunk - 1) / chunk
        let offset = flow.pointee.fragmentOffset
        let length = min(chunk, total - offset)
        guard packet.room >= FrameSize.fragmentHeader + length else { return false }
        packet.begin(FrameType.fragment, count: 14 + length)
        packet.writer.write(flow.pointee.id)
        packet.writer.write(flow.pointee.nextNumber)
        packet.writer.write(flow.pointee.fragmentIndex)
        packet.writer.write(UInt8(count))
        packet.writer.write(UInt16(offset))
        packet.writer.write(UInt16(total))
        flow.pointee.queue.copyFirst(from: offset, count: length, to: packet.writer.cursor)
        packet.writer.count += length
        flow.pointee.fragmentOffset += length
        flow.pointee.fragmentIndex &+= 1
        if flow.pointee.fragmentOffset == total {
            flow.pointee.nextNumber &+= 1
            flow.pointee.removeFirstDatagram()
        }
        return true
    }

    // MARK: - Streams

    /// Deficit round robin by bytes, streams that were idle first (RFC 8290 §4).
    private func writeStreams(_ packet: inout PacketBuilder) {
        while packet.room > FrameSize.streamHeader {
            let isFresh = !self.fresh.isEmpty
            guard let slot = isFresh ? self.fresh.first : self.steady.first else { return }
            guard let stream = self.board.streams.live(slot), stream.pointee.isInDataQueue,
                stream.pointee.isFresh == isFresh, stream.pointee.session == Int32(self.slot),
                !stream.pointee.isReset
            else {
                self.dequeue(isFresh)
                continue
            }
            if stream.pointee.deficit <= 0 {
                stream.pointee.deficit += self.mtu.confirmed
                self.moveToSteady(slot, stream, from: isFresh)
                continue
            }
            switch self.writeSegment(of: stream, to: &packet) {
            case .written(let count):
                stream.pointee.deficit -= count
            case .noRoom:
                return
            case .nothing:
                self.dequeue(isFresh)
                stream.pointee.isInDataQueue = false
                if stream.pointee.isReadyToClose { self.writeClose(stream, to: &packet) }
                self.roomAppeared(stream)
            }
        }
    }

    private func dequeue(_ isFresh: Bool) {
        _ = isFresh ? self.fresh.popFirst() : self.steady.popFirst()
    }

    private func moveToSteady(_ slot: UInt32, _ stream: StreamPointer, from isFresh: Bool) {
        self.dequeue(isFresh)
        stream.pointee.isFresh = false
        self.steady.append(slot)
    }

    private enum SegmentResult {
        case written(Int)
        case noRoom
        case nothing
    }

    private func writeSegment(
        of stream: StreamPointer,
        to packet: inout PacketBuilder
    ) -> SegmentResult {
        guard stream.pointee.hasDataToSend else { return .nothing }
        if self.isClient, !stream.pointee.isOpenAcknowledged,
            stream.pointee.lastOpenPacket != packet.number
        {
            guard packet.room >= FrameSize.open + FrameSize.streamHeader + 64 else {
                return .noRoom
            }
            self.writeOpen(stream, to: &packet)
        }
        let room = packet.room - FrameSize.streamHeader
        var segment = stream.pointee.sender.takeLost(room: room)
        if segment == nil {
            // A lost segment that does not fit here fits the next, empty packet.
            if stream.pointee.sender.hasLost { return .noRoom }
            // No crumbs at the end of a packet that others have nearly filled.
            let waiting = stream.pointee.sender.sendableByteCount
            if room < min(waiting, 256) { return .noRoom }
            segment = stream.pointee.sender.cutSegment(room: room)
        }
        guard let segment else { return .nothing }
        packet.begin(FrameType.stream, count: 12 + segment.byteCount)
        packet.writer.write(stream.pointee.conversation)
        packet.writer.write(segment.number)
        packet.writer.write(UInt32(truncatingIfNeeded: segment.offset))
        stream.pointee.sender.copy(segment, to: packet.writer.cursor)
        packet.writer.count += segment.byteCount
        packet.isTraffic = true
        self.note(
            .segment,
            slot: stream.pointee.slot,
            id: stream.pointee.conversation,
            value: segment.number,
            in: packet
        )
        return .written(segment.byteCount)
    }

    // MARK: - Packets of their own

    private func transmitMTUProbe(
        into buffer: UnsafeMutableRawBufferPointer,
        at now: Instant
    ) -> Transmit? {
        guard let size = self.mtu.dueProbe(at: now), let base = buffer.baseAddress,
            buffer.count >= size, self.path.isValidated
        else { return nil }
        var packet = PacketBuilder(
            base: base,
            size: size,
            number: self.nextNumber,
            firstFrame: self.log.tail
        )
        let filler = packet.room - FrameSize.header
        packet.begin(FrameType.mtuProbe, count: filler)
        packet.writer.cursor.initializeMemory(as: UInt8.self, repeating: 0, count: filler)
        packet.writer.count += filler
        packet.flags = [.ackEliciting, .isProbe]
        self.note(.mtuProbe, slot: 0, id: 0, value: UInt32(size), in: packet)
        let length = self.seal(packet, at: now)
        self.mtu.probeSent(size)
        self.board.countSent(packets: 1, bytes: length)
        return Transmit(
            destination: self.path.address,
            byteCount: length,
            segmentSize: length
        )
    }

    /// Sends one small frame right away, to an address that need not be the session's.
    func sendAlone(
        _ type: UInt8,
        to address: SocketAddress,
        at now: Instant,
        _ body: (inout ByteWriter) -> Void
    ) {
        guard !self.current.keys.isExhausted else { return }
        withUnsafeTemporaryAllocation(byteCount: 128, alignment: 16) { buffer in
            guard let base = buffer.baseAddress else { return }
            var packet = PacketBuilder(
                base: base,
                size: buffer.count,
                number: self.nextNumber,
                firstFrame: self.log.tail
            )
            var content = ByteWriter(packet.writer.cursor + FrameSize.header, capacity: 64)
            body(&content)
            packet.writer.writeFrameHeader(type, count: content.count)
            packet.writer.count += content.count
            let length = self.seal(packet, at: now)
            self.board.send(
                UnsafeRawBufferPointer(start: base, count: length),
                to: address
            )
        }
    }
}

enum PathOperation {
    static let challenge: UInt8 = 0
    static let response: UInt8 = 1
}
