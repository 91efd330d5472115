import Primitives
import Recovery
import Erasure
import KCP
import Sealing

/// Taking packets apart. Whatever an authentic peer sends is checked as if it were hostile.
extension PeerSession {
    /// What the engine has to do about frames that concern more than this session.
    enum Consequence {
        case none
        case closed(ResetReason)
        /// The peer acknowledges what it never received.
        case violated
    }

    /// Takes the frames of a packet that was authentic and new.
    func receive(
        _ plaintext: UnsafeRawBufferPointer,
        number: UInt64,
        from source: SocketAddress,
        at now: Instant,
        openStream: (UInt32, OpenRequest) -> Void,
        openFlow: (UInt32, OpenRequest) -> Void
    ) -> Consequence {
        var reader = ByteReader(plaintext)
        var isEliciting = false
        var isTraffic = false
        var consequence = Consequence.none
        while let type: UInt8 = reader.read(), type != FrameType.padding {
            guard let length: UInt16 = reader.read(), let body = reader.read(count: Int(length))
            else {
                self.board.drop(.malformed)
                break
            }
            if FrameType.isAckEliciting(type) { isEliciting = true }
            switch type {
            case FrameType.stream:
                isTraffic = true
                self.receiveSegment(body)
            case FrameType.streamPart:
                isTraffic = true
                self.receivePart(body)
            case FrameType.datagram:
                isTraffic = true
                self.receiveDatagram(body, at: now)
            case FrameType.copies:
                self.receiveCopies(body, at: now)
            case FrameType.repair:
                self.receiveRepair(body, at: now)
            case FrameType.fragment:
                isTraffic = true
                self.receiveFragment(body, at: now)
            case FrameType.ack:
                if !self.recovery.receivedAck(body, at: now) { self.board.drop(.malformed) }
            case FrameType.open:
                self.receiveOpen(body, openStream: openStream, openFlow: openFlow)
            case FrameType.closeSession:
                var reader = ByteReader(body)
                let frame = CloseSessionFrame(parsing: &reader)
                consequence = .closed(frame?.reason ?? .shutdown)
            default:
                self.receiveControl(type, body, from: source, at: now)
            }
        }
        if self.recovery.hasForgedAck { consequence = .violated }
        self.settle(at: now)
        self.received.adapt(roundTrip: self.recovery.smoothedRTT, at: now)
        // What is not acknowledged comes again, in another packet.
        if !self.mustComeAgain {
            self.received.received(number, isAckEliciting: isEliciting, isUrgent: false, at: now)
        }
        self.mustComeAgain = false
        self.liveness.heard(isTraffic: isTraffic, at: now)
        self.vouch(at: now)
        return consequence
    }

    /// The peer lives, which may have been in doubt.
    private func vouch(at now: Instant) {
        guard self.suspectAt != nil else { return }
        self.suspectAt = nil
        self.vouchedAt = now
    }

    private func receiveControl(
        _ type: UInt8,
        _ body: UnsafeRawBufferPointer,
        from source: SocketAddress,
        at now: Instant
    ) {
        var reader = ByteReader(body)
        switch type {
        case FrameType.window:
            guard let frame = WindowFrame(parsing: &reader) else {
                return self.board.drop(.malformed)
            }
            guard let stream = self.stream(frame.conversation) else { return }
            stream.pointee.sender.raiseCredit(to: frame.limit)
            self.scheduleData(stream)
        case FrameType.close:
            guard let frame = CloseFrame(parsing: &reader) else {
                return self.board.drop(.malformed)
            }
            self.receiveClose(frame.conversation, frame.segmentCount)
        case FrameType.reset:
            guard let frame = ResetFrame(parsing: &reader) else {
                return self.board.drop(.malformed)
            }
            self.receiveReset(frame.channel, frame.reason)
        case FrameType.rate:
            guard let frame = RateFrame(parsing: &reader) else {
                return self.board.drop(.malformed)
            }
            self.receiveRate(frame.bytesPerSecond, at: now)
        case FrameType.path:
            guard let frame = PathFrame(parsing: &reader) else {
                return self.board.drop(.malformed)
            }
            self.receivePath(frame, from: source, at: now)
        case FrameType.mayDeflate:
            self.receiveMayDeflate(body)
        case FrameType.ratchetOffer, FrameType.ratchetAnswer:
            self.receiveRatchet(type, body)
        default:
            // PING and probes say all they have to say by arriving; unknown frames are skipped.
            return
        }
    }

    func stream(_ conversation: UInt32) -> StreamPointer? {
        let slot = self.conversations[conversation]
        guard slot != IndexTable.none else { return nil }
        return self.board.streams[slot]
    }

    func flow(_ id: UInt32) -> FlowPointer? {
        let slot = self.flowIDs[id]
        guard slot != IndexTable.none else { return nil }
        return self.board.flows[slot]
    }

    // MARK: - Streams

    private func receiveSegment(_ body: UnsafeRawBufferPointer) {
        var reader = ByteReader(body)
        guard let frame = StreamFrame(parsing: &reader) else {
            return self.board.drop(.malformed)
        }
        guard let stream = self.stream(frame.conversation) else {
            return self.receiveStray(frame.conversation)
        }
        guard !stream.pointee.isReset else { return }
        var outcome: HostedReceiver.Outcome
        repeat {
            outcome = stream.pointee.receiver.receive(
                number: frame.number,
                offset: frame.offset,
                reader.rest,
                allowance: self.allowance
            )
        } while outcome == .noRoom && self.relieve()
        self.noteOutcome(outcome, of: stream)
    }

    private func receivePart(_ body: UnsafeRawBufferPointer) {
        var reader = ByteReader(body)
        guard let frame = StreamPartFrame(parsing: &reader) else {
            return self.board.drop(.malformed)
        }
        let segment = frame.segment
        guard let stream = self.stream(segment.conversation) else {
            return self.receiveStray(segment.conversation)
        }
        guard !stream.pointee.isReset else { return }
        var outcome: HostedReceiver.Outcome
        repeat {
            outcome = stream.pointee.receiver.receivePart(
                number: segment.number,
                offset: segment.offset,
                segmentByteCount: Int(frame.segmentByteCount),
                firstChunk: Int(frame.firstChunk),
                reader.rest,
                allowance: self.allowance
            )
        } while outcome == .noRoom && self.relieve()
        self.noteOutcome(outcome, of: stream)
    }

    private func noteOutcome(_ outcome: HostedReceiver.Outcome, of stream: StreamPointer) {
        self.settleMemory(of: stream)
        switch outcome {
        case .accepted(let isReadable):
            if isReadable { self.board.markReady(stream) }
        case .duplicate:
            return
        case .violation:
            self.fail(stream, .protocolViolation)
        case .noRoom:
            self.board.drop(.sessionMemory)
            self.mustComeAgain = true
        }
    }

    private func receiveClose(_ id: UInt32, _ final: UInt32) {
        guard let stream = self.stream(id) else { return self.receiveStray(id) }
        guard !stream.pointee.isReset else { return }
        switch stream.pointee.receiver.finish(at: final) {
        case .accepted(_):
            self.board.markReady(stream)
            self.ended.append(stream.pointee.slot)
        case .duplicate, .noRoom: return
        case .violation: self.fail(stream, .protocolViolation)
        }
    }

    /// A frame for a conversation that is not here: an old acquaintance, or one never opened.
    private func receiveStray(_ id: UInt32) {
        self.board.drop(.unknownStream)
        let isKnown = self.isClient ? id < self.nextConversation : self.openedStreams.contains(id)
        if !isKnown { _ = self.refuse(ChannelKind.stream, id, .limit) }
    }

    /// The peer broke the rules of one stream: that stream ends, the session goes on.
    func fail(_ stream: StreamPointer, _ reason: ResetReason) {
        self.board.drop(.protocolViolation)
        self.announceEnd(stream, reason)
        self.reset(stream, reason: reason)
    }

    private func receiveReset(_ channel: ChannelID, _ reason: ResetReason) {
        let id = channel.id
        if channel.kind == ChannelKind.flow { return self.receiveFlowReset(id, reason) }
        // Other kinds are for later versions.
        guard channel.kind == ChannelKind.stream else { return }
        // The OPEN of a stream reset this early may still be on its way.
        if !self.isClient { self.openedStreams.insert(id) }
        guard let stream = self.stream(id) else { return }
        if reason == .compression || reason == .reload {
            self.deflatable.remove(ServiceName(stream.pointee.request))
        }
        if reason == .stalled { self.board.drop(.stalled) }
        if !stream.pointee.isReset { self.announceEnd(stream, reason) }
        self.release(stream)
    }

    private func receiveOpen(
        _ body: UnsafeRawBufferPointer,
        openStream: (UInt32, OpenRequest) -> Void,
        openFlow: (UInt32, OpenRequest) -> Void
    ) {
        var reader = ByteReader(body)
        guard let channel = ChannelID(parsing: &reader) else {
            return self.board.drop(.malformed)
        }
        guard !self.isClient, !self.isHeldBack else { return self.board.drop(.protocolViolation) }
        let id = channel.id
        let isFlow = channel.kind == ChannelKind.flow
        let isKnown = isFlow ? self.openedFlows.contains(id) : self.openedStreams.contains(id)
        guard !isKnown else { return }
        guard let request = OpenRequest(parsing: &reader),
            isFlow == (request.serviceProtocol == .udp && request.delivery != .reliable)
        else { return self.board.drop(.malformed) }
        if isFlow { openFlow(id, request) } else { openStream(id, request) }
    }

    // MARK: - Flows

    private func receiveDatagram(_ body: UnsafeRawBufferPointer, at now: Instant) {
        var reader = ByteReader(body)
        guard let frame = DatagramFrame(parsing: &reader) else {
            return self.board.drop(.malformed)
        }
        guard let flow = self.flow(frame.flow) else { return self.refuseUnknown(frame.flow) }
        flow.pointee.decoder?.received(frame.number, reader.rest, at: now)
        if flow.pointee.arrivals.isNew(frame.number) {
            self.deliver(reader.rest, to: flow, at: now)
        }
        if flow.pointee.decoder != nil { self.deliverRecovered(flow, at: now) }
    }

    private func refuseUnknown(_ id: UInt32) {
        self.board.drop(.unknownFlow)
        _ = self.refuse(ChannelKind.flow, id, .flowUnknown)
    }

    private func receiveCopies(_ body: UnsafeRawBufferPointer, at now: Instant) {
        var reader = ByteReader(body)
        guard let id = CopiesFrame(parsing: &reader)?.flow else {
            return self.board.drop(.malformed)
        }
        guard let flow = self.flow(id) else { return self.refuseUnknown(id) }
        var messages = CopyReader(reader.rest)
        while let (number, bytes) = messages.next() {
            guard flow.pointee.arrivals.isNew(number) else { continue }
            self.board.counters.packetsRecovered &+= 1
            self.deliver(bytes, to: flow, at: now)
        }
        if messages.isMalformed { self.board.drop(.malformed) }
    }

    /// A message that repairs give back so much later than its siblings came is worth nothing, on a
    /// short path.
    private static let recoveryLifetime = Instant.Interval.milliseconds(150)

    /// Decoders cost half a megabyte each.
    private static let decoderLimit = 32
    static let decoderByteCount = 450_000

    private func receiveRepair(_ body: UnsafeRawBufferPointer, at now: Instant) {
        var reader = ByteReader(body)
        guard let id = RepairFrame(parsing: &reader)?.flow else {
            return self.board.drop(.malformed)
        }
        guard let flow = self.flow(id) else { return self.refuseUnknown(id) }
        if flow.pointee.decoder == nil {
            var peek = reader
            guard self.decoderCount < Self.decoderLimit, self.mayHold(Self.decoderByteCount),
                let header = RepairHeader(reading: &peek)
            else { return self.board.drop(.reassemblyFull) }
            // What this first repair covers is gone; the next ones find what comes from now on.
            flow.pointee.decoder = SlidingWindowDecoder(
                from: header.last &+ 1,
                maximumMessageByteCount: 1472,
                hasBudget: true
            )
            self.decoderCount += 1
            self.hold(Self.decoderByteCount)
        }
        switch flow.pointee.decoder?.received(repair: reader.rest) {
        case .malformed: self.board.drop(.malformed)
        case .overBudget: self.board.drop(.repairBudget)
        default: break
        }
        self.deliverRecovered(flow, at: now)
    }

    private func deliverRecovered(_ flow: FlowPointer, at now: Instant) {
        let roundTrip = self.recovery.smoothedRTT
        let age = max(roundTrip + roundTrip / 2, Self.recoveryLifetime)
        let oldest = now - age
        while let (number, message) = flow.pointee.decoder?.nextRecovered(siblingsSince: oldest) {
            guard flow.pointee.arrivals.isNew(number) else { continue }
            self.board.counters.packetsRecovered &+= 1
            self.deliver(message, to: flow, at: now)
        }
    }

    private func deliver(
        _ bytes: UnsafeRawBufferPointer,
        to flow: FlowPointer,
        at now: Instant
    ) {
        flow.pointee.lastActivity = now
        guard !flow.pointee.request.isCompressed else {
            return self.board.deliverPacked(bytes, to: flow)
        }
        guard bytes.count <= DatagramPacking.largest else {
            return self.board.drop(.datagramTooLarge)
        }
        let target = self.board.inbox.reserve(bytes.count, for: flow.pointee.handle)
        guard let target else { return self.board.drop(.inboxFull) }
        if let source = bytes.baseAddress, !bytes.isEmpty {
            target.copyMemory(from: source, byteCount: bytes.count)
        }
    }

    private func receiveFragment(_ body: UnsafeRawBufferPointer, at now: Instant) {
        var reader = ByteReader(body)
        guard let frame = FragmentFrame(parsing: &reader) else {
            return self.board.drop(.malformed)
        }
        let id = frame.datagram.flow
        guard let flow = self.flow(id) else { return self.refuseUnknown(id) }
        let before = self.reassembly.abandoned
        let outcome = self.reassembly.receive(
            flow: id,
            number: frame.datagram.number,
            index: Int(frame.index),
            count: Int(frame.count),
            offset: Int(frame.offset),
            total: Int(frame.total),
            reader.rest,
            mayGrow: self.mayHold(Reassembly.placeByteCount),
            at: now
        )
        self.hold(self.reassembly.memoryByteCount - self.chargedPlaceByteCount)
        self.chargedPlaceByteCount = self.reassembly.memoryByteCount
        for _ in before..<self.reassembly.abandoned { self.board.drop(.reassemblyStale) }
        switch outcome {
        case .incomplete: return
        case .malformed: self.board.drop(.malformed)
        case .complete(let bytes):
            guard flow.pointee.arrivals.isNew(frame.datagram.number) else { return }
            self.deliver(bytes, to: flow, at: now)
        }
    }

    private func receiveFlowReset(_ id: UInt32, _ reason: ResetReason) {
        guard let flow = self.flow(id) else { return }
        self.detach(flow)
        if self.isClient, reason == .flowUnknown || reason == .idle {
            // The server forgot it, the player did not: the next datagram opens it anew.
            self.adopt(flow, at: self.board.now)
            return
        }
        self.board.post(.flowClosed(flow.pointee.handle, reason))
        self.board.flows.release(flow.pointee.slot)
    }

    // MARK: - Path

    private func receivePath(
        _ frame: PathFrame,
        from source: SocketAddress,
        at now: Instant
    ) {
        switch frame.operation {
        case PathFrame.challenge:
            guard self.pathReplies.count < Self.pathReplyLimit else { return }
            self.pathReplies.append(frame.token)
        case PathFrame.response:
            guard let previous = self.path.echoed(frame.token, from: source) else { return }
            if !previous.isSameHost(as: self.path.address) {
                self.recovery.pathChanged(at: now)
                self.mtu.pathChanged(at: now)
                self.recovery.maximumPacketSize = self.mtu.confirmed
            }
            self.board.post(.peerMoved(self.handle, self.info, from: previous))
        default:
            self.board.drop(.malformed)
        }
    }
}
