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
        self.finishEnded()
        if let probe = self.transmitMTUProbe(into: buffer, at: now) { return probe }
        let size = self.packetSize
        var used = 0
        var count = 0
        var allowance = self.recovery.sendAllowance(at: now)
        while count < Self.trainLimit, buffer.count - used >= size,
            self.path.allowance >= size
        {
            if !self.hasLogRoom { allowance = min(allowance, 0) }
            let length = self.buildPacket(base + used, size, &allowance, at: now)
            guard length > 0 else { break }
            used += length
            count += 1
            // A shorter packet ends the train: segmentation offload wants equal sizes.
            guard length == size else { break }
        }
        guard count > 0 else {
            self.noteApplicationLimit(at: now)
            return nil
        }
        self.settleLogs()
        self.board.countSent(packets: count, bytes: used)
        self.wireBytesSent &+= UInt64(used)
        return Transmit(
            destination: self.path.address,
            byteCount: used,
            segmentSize: count == 1 ? used : size
        )
    }

    /// Whether the pacer is in debt does not matter: messages that overdraw it are all there is.
    private func noteApplicationLimit(at now: Instant) {
        guard self.rounds.isEmpty, self.flowQueue.isEmpty else {
            return self.recovery.wasHeldBack(at: now)
        }
        // Where the driver has bytes that it has not been asked for in time, the application is not
        // what limits.
        guard now.since(self.starvedAt) > .milliseconds(20) else { return }
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
            || !self.refusals.isEmpty || self.isRateDue || !self.mayDeflate.isEmpty
            || self.isRatchetDue
        let isOpen = self.shaper.isOpen(at: now)
        let mayStream = (allowance > 0 || isProbe) && isOpen
        let hasInteractive = isOpen && (!self.flowQueue.isEmpty || self.rounds.hasUrgent)
        let mayHurry =
            hasInteractive && (mayStream || self.recovery.interactiveAllowance(at: now) > 0)
        let hasDatagrams = mayHurry && !self.flowQueue.isEmpty
        let hasStreams =
            mayHurry && self.rounds.hasUrgent || mayStream && self.rounds.hasOthers
        let isAckDue = self.received.isAckDue(at: now)
        let hasRedundancy = isOpen && self.redundancyDeadline <= now
        guard isAckDue || hasControl || hasStreams || hasDatagrams || isProbe || hasRedundancy
        else {
            return 0
        }

        var packet = PacketBuilder(
            base: base,
            size: size,
            number: self.nextNumber,
            log: self.log
        )
        if isAckDue || self.received.hasAnythingToAck { self.writeAck(&packet, at: now) }
        self.writeControl(&packet)
        if hasRedundancy { self.writeRedundancy(&packet, at: now) }
        if hasDatagrams { self.writeDatagrams(&packet, at: now) }
        if isProbe, self.rounds.isEmpty { self.repeatOldest() }
        if mayStream || mayHurry { self.writeStreams(&packet, includingOthers: mayStream, at: now) }
        if packet.isTraffic { self.writeRiders(&packet, at: now) }
        if isProbe {
            if packet.flags.isEmpty { packet.append(PingFrame()) }
            self.recovery.probeSent()
        }
        guard packet.writer.count > 0 else { return 0 }
        let length = self.seal(packet, at: now)
        if packet.flags.contains(.countsInFlight) { allowance -= length }
        return length
    }

    func seal(_ packet: PacketBuilder, at now: Instant) -> Int {
        self.seal(packet, to: self.path.address, at: now)
    }

    /// Encrypts the packet where it stands and notes it as sent to `address`.
    func seal(_ packet: PacketBuilder, to address: SocketAddress, at now: Instant) -> Int {
        let keypair = self.current
        keypair.keys.seal(
            packet.base,
            plaintextByteCount: packet.writer.count,
            receiverIndex: keypair.remoteIndex,
            counter: packet.number
        )
        keypair.sealedCount &+= 1
        self.takeNumber()
        let length = packet.sealedByteCount
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
        self.path.spend(length, to: address)
        self.shaper.spend(length, at: now)
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
                self.owns(stream), !stream.pointee.isReset
            else { continue }
            if self.takeForLost(frame, of: stream) { found += 1 }
        }
    }

    // MARK: - Acknowledgements and control

    private func writeAck(_ packet: inout PacketBuilder, at now: Instant) {
        let room = packet.room - FrameHeader.byteCount
        guard room > 0 else { return }
        let largest = self.received.largest
        let length = self.received.writeAck(
            into: packet.writer.cursor + FrameHeader.byteCount,
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
        if self.isPingDue, packet.room >= PingFrame.byteCount {
            packet.append(PingFrame())
            self.isPingDue = false
        }
        while let token = self.pathReplies.last, packet.room >= PathFrame.byteCount {
            self.pathReplies.removeLast()
            packet.append(PathFrame(operation: PathFrame.response, token: token))
        }
        if self.isRatchetDue { self.writeRatchet(to: &packet) }
        if self.isRateDue, packet.room >= RateFrame.byteCount { self.writeRate(to: &packet) }
        self.writeRefusals(to: &packet)
        self.writeMayDeflate(to: &packet)
        while let slot = self.control.first, packet.room >= self.controlByteCount(slot) {
            _ = self.control.popFirst()
            guard let stream = self.board.streams.live(slot), stream.pointee.isInControlQueue,
                self.owns(stream)
            else { continue }
            stream.pointee.isInControlQueue = false
            self.writeControl(of: stream, to: &packet)
        }
    }

    /// What control frames of one stream may take.
    private func controlByteCount(_ slot: UInt32) -> Int {
        let request = self.board.streams.live(slot)?.pointee.request
        return Opening.byteCountLimit(request) + WindowFrame.byteCount
    }

    private func writeControl(of stream: StreamPointer, to packet: inout PacketBuilder) {
        let pending = stream.pointee.pending
        stream.pointee.pending = []
        let slot = stream.pointee.slot
        let id = stream.pointee.conversation
        if pending.contains(.reset) {
            let channel = ChannelID(ChannelKind.stream, id)
            packet.append(ResetFrame(channel: channel, reason: stream.pointee.resetReason))
            packet.note(.reset, slot: slot, id: id)
            return
        }
        guard stream.pointee.writeOpen(to: &packet, leaving: WindowFrame.byteCount) else {
            return self.scheduleControl(stream, pending)
        }
        if pending.contains(.window) {
            let limit = stream.pointee.receiver.creditLimit
            packet.append(WindowFrame(conversation: id, limit: limit))
            packet.note(.window, slot: slot, id: id)
        }
        if pending.contains(.close) { self.writeClose(stream, to: &packet) }
    }

    func writeClose(_ stream: StreamPointer, to packet: inout PacketBuilder) {
        guard stream.pointee.sender.unsentByteCount == 0, stream.pointee.ending != .open,
            stream.pointee.ending != .acknowledged
        else { return }
        guard stream.pointee.writeOpen(to: &packet, leaving: CloseFrame.byteCount) else {
            return self.scheduleControl(stream, .close)
        }
        let id = stream.pointee.conversation
        let count = UInt32(truncatingIfNeeded: stream.pointee.sender.segmentCount)
        packet.append(CloseFrame(conversation: id, segmentCount: count))
        packet.note(.close, slot: stream.pointee.slot, id: id)
        stream.pointee.ending = .sent
    }
}
