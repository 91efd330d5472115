import Primitives

/// What an OPEN costs the packets of one stream or flow, until the peer is known to have it.
///
/// Until one is acknowledged, each packet that says something of the stream or flow carries OPEN
/// in front of it, so that the first to arrive opens it. Nobody else knows how long an OPEN is,
/// nor when one has to be there.
struct Opening {
    private enum State: Equatable {
        /// The peer opened it, or has acknowledged that this end did.
        case known
        /// The number of the packet that carried OPEN last.
        case owed(since: UInt64?)
    }

    private var state: State
    private let limit: Int

    /// Of what this end opens.
    init(of request: OpenRequest) {
        self.state = .owed(since: nil)
        self.limit = Self.byteCountLimit(request)
    }

    private init() {
        self.state = .known
        self.limit = 0
    }

    /// Of what the peer opened, which is owed no OPEN.
    static let received = Self()

    /// The most that an OPEN takes, or one of a request that is not known any more.
    static func byteCountLimit(_ request: OpenRequest?) -> Int {
        OpenFrame.overhead + OpenRequest.encodedByteCountLimit
            + (request.map { OpenFields($0).byteCount } ?? 0)
    }

    /// Whether the peer is known to have it.
    var isKnown: Bool { self.state == .known }

    /// Bytes that every packet loses to OPEN: what does not fit beside it now would not fit the
    /// next packet either.
    var reserve: Int { self.isKnown ? 0 : self.limit }

    /// Bytes that OPEN takes in `packet` before the first word about its stream or flow; 0 if it
    /// is in there, or need not be.
    func byteCount(in packet: borrowing PacketBuilder) -> Int {
        switch self.state {
        case .known: 0
        case .owed(let since): since == packet.number ? 0 : self.limit
        }
    }

    /// Puts OPEN into `packet`, where ``byteCount(in:)`` says that it has to be; false, and nothing
    /// is written, when that would leave less than `room` bytes.
    mutating func write(
        _ request: OpenRequest,
        of channel: ChannelID,
        slot: UInt32,
        to packet: inout PacketBuilder,
        leaving room: Int
    ) -> Bool {
        precondition(!self.isKnown, "OPEN of what the peer knows")
        guard packet.room >= self.limit + room else { return false }
        var body = packet.frameBody
        OpenFrame(channel: channel, request: request).encode(to: &body)
        assert(body.count + FrameHeader.byteCount <= self.limit, "an OPEN beyond its limit")
        packet.append(FrameType.open, body)
        let isFlow = channel.kind == ChannelKind.flow
        packet.note(isFlow ? .flowOpen : .open, slot: slot, id: channel.id)
        self.state = .owed(since: packet.number)
        return true
    }

    /// A packet with OPEN has arrived.
    mutating func acknowledged() { self.state = .known }
}
