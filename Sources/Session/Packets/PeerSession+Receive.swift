import Primitives

/// A packet that was authentic and new, while its frames are taken.
struct ReceivedPacket {
    fileprivate var reader: ByteReader
    let number: UInt64
    let source: SocketAddress
    fileprivate var isAckEliciting = false
    fileprivate var isTraffic = false
    /// Something in it found no memory or no room: the peer has to send it again.
    var mustComeAgain = false
    /// It acknowledges something.
    fileprivate var hasAck = false
    /// The peer says that the session is over.
    fileprivate var closing: ResetReason?

    init(_ plaintext: UnsafeRawBufferPointer, number: UInt64, from source: SocketAddress) {
        self.reader = ByteReader(plaintext)
        self.number = number
        self.source = source
    }
}

/// Taking packets apart. Whatever an authentic peer sends is checked as if it were hostile.
extension PeerSession {
    /// What the engine has to do about a packet that concerns more than this session.
    enum Consequence {
        case none
        case closed(ResetReason)
        /// The peer acknowledges what it never received.
        case violated
    }

    /// Takes frames up to one that the engine has to decide about: what the peer wants opened.
    ///
    /// Call it until there is none, then ``took(_:at:)``.
    func receive(_ packet: inout ReceivedPacket, at now: Instant) -> OpenFrame? {
        while let type: UInt8 = packet.reader.read(), type != FrameType.padding {
            guard let length: UInt16 = packet.reader.read(),
                let body = packet.reader.read(count: Int(length))
            else {
                self.board.drop(.malformed)
                break
            }
            if FrameType.isAckEliciting(type) { packet.isAckEliciting = true }
            switch type {
            case FrameType.stream:
                packet.isTraffic = true
                self.act(on: self.streams.receive(body), &packet, at: now)
            case FrameType.streamPart:
                packet.isTraffic = true
                self.act(on: self.streams.receivePart(body), &packet, at: now)
            case FrameType.datagram:
                packet.isTraffic = true
                self.act(on: self.flows.receive(body, at: now), &packet, at: now)
            case FrameType.copies:
                self.act(on: self.flows.receiveCopies(body, at: now), &packet, at: now)
            case FrameType.repair:
                self.act(on: self.flows.receiveRepair(body, at: now), &packet, at: now)
            case FrameType.fragment:
                packet.isTraffic = true
                self.act(on: self.flows.receiveFragment(body, at: now), &packet, at: now)
            case FrameType.ack:
                packet.hasAck = true
                self.leg.receiveAck(body, at: now)
            case FrameType.open:
                if let frame = self.receiveOpen(body) { return frame }
            default:
                self.receiveControl(type, body, &packet, at: now)
            }
        }
        return nil
    }

    /// All frames of a packet have been taken.
    func took(_ packet: ReceivedPacket, at now: Instant) -> Consequence {
        assert(packet.reader.remaining >= 0)
        let isForged = self.leg.hasForgedAck
        self.settle(at: now)
        // What is not acknowledged comes again, in another packet.
        self.leg.took(
            packet.mustComeAgain ? nil : packet.number,
            isAckEliciting: packet.isAckEliciting,
            at: now
        )
        self.leg.heard(isTraffic: packet.isTraffic, at: now)
        self.vouch(at: now)
        if self.isClient, packet.hasAck, !self.isHeard {
            self.isHeard = true
            self.board.post(.sessionHeard(self.handle))
        }
        if isForged { return .violated }
        return packet.closing.map { .closed($0) } ?? .none
    }

    private func act(on receipt: Receipt, _ packet: inout ReceivedPacket, at now: Instant) {
        switch receipt {
        case .taken: return
        case .unknown(let channel, let reason): self.refuse(channel, reason)
        case .noMemory: packet.mustComeAgain = true
        case .reopen(let flow):
            assert(self.isClient && flow.pointee.owner == nil)
            self.adopt(flow, at: now)
        }
    }

    /// What a client wants opened and has not before.
    private func receiveOpen(_ body: UnsafeRawBufferPointer) -> OpenFrame? {
        var reader = ByteReader(body)
        guard let channel = ChannelID(parsing: &reader) else {
            self.board.drop(.malformed)
            return nil
        }
        guard !self.isClient, !self.leg.keys.isHeldBack else {
            self.board.drop(.protocolViolation)
            return nil
        }
        let isFlow = channel.kind == ChannelKind.flow
        let isUsed = isFlow ? self.flows.isUsed(channel.id) : self.streams.isUsed(channel.id)
        guard !isUsed else { return nil }
        guard let request = OpenRequest(parsing: &reader),
            isFlow == (request.serviceProtocol == .udp && request.delivery != .reliable)
        else {
            self.board.drop(.malformed)
            return nil
        }
        return OpenFrame(channel: channel, request: request)
    }

    private func receiveControl(
        _ type: UInt8,
        _ body: UnsafeRawBufferPointer,
        _ packet: inout ReceivedPacket,
        at now: Instant
    ) {
        var reader = ByteReader(body)
        switch type {
        case FrameType.window:
            guard let frame = WindowFrame(parsing: &reader) else { break }
            return self.streams.receive(frame)
        case FrameType.close:
            guard let frame = CloseFrame(parsing: &reader) else { break }
            return self.act(on: self.streams.receive(frame), &packet, at: now)
        case FrameType.reset:
            guard let frame = ResetFrame(parsing: &reader) else { break }
            return self.receive(frame, &packet, at: now)
        case FrameType.rate:
            guard let frame = RateFrame(parsing: &reader) else { break }
            guard self.isClient else { return self.board.drop(.protocolViolation) }
            return self.rates.receive(frame, at: now)
        case FrameType.path:
            guard let frame = PathFrame(parsing: &reader) else { break }
            return self.receive(frame, from: packet.source, at: now)
        case FrameType.mayDeflate:
            guard let frame = MayDeflateFrame(parsing: &reader) else { break }
            guard self.isClient else { return self.board.drop(.protocolViolation) }
            return self.receive(frame)
        case FrameType.service:
            guard let frame = ServiceFrame(parsing: &reader),
                let name = frame.name(parsing: &reader)
            else { break }
            guard self.isClient else { return self.board.drop(.protocolViolation) }
            return self.receive(frame, of: name, number: packet.number)
        case FrameType.ratchetOffer, FrameType.ratchetAnswer:
            return self.act(
                on: self.leg.keys.receive(type, body, self.board),
                &packet,
                at: now
            )
        case FrameType.closeSession:
            packet.closing = CloseSessionFrame(parsing: &reader)?.reason
            return
        default:
            // PING and probes say all they have to say by arriving; unknown frames are skipped.
            return
        }
        self.board.drop(.malformed)
    }

    private func receive(_ frame: ResetFrame, _ packet: inout ReceivedPacket, at now: Instant) {
        switch frame.channel.kind {
        case ChannelKind.flow:
            let receipt = self.flows.receiveReset(frame.channel.id, frame.reason)
            self.act(on: receipt, &packet, at: now)
        case ChannelKind.stream:
            if frame.reason == .compression || frame.reason == .reload,
                let stream = self.streams.stream(frame.channel.id)
            {
                self.control.forgetDeflating(stream.pointee.request)
            }
            self.streams.receiveReset(frame.channel.id, frame.reason)
        // Other kinds are for later versions.
        default: return
        }
    }

    private func receive(_ frame: PathFrame, from source: SocketAddress, at now: Instant) {
        guard let previous = self.leg.receive(frame, from: source, at: now) else { return }
        self.board.post(.peerMoved(self.handle, self.info, from: previous))
    }

    /// Client: whether a service has backends.
    private func receive(_ frame: ServiceFrame, of name: String, number: UInt64) {
        // Other kinds and states are for later versions.
        guard let kind = ServiceProtocol(rawValue: frame.kind), frame.state <= 1 else { return }
        let isServed = frame.state == 1
        let service = ServiceName(name, kind)
        guard self.services.heard(service, isServed: isServed, packet: number) else { return }
        self.board.post(.serviceChanged(self.handle, name, kind, isServed: isServed))
    }

    /// Client: what the server inflates.
    private func receive(_ frame: MayDeflateFrame) {
        switch frame.channel.kind {
        case ChannelKind.stream:
            guard let stream = self.streams.stream(frame.channel.id) else { return }
            stream.pointee.compression?.allowDeflating()
            self.control.deflates(stream.pointee.request)
        case ChannelKind.flow:
            guard let flow = self.flows.flow(frame.channel.id) else { return }
            flow.pointee.mayCompress = true
            self.control.deflates(flow.pointee.request)
        case MayDeflateFrame.withdrawal:
            self.control.forgetDeflating()
        // Other kinds are for later versions.
        default: return
        }
    }
}
