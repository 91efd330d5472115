import Erasure
import Primitives

/// One UDP flow: (listener, source address) on a client, a connected socket on a server.
struct Flow: ~Copyable {
    /// How much of the first queued datagram has gone out as fragments.
    struct Fragments {
        var offset = 0
        var index: UInt8 = 0
        var byteCount = 0
        /// It is kept to be sent again.
        var isKept = false
    }

    let handle: FlowHandle
    private(set) var lifecycle = FlowLifecycle.waiting
    /// The flow's id on the wire, unique in its session.
    var id: UInt32 = 0
    var request: OpenRequest
    var queue: DatagramQueue
    /// The number the next datagram gets.
    var nextNumber: UInt32 = 0
    var fragments = Fragments()
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
    /// What may be sent again, for delivery by deadline.
    var retention: DatagramRetention?
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

    /// The session it belongs to, and the slot of the stream that carries it.
    var owner: SessionHandle? { self.lifecycle.owner }
    var carrier: UInt32? { self.lifecycle.carrier }

    /// Something has happened to it; what is to be done now.
    mutating func on(_ event: FlowLifecycle.Event, isClient: Bool) -> FlowLifecycle.Action {
        self.lifecycle.on(event, isClient: isClient)
    }

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
        assert(self.fragments.offset >= 0)
        assert((self.fragments.offset == 0) == (self.fragments.index == 0), "half a fragment")
        if self.fragments.offset > 0 { self.nextNumber &+= 1 }
        self.fragments.offset = 0
        self.fragments.index = 0
    }

    mutating func removeFirstDatagram() {
        self.queue.removeFirst()
        self.fragments.offset = 0
        self.fragments.index = 0
    }
}

typealias FlowPointer = UnsafeMutablePointer<Flow>

/// The flows of one engine.
typealias FlowTable = SlotMap<Flow, HandleTag.Flow>
