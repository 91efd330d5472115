import Primitives

/// What the opener asks for, before the first bytes of a stream or flow; see ``Opening``.
struct OpenFrame: Equatable {
    var channel: ChannelID
    var request: OpenRequest

    /// Bytes besides those of the request.
    static let overhead = FrameHeader.byteCount + ChannelID.byteCount
}

extension OpenFrame {
    /// Who knows the channel already need not look any further than at a ``ChannelID``.
    init?(parsing reader: inout ByteReader) {
        guard let channel = ChannelID(parsing: &reader),
            let request = OpenRequest(parsing: &reader)
        else { return nil }
        self.init(channel: channel, request: request)
    }

    func encode(to writer: inout ByteWriter) {
        self.channel.encode(to: &writer)
        self.request.write(to: &writer)
    }
}
