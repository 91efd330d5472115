import Erasure
import Primitives

/// One UDP flow: (listener, source address) on a client, a connected socket on a server.
struct Flow: ~Copyable {
    let slot: UInt32
    let generation: UInt32
    /// The session's slot, or -1 while there is none.
    var session: Int32 = -1
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
    var isOpenAcknowledged = false
    var lastOpenPacket: UInt64?
    var isQueued = false
    /// Server: its place among those of the peer.
    var holding: Holding?
    /// What its session has been charged for its memory, decoders aside.
    var chargedByteCount = 0

    init(
        slot: UInt32,
        generation: UInt32,
        request: OpenRequest,
        queued: UnsafeMutablePointer<Int>,
        at now: Instant
    ) {
        self.slot = slot
        self.generation = generation
        self.request = request
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

    var handle: FlowHandle { FlowHandle(slot: self.slot, generation: self.generation) }

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

/// The flows of one engine at addresses that do not move.
final class FlowTable {
    private var pages: [UnsafeMutablePointer<Flow>] = []
    private var generations: [UInt32] = []
    private var isLive: [Bool] = []
    private var free: [UInt32] = []
    private(set) var count = 0
    private let limit: Int
    private let queued = UnsafeMutablePointer<Int>.allocate(capacity: 1)
    private static let pageSize = 64
    private static let sampleSize = 64
    private var sampled = 0

    init(limit: Int) {
        self.limit = limit
        self.queued.initialize(to: 0)
    }

    deinit {
        for slot in self.isLive.indices where self.isLive[slot] {
            self[UInt32(clamping: slot)].deinitialize(count: 1)
        }
        for page in self.pages { page.deallocate() }
        self.queued.deallocate()
    }

    /// Bytes that wait in the queues of all flows.
    var queuedByteCount: Int { self.queued.pointee }

    var slots: Range<UInt32> { 0..<UInt32(clamping: self.generations.count) }
    var isFull: Bool { self.count >= self.limit }

    subscript(slot: UInt32) -> FlowPointer {
        self.pages[Int(slot) / Self.pageSize] + Int(slot) % Self.pageSize
    }

    func allocate(_ request: OpenRequest, at now: Instant) -> FlowPointer? {
        guard self.count < self.limit else { return nil }
        if self.free.isEmpty {
            let slot = UInt32(clamping: self.generations.count)
            if Int(slot) % Self.pageSize == 0 {
                self.pages.append(.allocate(capacity: Self.pageSize))
            }
            self.generations.append(1)
            self.isLive.append(false)
            self.free.append(slot)
        }
        let slot = self.free.removeLast()
        self.count += 1
        self.isLive[Int(slot)] = true
        let flow = self[slot]
        flow.initialize(
            to: Flow(
                slot: slot,
                generation: self.generations[Int(slot)],
                request: request,
                queued: self.queued,
                at: now
            )
        )
        return flow
    }

    func release(_ flow: FlowPointer) {
        let slot = flow.pointee.slot
        precondition(self.isLive[Int(slot)])
        flow.deinitialize(count: 1)
        self.isLive[Int(slot)] = false
        self.generations[Int(slot)] &+= 1
        self.free.append(slot)
        self.count -= 1
    }

    func live(_ slot: UInt32) -> FlowPointer? {
        guard Int(slot) < self.isLive.count, self.isLive[Int(slot)] else { return nil }
        return self[slot]
    }

    /// Of some flows, the one that has been silent for longest and for longer than `patience`;
    /// `nil` if none of them has.
    ///
    /// A sample instead of an order kept for every datagram: whoever floods a full table owns most
    /// of it, and each attempt looks at the next part. `session` narrows it to flows of one.
    func leastUsed(
        session: Int32?,
        silentFor patience: Instant.Interval,
        at now: Instant
    ) -> FlowPointer? {
        var found: FlowPointer?
        self.sample { flow in
            guard session == nil || flow.pointee.session == session,
                now.since(flow.pointee.lastActivity) > patience
            else { return }
            if let other = found, other.pointee.lastActivity <= flow.pointee.lastActivity {
                return
            }
            found = flow
        }
        return found
    }

    /// Shows some of the flows, each time the next.
    func sample(_ look: (FlowPointer) -> Void) {
        for _ in 0..<min(Self.sampleSize, self.generations.count) {
            self.sampled = (self.sampled + 1) % self.generations.count
            if let flow = self.live(UInt32(clamping: self.sampled)) { look(flow) }
        }
    }

    func find(_ handle: FlowHandle) -> FlowPointer? {
        guard let flow = self.live(handle.slot), flow.pointee.generation == handle.generation
        else { return nil }
        return flow
    }
}
