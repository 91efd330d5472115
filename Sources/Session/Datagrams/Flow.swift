import Erasure
import Primitives

/// One UDP flow: (listener, source address) on a client, a connected socket on a server.
struct Flow: ~Copyable {
    let handle: FlowHandle
    /// `nil` while a client has no session.
    var owner: SessionHandle?
    /// The flow's id on the wire, unique in its session.
    var id: UInt32 = 0
    var request: OpenRequest
    var queue: DatagramQueue
    /// The number the next datagram gets.
    var nextNumber: UInt32 = 0
    /// How much of the first queued datagram has gone out as fragments.
    var fragmentOffset = 0
    var fragmentIndex: UInt8 = 0
    var fragmentByteCount = 0
    var lastActivity: Instant
    /// This end may send deflated datagrams, if the flow was opened so: on a client not before the
    /// server said that it inflates them.
    var mayCompress = false
    var inflation = DatagramPacking.InflationRule()
    /// The rhythm of what this end sends, and what is added to it against loss.
    var traffic = FlowTraffic()
    var protection: FlowProtection?
    /// Tells first arrivals from copies, and puts lost datagrams together from repairs.
    var arrivals = DuplicateFilter()
    var decoder: SlidingWindowDecoder?
    /// The datagram that is going out is kept to be sent again.
    var isFirstKept = false
    /// What may be sent again, for delivery by deadline.
    var retention: DatagramRetention?
    /// The stream that carries the messages, for reliable delivery.
    var channel: UInt32?
    var opening: Opening
    var isQueued = false
    /// Server: its place among those of the peer.
    var holding: Holding?
    /// What its session has been charged for its memory, decoders aside.
    var chargedByteCount = 0

    init(
        _ handle: FlowHandle,
        request: OpenRequest,
        queued: ByteTotal,
        at now: Instant
    ) {
        self.handle = handle
        self.request = request
        self.opening = Opening(of: request)
        self.queue = DatagramQueue(total: queued)
        self.lastActivity = now
        self.resetRetention()
    }

    /// Something waits for room on the path.
    var hasDatagrams: Bool { !self.queue.isEmpty || self.retention?.hasResends == true }

    /// Bytes of memory for what this end sends.
    var memoryByteCount: Int {
        self.queue.memoryByteCount + (self.retention?.memoryByteCount ?? 0)
            + (self.protection?.memoryByteCount ?? 0)
    }

    mutating func resetRetention() {
        self.retention =
            self.request.delivery == .deadline
            ? DatagramRetention(maximumAge: self.request.maximumAge) : nil
    }

    var slot: UInt32 { self.handle.slot }

    /// Sees to it that `packet` has OPEN before it says anything of the flow, if the peer may not
    /// know that; false when less than `room` bytes are left, or would be.
    mutating func writeOpen(to packet: inout PacketBuilder, leaving room: Int) -> Bool {
        guard self.opening.byteCount(in: packet) > 0 else { return packet.room >= room }
        return self.opening.write(
            self.request,
            of: ChannelID(ChannelKind.flow, self.id),
            slot: self.slot,
            to: &packet,
            leaving: room
        )
    }

    /// What has left of the first datagram is worthless.
    mutating func abandonFragments() {
        if self.fragmentOffset > 0 { self.nextNumber &+= 1 }
        self.fragmentOffset = 0
        self.fragmentIndex = 0
    }

    mutating func removeFirstDatagram() {
        self.queue.removeFirst()
        self.fragmentOffset = 0
        self.fragmentIndex = 0
    }
}

typealias FlowPointer = UnsafeMutablePointer<Flow>

/// The flows of one engine.
typealias FlowTable = SlotMap<Flow, HandleTag.Flow>
