import Erasure
import KCP
import Primitives
import Recovery

/// Datagrams, whole or in fragments, one flow after the other.
extension FlowSet {
    /// Datagrams older than this are worth nothing to anybody who asked for datagrams.
    static let datagramPatience = Instant.Interval.seconds(1)

    var hasDatagrams: Bool { !self.queue.isEmpty }

    func schedule(_ flow: FlowPointer) {
        assert(self.owns(flow) && flow.pointee.carrier == nil, "a stream carries it")
        guard !flow.pointee.isQueued, flow.pointee.hasDatagrams else { return }
        flow.pointee.isQueued = true
        self.queue.append(flow.pointee.slot)
    }

    /// One datagram of each flow in turn, as many as there is room for.
    func write(into packet: inout PacketBuilder, at now: Instant) {
        while let slot = self.queue.first {
            guard let flow = self.board.flows.live(slot), flow.pointee.isQueued,
                self.owns(flow), self.dropStale(flow, at: now)
            else {
                self.unqueueFirstFlow(slot)
                continue
            }
            if flow.pointee.opening.byteCount(in: packet) > 0 {
                let least = FragmentFrame.byteCount + 64
                guard flow.pointee.writeOpen(to: &packet, leaving: least) else { return }
            }
            guard
                self.writeResend(flow, to: &packet, at: now)
                    ?? self.writeDatagram(flow, to: &packet, at: now)
            else { return }
            packet.isTraffic = true
            packet.flags.insert(.isInteractive)
            self.memory.settle(flow)
            // One datagram a turn: no flow waits behind another's burst.
            _ = self.queue.popFirst()
            if !flow.pointee.hasDatagrams {
                flow.pointee.isQueued = false
            } else {
                self.queue.append(slot)
            }
        }
    }

    private func unqueueFirstFlow(_ slot: UInt32) {
        _ = self.queue.popFirst()
        if let flow = self.board.flows.live(slot), self.owns(flow) {
            flow.pointee.isQueued = false
        }
    }

    /// Drops what waited too long; false when nothing is left.
    private func dropStale(_ flow: FlowPointer, at now: Instant) -> Bool {
        let request = flow.pointee.request
        let patience =
            request.delivery == .deadline ? request.maximumAge : Self.datagramPatience
        while !flow.pointee.queue.isEmpty, flow.pointee.fragments.offset == 0,
            now.since(flow.pointee.queue.first.queuedAt) > patience
        {
            flow.pointee.removeFirstDatagram()
            self.board.drop(.flowQueueStale)
            self.memory.settle(flow)
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
        assert(total <= DatagramPacking.largest + 1, "larger than any datagram")
        assert(flow.pointee.fragments.offset <= total)
        let largest = self.largestBody(of: flow) - DatagramFrame.byteCount
        if flow.pointee.fragments.offset == 0, total <= packet.room - DatagramFrame.byteCount {
            let number = flow.pointee.nextNumber
            packet.append(DatagramFrame(flow: flow.pointee.id, number: number), rest: total)
            flow.pointee.queue.copyFirst(from: 0, count: total, to: packet.writer.cursor)
            self.protect(
                flow,
                number,
                UnsafeRawBufferPointer(start: packet.writer.cursor, count: total),
                at: now
            )
            if self.startKeeping(flow, total) {
                self.retain(flow, part: total, fragmentByteCount: 0, in: packet, at: now)
            }
            packet.writer.count += total
            flow.pointee.nextNumber &+= 1
            flow.pointee.removeFirstDatagram()
            return true
        }
        if flow.pointee.fragments.offset == 0, total <= largest { return false }
        return self.writeFragments(flow, total: total, to: &packet, at: now)
    }

    /// What a packet has room for besides the OPEN that goes before every datagram until it is
    /// acknowledged: what does not fit with it now would not fit the next packet either.
    private func largestBody(of flow: FlowPointer) -> Int {
        self.leg.packetRoom - flow.pointee.opening.reserve
    }

    private func writeFragments(
        _ flow: FlowPointer,
        total: Int,
        to packet: inout PacketBuilder,
        at now: Instant
    ) -> Bool {
        if flow.pointee.fragments.offset == 0 {
            // All fragments but the last are equally long, so that their number is known from the
            // start; some room is left for what else the packets carry.
            let others = FragmentFrame.byteCount + 48
            flow.pointee.fragments.byteCount = self.largestBody(of: flow) - others
        }
        let chunk = flow.pointee.fragments.byteCount
        guard chunk > 0, chunk + FragmentFrame.byteCount <= self.largestBody(of: flow),
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
        let offset = flow.pointee.fragments.offset
        let length = min(chunk, total - offset)
        assert(length > 0 && offset == Int(flow.pointee.fragments.index) * chunk)
        guard packet.room >= FragmentFrame.byteCount + length else { return false }
        let frame = FragmentFrame(
            datagram: DatagramFrame(flow: flow.pointee.id, number: flow.pointee.nextNumber),
            index: flow.pointee.fragments.index,
            count: count,
            offset: UInt16(offset),  // bound: a datagram
            total: UInt16(total)  // bound: a datagram
        )
        packet.append(frame, rest: length)
        flow.pointee.queue.copyFirst(from: offset, count: length, to: packet.writer.cursor)
        if flow.pointee.request.delivery == .deadline {
            self.retain(flow, part: length, fragmentByteCount: chunk, in: packet, at: now)
        }
        packet.writer.count += length
        flow.pointee.fragments.offset += length
        assert(flow.pointee.fragments.offset <= total, "more than the datagram has")
        flow.pointee.fragments.index &+= 1
        if flow.pointee.fragments.offset == total {
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
    private func startKeeping(_ flow: FlowPointer, _ byteCount: Int) -> Bool {
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
        let patience = max(Self.lifetime, self.leg.roundTrip + Self.lifetime * 2 / 3)
        if let retention = flow.pointee.retention {
            retention.maximumAge = patience
        } else {
            guard self.memory.mayHold(0) else { return false }
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
        let offset = flow.pointee.fragments.offset
        if offset == 0 {
            let total = flow.pointee.queue.first.byteCount
            flow.pointee.fragments.isKept = retention.begin(
                flow.pointee.nextNumber,
                byteCount: total,
                fragmentByteCount: fragmentByteCount,
                queuedAt: flow.pointee.queue.first.queuedAt,
                mayGrow: self.memory.mayHold(max(retention.memoryByteCount, 2 * total)),
                at: now
            )
            self.memory.settle(flow)
        }
        guard flow.pointee.fragments.isKept else { return }
        retention.place(
            UnsafeRawBufferPointer(start: packet.writer.cursor, count: part),
            at: offset
        )
        let isWhole = fragmentByteCount == 0
        self.note(
            flow,
            flow.pointee.nextNumber,
            fragment: isWhole ? Self.wholeDatagram : flow.pointee.fragments.index,
            in: packet
        )
    }

    private func note(
        _ flow: FlowPointer,
        _ number: UInt32,
        fragment: UInt8,
        in packet: PacketBuilder
    ) {
        packet.note(
            .datagram,
            slot: flow.pointee.slot,
            id: flow.pointee.id,
            value: number,
            part: SegmentPart(first: Int(fragment), count: 1)
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
        assert(isWhole == (entry.fragmentByteCount == 0), "a fragment of what went out whole")
        let start = isWhole ? 0 : Int(resend.fragment) * entry.fragmentByteCount
        let length =
            isWhole ? entry.byteCount : min(entry.fragmentByteCount, entry.byteCount - start)
        let header = isWhole ? DatagramFrame.byteCount : FragmentFrame.byteCount
        guard header + length <= self.largestBody(of: flow) else {
            // The path has become too small for it.
            retention.removeFirstResend()
            return flow.pointee.queue.isEmpty ? true : nil
        }
        guard packet.room >= header + length else { return false }
        retention.removeFirstResend()
        let frame = DatagramFrame(flow: flow.pointee.id, number: resend.number)
        if isWhole {
            packet.append(frame, rest: length)
        } else {
            let chunk = entry.fragmentByteCount
            let count = (entry.byteCount + chunk - 1) / chunk
            let fragment = FragmentFrame(
                datagram: frame,
                index: resend.fragment,
                count: UInt8(count),  // bound: as when it was sent
                offset: UInt16(start),  // bound: a datagram
                total: UInt16(entry.byteCount)  // bound: a datagram
            )
            packet.append(fragment, rest: length)
        }
        retention.copy(entry, from: start, count: length, to: packet.writer.cursor)
        packet.writer.count += length
        self.note(flow, resend.number, fragment: resend.fragment, in: packet)
        return true
    }
}
