import Primitives
import Recovery
import Sealing

/// Filling packets: acknowledgements, control, datagrams, then streams as the path allows.
extension PeerSession {
    /// Most packets of one segmented send; the kernel takes 64 and more.
    private static let trainLimit = 64

    /// Fills `buffer` with packets of one size for the session's address; `nil` when there is
    /// nothing to send now.
    func transmit(into buffer: UnsafeMutableRawBufferPointer, at now: Instant) -> Transmit? {
        guard self.isConfirmed, let base = buffer.baseAddress,
            !self.leg.keys.current.keys.isExhausted
        else { return nil }
        self.streams.finishEnded()
        if let size = self.leg.dueSearch(at: now), buffer.count >= size {
            let length = self.leg.buildSearch(base, size, at: now)
            self.rates.spend(length, at: now)
            return self.sent(count: 1, byteCount: length, size: length)
        }
        let size = self.leg.packetSize
        var used = 0
        var count = 0
        var allowance = self.leg.sendAllowance(at: now)
        while count < Self.trainLimit, buffer.count - used >= size, self.leg.mayTransmit {
            if !self.leg.hasLogRoom { allowance = min(allowance, 0) }
            let length = self.buildPacket(base + used, size, &allowance, at: now)
            assert(length <= size, "a packet beyond its size")
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
        assert(used <= buffer.count && used > (count - 1) * size)
        return self.sent(count: count, byteCount: used, size: size)
    }

    private func sent(count: Int, byteCount: Int, size: Int) -> Transmit {
        self.leg.countSent(packets: count, bytes: byteCount)
        return Transmit(
            destination: self.leg.path.address,
            byteCount: byteCount,
            segmentSize: count == 1 ? byteCount : size
        )
    }

    /// Whether the pacer is in debt does not matter: messages that overdraw it are all there is.
    private func noteApplicationLimit(at now: Instant) {
        guard !self.streams.hasData, !self.flows.hasDatagrams else {
            return self.leg.wasHeldBack(at: now)
        }
        // Where the driver has bytes that it has not been asked for in time, the application is not
        // what limits.
        guard now.since(self.streams.starvedAt) > .milliseconds(20) else { return }
        self.leg.becameApplicationLimited(at: now)
    }

    /// What may go into the next packet, and whether anything wants to.
    private struct PacketPlan {
        /// A probe timeout asks for a packet, whatever window and pacer say.
        var isProbe: Bool
        var isAckDue: Bool
        var hasControl: Bool
        var hasRedundancy: Bool
        var hasDatagrams: Bool
        var hasStreams: Bool
        /// Streams that somebody waits for may be written, and the others.
        var mayHurry: Bool
        var mayStream: Bool

        var isNeeded: Bool {
            self.isAckDue || self.hasControl || self.hasStreams || self.hasDatagrams
                || self.isProbe || self.hasRedundancy
        }
    }

    private func plan(_ allowance: Int, at now: Instant) -> PacketPlan {
        let isProbe = self.leg.isProbeDue
        let isOpen = self.rates.isOpen(at: now)
        let mayStream = (allowance > 0 || isProbe) && isOpen
        let hasInteractive = isOpen && (self.flows.hasDatagrams || self.streams.hasUrgentData)
        let mayHurry = hasInteractive && (mayStream || self.leg.mayHurry(at: now))
        return PacketPlan(
            isProbe: isProbe,
            isAckDue: self.leg.isAckDue(at: now),
            hasControl: self.leg.hasRequests || self.rates.isDue || self.control.isDue
                || self.isServiceWordDue
                || self.streams.hasControl,
            hasRedundancy: isOpen && self.redundancyDeadline <= now,
            hasDatagrams: mayHurry && self.flows.hasDatagrams,
            hasStreams: mayHurry && self.streams.hasUrgentData
                || mayStream && self.streams.hasOtherData,
            mayHurry: mayHurry,
            mayStream: mayStream
        )
    }

    /// Builds and seals one packet at `base`; its length, or 0 when there was nothing to put in.
    private func buildPacket(
        _ base: UnsafeMutableRawPointer,
        _ size: Int,
        _ allowance: inout Int,
        at now: Instant
    ) -> Int {
        let plan = self.plan(allowance, at: now)
        guard plan.isNeeded else { return 0 }
        var packet = self.leg.begin(base, size: size)
        // 1. What has arrived.
        self.leg.writeAck(into: &packet, at: now)
        // 2. Questions and answers about the path, keys, rates, ids, streams.
        self.leg.writeRequests(into: &packet)
        self.rates.write(into: &packet)
        self.control.write(into: &packet) { [streams, flows] channel in
            switch channel.kind {
            case ChannelKind.stream: streams.stream(channel.id) != nil
            case ChannelKind.flow: flows.flow(channel.id) != nil
            default: true
            }
        }
        if self.isServiceWordDue { self.services.write(into: &packet) }
        self.streams.writeControl(into: &packet)
        // 3. Copies and repairs that are due.
        if plan.hasRedundancy {
            self.flows.writeRedundancy(into: &packet, at: now)
            if self.streams.copyDeadline <= now {
                self.streams.writeCopies(into: &packet, at: now)
            }
        }
        // 4. Datagrams, then streams; a probe with nothing new to say repeats the oldest bytes.
        if plan.hasDatagrams { self.flows.write(into: &packet, at: now) }
        if plan.isProbe, !self.streams.hasData { self.streams.repeatOldest() }
        if plan.mayStream || plan.mayHurry {
            self.streams.write(into: &packet, includingOthers: plan.mayStream, at: now)
        }
        // 5. Copies that need not leave yet ride along with data.
        if packet.isTraffic {
            self.flows.writeRiders(into: &packet, at: now)
            if self.streams.earliestCopy <= now {
                self.streams.writeCopies(into: &packet, at: now)
            }
        }
        if plan.isProbe {
            if packet.flags.isEmpty { packet.append(PingFrame()) }
            self.leg.probeSent()
        }
        assert(packet.writer.count <= size - RecordLayout.header - RecordLayout.tag)
        assert(packet.writer.count > 0 || packet.firstFrame == self.leg.log.tail, "noted, not sent")
        guard packet.writer.count > 0 else { return 0 }
        let length = self.seal(packet, to: self.leg.path.address, at: now)
        if packet.flags.contains(.countsInFlight) { allowance -= length }
        return length
    }

    /// Encrypts the packet where it stands and notes it as sent to `address`; its length.
    func seal(_ packet: PacketBuilder, to address: SocketAddress, at now: Instant) -> Int {
        let length = self.leg.seal(packet, to: address, at: now)
        self.rates.spend(length, at: now)
        return length
    }

    /// Sends one small frame right away, to an address that need not be the session's.
    ///
    /// Nothing goes where it would be more than what came from there allows.
    func sendAlone<Kind: Frame>(_ frame: Kind, to address: SocketAddress, at now: Instant) {
        guard !self.leg.keys.current.keys.isExhausted else { return }
        withUnsafeTemporaryAllocation(byteCount: 128, alignment: 16) { buffer in
            guard let base = buffer.baseAddress else { return }
            var packet = self.leg.begin(base, size: buffer.count)
            packet.writer.writeFrameHeader(frame.type, count: Kind.fieldByteCount)
            frame.encode(to: &packet.writer)
            guard packet.sealedByteCount <= self.leg.path.allowance(for: address) else {
                return self.board.drop(.pathUnvalidated)
            }
            let length = self.seal(packet, to: address, at: now)
            self.leg.settleLogs()
            self.board.send(
                UnsafeRawBufferPointer(start: base, count: length),
                to: address
            )
        }
    }
}
