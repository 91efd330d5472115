import Compression
import Primitives

/// What may be deflated: the server says so, for each stream and flow that was opened for it.
///
/// A client cannot know what its server's configuration forbids. It stores until it is told, so
/// that nothing arrives deflated which must not be inflated, and no honest stream is reset for it.
/// What it was told of one stream or flow holds for the next ones of that service, from their
/// first byte on, until the server takes it back or resets one.
extension PeerSession {
    static let deflationLimit = 256

    /// What a permission is remembered for.
    struct ServiceName: Hashable {
        var name: String
        var serviceProtocol: ServiceProtocol

        init(_ request: OpenRequest) {
            self.name = request.service
            self.serviceProtocol = request.serviceProtocol
        }
    }

    /// Server: tells the client to forget what it remembers, because a service has changed.
    func withdrawDeflating() {
        let isSaid = self.mayDeflate.contains { $0.kind == MayDeflateFrame.withdrawal }
        if !isSaid { self.mayDeflate.insert((MayDeflateFrame.withdrawal, 0), at: 0) }
    }

    /// Server: tells the client that this end inflates what comes for `id`.
    ///
    /// What finds no room in the queue is not said: that stream or flow stays uncompressed.
    func allowDeflating(_ kind: UInt8, _ id: UInt32) {
        guard self.mayDeflate.count < Self.deflationLimit else { return }
        self.mayDeflate.append((kind, id))
    }

    func writeMayDeflate(to packet: inout PacketBuilder) {
        while let (kind, id) = self.mayDeflate.first, packet.room >= MayDeflateFrame.byteCount {
            self.mayDeflate.removeFirst()
            // What has ended since needs no permission.
            let isHere =
                switch kind {
                case ChannelKind.stream: self.stream(id) != nil
                case ChannelKind.flow: self.flow(id) != nil
                default: true
                }
            guard isHere else { continue }
            packet.append(MayDeflateFrame(channel: ChannelID(kind, id)))
            packet.note(.mayDeflate, slot: 0, id: id, value: UInt32(clamping: kind))
        }
    }

    func repeatMayDeflate(_ frame: FrameRecord) {
        let kind = UInt8(truncatingIfNeeded: frame.value)
        if kind == MayDeflateFrame.withdrawal {
            self.withdrawDeflating()
        } else {
            self.allowDeflating(kind, frame.id)
        }
    }

    func receiveMayDeflate(_ body: UnsafeRawBufferPointer) {
        var reader = ByteReader(body)
        guard let channel = MayDeflateFrame(parsing: &reader)?.channel else {
            return self.board.drop(.malformed)
        }
        guard self.isClient else { return self.board.drop(.protocolViolation) }
        switch channel.kind {
        case ChannelKind.stream:
            guard let stream = self.stream(channel.id) else { return }
            stream.pointee.compression?.allowDeflating()
            self.deflatable.insert(ServiceName(stream.pointee.request))
        case ChannelKind.flow:
            guard let flow = self.flow(channel.id) else { return }
            flow.pointee.mayCompress = true
            self.deflatable.insert(ServiceName(flow.pointee.request))
        case MayDeflateFrame.withdrawal:
            self.deflatable.removeAll()
        // Other kinds are for later versions.
        default: return
        }
    }

    /// The peer sent what this end does not inflate: the stream ends, the session goes on.
    func failCompression(of stream: StreamPointer, _ fault: CompressedStreamReader.Fault) {
        switch fault {
        case .corrupt: self.board.drop(.protocolViolation)
        case .forbidden: self.board.drop(.compressionForbidden)
        case .excessive: self.board.drop(.inflationBudget)
        }
        self.announceEnd(stream, .compression)
        self.reset(stream, reason: .compression)
    }
}
