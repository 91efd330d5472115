import KCP
import Primitives

/// One TCP connection inside a session.
struct Stream: ~Copyable {
    struct Pending: OptionSet {
        let rawValue: UInt8
        static let open = Self(rawValue: 1)
        static let window = Self(rawValue: 2)
        static let close = Self(rawValue: 4)
        static let reset = Self(rawValue: 8)
    }

    /// When it may send, among others.
    struct Turn {
        var isQueued = false
        var tier = StreamRounds.Tier.fresh
        /// Bytes this stream may still send (deficit round robin).
        var deficit = 0
    }

    /// Until when bytes may wait for the peer's acknowledgement, and which.
    struct StallMark {
        var deadline = Instant.never
        /// Those before this one, from the start of the stream.
        var offset: UInt64 = 0
    }

    let handle: StreamHandle
    /// `nil` while the client waits for a session.
    var owner: SessionHandle?
    /// The KCP conversation: the stream's id on the wire, unique in its session.
    var conversation: UInt32 = 0
    var request: OpenRequest
    var sender: HostedSender
    var receiver: HostedReceiver
    var compression: StreamCompression?
    /// The flow whose datagrams this stream carries, for reliable delivery.
    var messageFlow: UInt32?
    var openedAt: Instant
    /// Frames that wait for the next packet.
    var pending: Pending = []
    private(set) var lifecycle = StreamLifecycle.open
    var opening: Opening
    /// The driver saw no room and waits to be told of some.
    var wantsRoom = false
    var isReady = false
    var isInControlQueue = false
    var turn = Turn()
    /// How often the last writes looked like messages of somebody who waits for the answer.
    private var messageScore = messageScoreLimit / 2
    /// Server: its place among those of the peer.
    var holding: Holding?
    var stall = StallMark()
    /// What its session has been charged for its memory.
    var chargedByteCount = 0

    init(
        _ handle: StreamHandle,
        request: OpenRequest,
        limits: EngineLimits,
        at now: Instant
    ) {
        self.handle = handle
        self.request = request
        self.opening = Opening(of: request)
        self.openedAt = now
        self.sender = HostedSender(
            capacity: limits.streamBuffer,
            credit: UInt64(EngineLimits.initialWindow)
        )
        self.receiver = HostedReceiver(
            window: EngineLimits.initialWindow,
            limit: limits.streamBuffer,
            largestSegment: limits.largestPacket
        )
        if request.isCompressed, request.serviceProtocol == .tcp {
            self.compression = StreamCompression()
        }
    }

    private static let messageScoreLimit = 16
    private static let messageByteCount = 1400
    private static let dialogueByteCount = 16_384

    /// Goes before bulk, on the opener's word or by what it does: small writes that find nothing
    /// else waiting.
    var isInteractive: Bool {
        switch self.request.trafficClass {
        case .interactive: true
        case .realtime, .bulk: false
        case .auto: self.messageScore >= Self.messageScoreLimit / 2
        }
    }

    /// Goes before others now: an interactive stream, or one that waits only for what was lost.
    ///
    /// All the other has been given has been sent; its reader waits with it.
    var isUrgent: Bool {
        self.isInteractive || self.sender.hasLost && self.sender.unsentByteCount == 0
    }

    /// Judges a write of `count` bytes: messages count slowly up, bulk counts quickly down.
    private mutating func judge(_ count: Int) {
        let isMessage =
            count <= Self.messageByteCount && self.sender.unsentByteCount == 0
            && self.sender.heldByteCount <= Self.dialogueByteCount
        self.messageScore =
            isMessage
            ? min(self.messageScore + 1, Self.messageScoreLimit) : max(self.messageScore - 4, 0)
        assert(self.messageScore >= 0 && self.messageScore <= Self.messageScoreLimit)
    }

    var slot: UInt32 { self.handle.slot }

    /// Sees to it that `packet` has OPEN before it says anything of the stream, if the peer may not
    /// know that; false when less than `room` bytes are left, or would be.
    mutating func writeOpen(to packet: inout PacketBuilder, leaving room: Int) -> Bool {
        guard self.opening.byteCount(in: packet) > 0 else { return packet.room >= room }
        return self.opening.write(
            self.request,
            of: ChannelID(ChannelKind.stream, self.conversation),
            slot: self.slot,
            to: &packet,
            leaving: room
        )
    }

    /// Something could go into a packet if window and pacing let it.
    var hasDataToSend: Bool { self.sender.hasLost || self.sender.sendableByteCount > 0 }

    var memoryByteCount: Int {
        self.receiver.memoryByteCount + self.sender.memoryByteCount
            + (self.compression?.memoryByteCount ?? 0)
    }

    // MARK: - Bytes of the local side

    mutating func beginWrite(
        room: Int,
        allowance: MemoryAllowance,
        _ board: Switchboard
    ) -> UnsafeMutableRawBufferPointer {
        if let compression = self.compression {
            return compression.writableRegion(room: room, board.pages)
        }
        let region = self.sender.writableRegion(allowance: allowance)
        return UnsafeMutableRawBufferPointer(rebasing: region[..<min(region.count, room)])
    }

    mutating func wrote(_ count: Int, mayGrow: Bool, _ board: Switchboard) {
        assert(self.lifecycle == .open, "the local side has ended")
        self.judge(count)
        if let compression = self.compression {
            compression.wrote(count, to: &self.sender, board.pages, mayGrow: mayGrow)
        } else {
            self.sender.wrote(count)
        }
    }

    mutating func beginRead() -> UnsafeRawBufferPointer {
        if let compression = self.compression {
            return compression.unpack(from: &self.receiver)
        }
        return self.receiver.readableRegion()
    }

    mutating func consumed(_ count: Int) {
        if let compression = self.compression {
            compression.consumed(count)
        } else {
            self.receiver.consumed(count)
        }
    }

    var isReceiveFinished: Bool {
        if let compression = self.compression { return compression.isFinished(self.receiver) }
        return self.receiver.isFinished
    }

    /// All we will ever send has been cut, so the end may be announced.
    var isReadyToClose: Bool {
        self.lifecycle == .finishing && self.sender.unsentByteCount == 0
    }

    /// All bytes of both directions have arrived, as far as is known.
    var isSettled: Bool { self.sender.isEverythingAcknowledged && self.isReceiveFinished }

    // MARK: - Its fate

    /// The handle is dead for the driver; the slot waits for its RESET to be acknowledged.
    var isReset: Bool { self.lifecycle.isReset }

    /// Something has happened to it; what is to be done now.
    mutating func on(_ event: StreamLifecycle.Event) -> StreamLifecycle.Action {
        let wasReset = self.isReset
        defer { assert(!wasReset || self.isReset, "a stream that was reset lives again") }
        return self.lifecycle.on(event)
    }
}

typealias StreamPointer = UnsafeMutablePointer<Stream>

/// The streams of one engine.
typealias StreamTable = SlotMap<Stream, HandleTag.Stream>
