import Erasure
import KCP
import Primitives
import Recovery

/// Datagrams, whole or in fragments, one flow after the other.
extension PeerSession {
    /// Datagrams older than this are worth nothing to anybody who asked for datagrams.
    static let datagramPatience = Instant.Interval.seconds(1)

    func writeDatagrams(_ packet: inout PacketBuilder, at now: Instant) {
        while let slot = self.flowQueue.first {
            guard let flow = self.board.flows.live(slot), flow.pointee.isQueued,
                self.owns(flow), self.dropStale(flow, at: now)
            else {
                self.unqueueFirstFlow(slot)
                continue
            }
            if self.mustOpen(flow, in: packet.number) {
                let open = FrameSize.open(flow.pointee.request)
                guard packet.room >= open + FrameSize.fragmentHeader + 64 else { return }
                self.writeOpen(of: flow, to: &packet)
            }
            guard
                self.writeResend(flow, to: &packet, at: now)
                    ?? self.writeDatagram(flow, to: &packet, at: now)
            else { return }
            packet.isTraffic = true
            packet.flags.insert(.isInteractive)
            self.settleMemory(of: flow)
            // One datagram a turn: no flow waits behind another's burst.
            _ = self.flowQueue.popFirst()
            if !flow.pointee.hasDatagrams {
                flow.pointee.isQueued = false
            } else {
                self.flowQueue.append(slot)
            }
        }
    }

    /// Whether OPEN has to stand before what the packet of that number says of the flow.
    func mustOpen(_ flow: FlowPointer, in packet: UInt64) -> Bool {
        self.isClient && !flow.pointee.isOpenAcknowledged
            && flow.pointee.lastOpenPacket != packet
    }

    func writeOpen(of flow: FlowPointer, to packet: inout PacketBuilder) {
        self.writeOpen(ChannelKind.flow, flow.pointee.id, flow.pointee.request, to: &packet)
        flow.pointee.lastOpenPacket = packet.number
        self.note(.flowOpen, slot: flow.pointee.slot, id: flow.pointee.id, in: packet)
    }

    private func unqueueFirstFlow(_ slot: UInt32) {
        _ = self.flowQueue.popFirst()
        if let flow = self.board.flows.live(slot), self.owns(flow) {
            flow.pointee.isQueued = false
        }
    }

    /// Drops what waited too long; false when nothing is left.
    private func dropStale(_ flow: FlowPointer, at now: Instant) -> Bool {
        let request = flow.pointee.request
        let patience =
            request.delivery == .deadline ? request.maximumAge : Self.datagramPatience
        while !flow.pointee.queue.isEmpty, flow.pointee.fragmentOffset == 0,
            now.since(flow.pointee.queue.first.queuedAt) > patience
        {
            flow.pointee.removeFirstDatagram()
            self.board.drop(.flowQueueStale)
            self.settleMemory(of: flow)
        }
        return flow.pointee.hasDatagrams
    }

    /// Writes the first datagram or its next fragment; false when the packet has no room for it.
    private func writeDatagram(
        _ flow: FlowPointer,
        to packet: inout PacketBuilder,
        at now: Instant
    ) -> Bool {
        let total = flow.pointee.queue.first.byteCount
        let largest = self.largestBody(of: flow) - FrameSize.datagramHeader
        if flow.pointee.fragmentOffset == 0, total <= packet.room - FrameSize.datagramHeader {
            packet.begin(FrameType.datagram, count: 8 + total)
            packet.writer.write(flow.pointee.id)
            packet.writer.write(flow.pointee.nextNumber)
            flow.pointee.queue.copyFirst(from: 0, count: total, to: packet.writer.cursor)
            self.protect(
                flow,
                flow.pointee.nextNumber,
                UnsafeRawBufferPointer(start: packet.writer.cursor, count: total),
                at: now
            )
            if self.keeps(flow, total) {
                self.retain(flow, part: total, fragmentByteCount: 0, in: packet, at: now)
            }
            packet.writer.count += total
            flow.pointee.nextNumber &+= 1
            flow.pointee.removeFirstDatagram()
            return true
        }
        if flow.pointee.fragmentOffset == 0, total <= largest { return false }
        return self.writeFragments(flow, total: total, to: &packet, at: now)
    }

    /// What a packet has room for besides the OPEN that goes before every datagram until it is
    /// acknowledged: what does not fit with it now would not fit the next packet either.
    private func largestBody(of flow: FlowPointer) -> Int {
        let needsOpen = self.isClient && !flow.pointee.isOpenAcknowledged
        let open = needsOpen ? FrameSize.open(flow.pointee.request) : 0
        return self.packetSize - RecordLayout.header - RecordLayout.tag - open
    }

    private func writeFragments(
        _ flow: FlowPointer,
        total: Int,
        to packet: inout PacketBuilder,
        at now: Instant
    ) -> Bool {
        if flow.pointee.fragmentOffset == 0 {
            // All fragments but the last are equally long, so that their number is known from the
            // start; some room is left for what else the packets carry.
            let others = FrameSize.fragmentHeader + 48
            flow.pointee.fragmentByteCount = self.largestBody(of: flow) - others
        }
        let chunk = flow.pointee.fragmentByteCount
        guard chunk > 0, chunk + FrameSize.fragmentHeader <= self.largestBody(of: flow),
            let count = UInt8(exactly: (total + chunk - 1) / chunk)
        else {
            // The path shrank under a datagram that is half gone, or a new session wants OPEN
            // before the rest: it is lost, as any may be, and its number with it, because the peer
            // may hold the other half. Or a long OPEN and small packets, which the peer may ask
            // for, leave so little that the fragments are more than their count can say.
            flow.pointee.abandonFragments()
            flow.pointee.removeFirstDatagram()
            self.board.drop(.datagramTooLarge)
            return true
        }
        let offset = flow.pointee.fragmentOffset
        let length = min(chunk, total - offset)
        guard packet.room >= FrameSize.fragmentHeader + length else { return false }
        packet.begin(FrameType.fragment, count: 14 + length)
        packet.writer.write(flow.pointee.id)
        packet.writer.write(flow.pointee.nextNumber)
        packet.writer.write(flow.pointee.fragmentIndex)
        packet.writer.write(count)
        packet.writer.write(UInt16(offset))  // bound: a datagram
        packet.writer.write(UInt16(total))  // bound: a datagram
        flow.pointee.queue.copyFirst(from: offset, count: length, to: packet.writer.cursor)
        if flow.pointee.request.delivery == .deadline {
            self.retain(flow, part: length, fragmentByteCount: chunk, in: packet, at: now)
        }
        packet.writer.count += length
        flow.pointee.fragmentOffset += length
        flow.pointee.fragmentIndex &+= 1
        if flow.pointee.fragmentOffset == total {
            flow.pointee.nextNumber &+= 1
            flow.pointee.removeFirstDatagram()
        }
        return true
    }

    // MARK: - Sending again

    /// Stands for "whole" where a fragment's index goes.
    static let wholeDatagram = UInt8.max

    /// Whether a whole datagram is kept to be sent again: always where delivery is `deadline`, else
    /// where that costs little: a slow flow's small messages, and what a real-time flow of moderate
    /// rate sends.
    private func keeps(_ flow: FlowPointer, _ byteCount: Int) -> Bool {
        let request = flow.pointee.request
        if request.delivery == .deadline { return true }
        guard request.redundancy != .off, request.trafficClass != .bulk else { return false }
        let traffic = flow.pointee.traffic
        let bitsPerSecond = traffic.rate * traffic.messageByteCount * 8
        let isSlow =
            byteCount <= CopySchedule.messageByteLimit
            && bitsPerSecond <= Double(DatagramRetention.slowFlow)
        let isRealtime = request.trafficClass == .realtime
        guard isSlow || isRealtime && bitsPerSecond <= Double(DatagramRetention.realtimeFlow)
        else { return false }
        let patience = max(Self.lifetime, self.recovery.smoothedRTT + Self.lifetime * 2 / 3)
        if let retention = flow.pointee.retention {
            retention.maximumAge = patience
        } else {
            guard self.mayHold(0) else { return false }
            flow.pointee.retention = DatagramRetention(
                maximumAge: patience,
                byteLimit: request.trafficClass == .realtime ? 1 << 17 : 1 << 14,
                entryLimit: 256
            )
        }
        return true
    }

    /// How old a datagram may get before sending it again is of no use, on a short path.
    private static let lifetime = Instant.Interval.milliseconds(150)

    /// Keeps the part of a datagram that stands at the packet's cursor, in case it is lost.
    private func retain(
        _ flow: FlowPointer,
        part: Int,
        fragmentByteCount: Int,
        in packet: PacketBuilder,
        at now: Instant
    ) {
        guard let retention = flow.pointee.retention else { return }
        let offset = flow.pointee.fragmentOffset
        if offset == 0 {
            let total = flow.pointee.queue.first.byteCount
            flow.pointee.isFirstKept = retention.begin(
                flow.pointee.nextNumber,
                byteCount: total,
                fragmentByteCount: fragmentByteCount,
                queuedAt: flow.pointee.queue.first.queuedAt,
                mayGrow: self.mayHold(max(retention.memoryByteCount, 2 * total)),
                at: now
            )
            self.settleMemory(of: flow)
        }
        guard flow.pointee.isFirstKept else { return }
        retention.place(
            UnsafeRawBufferPointer(start: packet.writer.cursor, count: part),
            at: offset
        )
        let isWhole = fragmentByteCount == 0
        self.note(
            flow,
            flow.pointee.nextNumber,
            fragment: isWhole ? Self.wholeDatagram : flow.pointee.fragmentIndex,
            in: packet
        )
    }

    private func note(
        _ flow: FlowPointer,
        _ number: UInt32,
        fragment: UInt8,
        in packet: PacketBuilder
    ) {
        self.note(
            .datagram,
            slot: flow.pointee.slot,
            id: flow.pointee.id,
            value: number,
            part: SegmentPart(first: Int(fragment), count: 1),
            in: packet
        )
    }

    /// Sends again what was lost and is not too old; `nil` when there is no such thing, false when
    /// the packet has no room for it.
    private func writeResend(
        _ flow: FlowPointer,
        to packet: inout PacketBuilder,
        at now: Instant
    ) -> Bool? {
        guard let retention = flow.pointee.retention,
            let (resend, entry) = retention.firstResend(at: now)
        else { return flow.pointee.queue.isEmpty ? true : nil }
        let isWhole = resend.fragment == Self.wholeDatagram
        let start = isWhole ? 0 : Int(resend.fragment) * entry.fragmentByteCount
        let length =
            isWhole ? entry.byteCount : min(entry.fragmentByteCount, entry.byteCount - start)
        let header = isWhole ? FrameSize.datagramHeader : FrameSize.fragmentHeader
        guard header + length <= self.largestBody(of: flow) else {
            // The path has become too small for it.
            retention.removeFirstResend()
            return flow.pointee.queue.isEmpty ? true : nil
        }
        guard packet.room >= header + length else { return false }
        retention.removeFirstResend()
        packet.begin(
            isWhole ? FrameType.datagram : FrameType.fragment,
            count: header - FrameSize.header + length
        )
        packet.writer.write(flow.pointee.id)
        packet.writer.write(resend.number)
        if !isWhole {
            let chunk = entry.fragmentByteCount
            packet.writer.write(resend.fragment)
            let count = (entry.byteCount + chunk - 1) / chunk
            packet.writer.write(UInt8(count))  // bound: as when it was sent
            packet.writer.write(UInt16(start))  // bound: a datagram
            packet.writer.write(UInt16(entry.byteCount))  // bound: a datagram
        }
        retention.copy(entry, from: start, count: length, to: packet.writer.cursor)
        packet.writer.count += length
        self.note(flow, resend.number, fragment: resend.fragment, in: packet)
        return true
    }
}
