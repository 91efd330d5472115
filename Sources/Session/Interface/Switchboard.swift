import Primitives
import Recovery

/// The tables and queues that an engine and its sessions share.
final class Switchboard {
    let limits: EngineLimits
    let streams: StreamTable
    let flows: FlowTable
    /// Bytes that wait in the queues of all flows.
    let queued = ByteTotal()
    var inbox: Inbox
    /// Streams with something new for the driver.
    var ready = SlotQueue()
    /// Streams with messages for a flow.
    var readyMessages = SlotQueue()
    /// When the bytes of streams have waited for too long, by slot.
    var stalls = DeadlineHeap()
    /// The time of the call that is being served, for work done while outputs are taken.
    var now = Instant(nanoseconds: 0)
    private var events: [EngineEvent] = []
    private var eventHead = 0
    /// Packets for addresses other than a session's own: handshake replies, path checks.
    private var outbox: [(destination: SocketAddress, packet: [UInt8])] = []
    private var outboxHead = 0
    var counters = EngineCounters()
    /// Bytes of memory that all peers make this engine hold; each session has its part.
    var heldByteCount = 0
    /// The stream that was looked at last for memory it does not need.
    var reliefHand: UInt32 = 0
    /// Made when the first compressed flow needs it.
    lazy var packing = DatagramPacking()
    /// Made when the first compressed stream needs them.
    lazy var pages = CompressionPages()

    private static let outboxLimit = 256

    init(limits: EngineLimits, largestPacket: Int?) {
        var limits = limits
        if let largestPacket { limits.largestPacket = largestPacket }
        self.limits = limits
        self.streams = StreamTable(limit: limits.maximumStreams)
        self.flows = FlowTable(limit: limits.maximumFlows)
        self.inbox = Inbox(capacity: limits.inbox)
    }

    /// A new stream of this end's or of the peer's; `nil` at the limit.
    func makeStream(_ request: OpenRequest, at now: Instant) -> StreamPointer? {
        self.streams.insert { Stream($0, request: request, limits: self.limits, at: now) }
    }

    /// A new flow of this end's or of the peer's; `nil` at the limit.
    func makeFlow(_ request: OpenRequest, at now: Instant) -> FlowPointer? {
        self.flows.insert { Flow($0, request: request, queued: self.queued, at: now) }
    }

    /// Does what the fate of a flow asks for; it may be gone afterwards.
    func act(on action: FlowLifecycle.Action, _ flow: FlowPointer) {
        switch action {
        case .nothing, .wait, .reopen: return
        case .end(let reason):
            self.post(.flowClosed(flow.pointee.handle, reason))
            self.flows.release(flow.pointee.slot)
        case .release: self.flows.release(flow.pointee.slot)
        }
    }

    /// The stream a driver's handle names, if it is still alive for the driver.
    func stream(_ handle: StreamHandle) -> StreamPointer? {
        guard let stream = self.streams.find(handle), !stream.pointee.isReset else { return nil }
        return stream
    }

    func post(_ event: EngineEvent) { self.events.append(event) }

    func nextEvent() -> EngineEvent? {
        guard self.eventHead < self.events.count else {
            if !self.events.isEmpty { self.events.removeAll(keepingCapacity: true) }
            self.eventHead = 0
            return nil
        }
        defer { self.eventHead += 1 }
        return self.events[self.eventHead]
    }

    /// Queues one packet; when too many wait, it is lost, as any packet may be.
    func send(_ packet: UnsafeRawBufferPointer, to destination: SocketAddress) {
        precondition(!packet.isEmpty)
        guard self.outbox.count - self.outboxHead < Self.outboxLimit else { return }
        self.outbox.append((destination, [UInt8](packet)))
    }

    func nextOutboxPacket(into buffer: UnsafeMutableRawBufferPointer) -> Transmit? {
        guard self.outboxHead < self.outbox.count else {
            if !self.outbox.isEmpty { self.outbox.removeAll(keepingCapacity: true) }
            self.outboxHead = 0
            return nil
        }
        let (destination, packet) = self.outbox[self.outboxHead]
        precondition(packet.count <= buffer.count, "a packet beyond the buffer")
        self.outboxHead += 1
        packet.withUnsafeBytes { buffer.copyMemory(from: $0) }
        self.countSent(packets: 1, bytes: packet.count)
        return Transmit(
            destination: destination,
            byteCount: packet.count,
            segmentSize: packet.count
        )
    }

    /// Unpacks a compressed flow's datagram for the driver.
    func deliverPacked(_ bytes: UnsafeRawBufferPointer, to flow: FlowPointer) {
        let plain: UnsafeRawBufferPointer
        switch self.packing.unpack(bytes, under: &flow.pointee.inflation) {
        case .datagram(let datagram): plain = datagram
        case .dropped(let reason): return self.drop(reason)
        }
        guard let target = self.inbox.reserve(plain.count, for: flow.pointee.handle) else {
            return self.drop(.inboxFull)
        }
        if let source = plain.baseAddress, !plain.isEmpty {
            target.copyMemory(from: source, byteCount: plain.count)
        }
    }

    /// Counts what redundancy added to `packet` since it was `before` bytes long.
    func countRedundancy(since before: Int, in packet: inout PacketBuilder) {
        let byteCount = packet.writer.count - before
        assert(byteCount >= 0)
        guard byteCount > 0 else { return }
        packet.flags.insert(.isInteractive)
        self.counters.redundancyBytes &+= UInt64(byteCount)
    }

    func countSent(packets: Int, bytes: Int) {
        self.counters.packetsSent &+= UInt64(packets)
        self.counters.wireBytesSent &+= UInt64(bytes)
    }

    /// Tells the driver that `stream` has something new.
    func markReady(_ stream: StreamPointer) {
        guard !stream.pointee.isReady, !stream.pointee.isReset else { return }
        stream.pointee.isReady = true
        if stream.pointee.messageFlow == nil {
            self.ready.append(stream.pointee.slot)
        } else {
            self.readyMessages.append(stream.pointee.slot)
        }
    }

    func drop(_ reason: DropReason) { self.counters.drops.count(reason) }
}
