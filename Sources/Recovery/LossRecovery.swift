public import Primitives

/// The sender's side of a session: what was sent, what arrived, what is lost, how fast to send.
///
/// Contract: call ``sent(number:byteCount:firstFrame:frameCount:flags:largestAcked:at:)`` for every
/// packet number that is used, ACK-only packets included. After ``receivedAck(_:at:)`` and
/// ``wake(at:)`` take ``nextAcknowledged()``, ``nextLost()`` and ``nextLate()``
/// until `nil`. Sleep until
/// ``deadline``, and until ``pacingDeadline`` while there is something to send.
public struct LossRecovery: ~Copyable {
    var log = SentLog()
    var roundTrip = RoundTrip()
    var controller: Controller
    let choice: CongestionChoice
    /// Bytes of lower headers to charge for each packet.
    let overheadPerPacket: Int
    var acknowledged = Ring<SentPacket>(capacity: 16)
    var lost = Ring<SentPacket>(capacity: 16)
    var late = Ring<SentPacket>(capacity: 16)
    var overdue = Ring<SentPacket>(capacity: 16)
    let ranges: UnsafeMutablePointer<NumberRange>

    /// An ACK told of a number that was skipped: the peer acknowledges what it never received
    /// (RFC 9000 §21.4).
    public internal(set) var hasForgedAck = false

    /// A number no packet has used yet.
    var nextNumber: UInt64 = 0
    /// Send index of the newest acknowledged packet, plus one; its times.
    var newestAcked: UInt64 = 0
    var newestSentAt: UInt64 = 0
    var newestRoundTrip: UInt64 = 0

    // Reordering (RFC 8985): 0 while none was seen, else the window in quarters of the minimum.
    var reordering: UInt64 = 0
    var reorderingRaisedAt: UInt64 = 0
    var reorderingSeenAt: UInt64 = 0

    /// Send index of the first packet that took the present path.
    var pathStart: UInt64 = 0

    // Timers.
    var lossTime = Instant.never
    var probeCount: UInt64 = 0
    var lastElicitingAt = Instant(nanoseconds: 0)
    var elicitingInFlight = 0
    var interactiveInFlight = 0
    /// When the oldest awaited packet will be overdue; below `overdueNext` none is any more.
    var overdueTime = Instant.never
    var overdueNext: UInt64 = 0
    var acknowledgedAt: UInt64
    /// Packets to be sent at once, whatever window and pacer say, so that the peer answers.
    public internal(set) var probesDue = 0

    // Delivery rate (draft-cheng-iccrg-delivery-rate-estimation).
    var delivered: UInt64 = 0
    var deliveredAt: UInt64
    var flightStartedAt: UInt64
    var appLimitedUntil: UInt64 = 0
    /// The application has nothing that waits; only ``wasHeldBack(at:)`` ends that.
    var isApplicationIdle = false
    var lostBytes: UInt64 = 0
    var lastSentAt: UInt64

    // Pacing.
    var bucket: TokenBucket
    var police: TokenBucket
    /// Bytes a second.
    public internal(set) var pacingRate: Double
    /// Bytes.
    public internal(set) var congestionWindow: Int
    var isGentle = false
    /// Bytes of packets sent and neither acknowledged nor declared lost.
    public internal(set) var bytesInFlight = 0

    /// The largest packet the path takes now, in the bytes that `sent` counts.
    public var maximumPacketSize: Int

    /// Share of packets declared lost, an exponential average over about 256 packets.
    public internal(set) var lossRate = 0.0
    /// Packets that an ACK named for the first time, those declared lost before included.
    public internal(set) var totalAcknowledged: UInt64 = 0
    /// Packets that later ones overtook for too long, or that there was no room to remember.
    public internal(set) var totalLost: UInt64 = 0
    /// Packets declared lost whose acknowledgement came later; also counted in ``totalLost``.
    public internal(set) var totalSpuriouslyLost: UInt64 = 0

    /// Begins with the controller's first window and no round trip; packet sizes are in bytes.
    public init(congestion: CongestionChoice, maximumPacketSize: Int, at now: Instant) {
        self.choice = congestion
        self.maximumPacketSize = maximumPacketSize
        self.controller = Controller(
            congestion,
            packetSize: maximumPacketSize,
            at: now.nanoseconds
        )
        self.overheadPerPacket = self.controller.overheadPerPacket
        self.ranges = .allocate(capacity: AckBody.rangeLimit)
        self.acknowledgedAt = now.nanoseconds
        self.deliveredAt = now.nanoseconds
        self.flightStartedAt = now.nanoseconds
        self.lastSentAt = now.nanoseconds
        let start = Double(maximumPacketSize * 10)
        self.bucket = TokenBucket(tokens: start, at: now.nanoseconds)
        self.police = TokenBucket(tokens: start, at: now.nanoseconds)
        self.pacingRate = self.controller.pacingRate
        self.congestionWindow = self.controller.window
    }

    deinit { self.ranges.deallocate() }

    /// What holds between any two calls, whatever the peer acknowledges; looked at where asserts
    /// are.
    mutating func check() {
        assert(self.bytesInFlight >= 0, "more bytes came back than were sent")
        assert(self.elicitingInFlight >= 0 && self.interactiveInFlight >= 0)
        assert(self.interactiveInFlight <= self.elicitingInFlight)
        assert(self.newestAcked <= self.log.tail, "a packet that was not sent has arrived")
        assert(self.pathStart <= self.log.tail)
        assert(self.totalSpuriouslyLost <= self.totalLost, "late, and never lost")
        assert(self.lossRate >= 0 && self.lossRate <= 1)
        assert(self.reordering <= 16)
        assert(self.probesDue >= 0 && self.probesDue <= 2)
        assert(self.pacingRate.isFinite && self.pacingRate > 0, "no pace at all")
        assert(self.congestionWindow > 0, "a window that nothing opens")
        assert(self.log.tail == 0 || self.log[self.log.tail - 1].number < self.nextNumber)
    }

    /// The average that timers are made of (RFC 9002 §5.3); 250 ms before the first sample.
    public var smoothedRTT: Instant.Interval { .init(nanoseconds: self.roundTrip.smoothed) }
    /// Zero before the first sample.
    public var minimumRTT: Instant.Interval { .init(nanoseconds: self.roundTrip.minimum) }
    /// The newest sample, ACK delay taken off where it may be; zero before the first.
    public var latestRTT: Instant.Interval { .init(nanoseconds: self.roundTrip.latest) }
    /// How far samples stray from the average (RFC 9002 §5.3).
    public var rttVariance: Instant.Interval { .init(nanoseconds: self.roundTrip.variance) }

    /// Everything below is acknowledged or lost, or asked for no ACK.
    public var leastUnacknowledged: UInt64 {
        mutating get {
            let first = self.log.firstLive()
            return first < self.log.tail ? self.log[first].number : self.nextNumber
        }
    }

    /// Bytes of memory held for packets that were sent.
    ///
    /// Mutating, as all that is read for each packet: a plain getter of another module's struct
    /// copies the kilobytes of all controllers before it looks at one number.
    public var memoryByteCount: Int {
        mutating get {
            self.log.memoryByteCount + self.acknowledged.memoryByteCount
                + self.lost.memoryByteCount + self.late.memoryByteCount
                + self.overdue.memoryByteCount
        }
    }

    /// Whether it may hold more than now, some packets aside.
    ///
    /// Without, the oldest of more packets is given up for lost.
    public var mayHoldMore: Bool {
        mutating get { self.log.mayGrow }
        set { self.log.mayGrow = newValue }
    }

    /// Whether a packet more is remembered without more memory.
    public var hasLogRoom: Bool { mutating get { self.log.hasRoom } }

    /// A packet that was acknowledged.
    ///
    /// A packet declared lost before is not reported again.
    public mutating func nextAcknowledged() -> SentPacket? { self.acknowledged.popFirst() }

    /// A packet that was declared lost: what it carried goes back to whom it came from.
    public mutating func nextLost() -> SentPacket? { self.lost.popFirst() }

    /// A packet that was declared lost and has been acknowledged after all.
    public mutating func nextLate() -> SentPacket? { self.late.popFirst() }

    /// A packet left.
    ///
    /// Numbers rise strictly; who acknowledges one that was left out is a liar.
    public mutating func sent(
        number: UInt64,
        byteCount: Int,
        firstFrame: UInt64,
        frameCount: Int,
        flags: SentPacketFlags,
        largestAcked: UInt64 = 0,
        at now: Instant
    ) {
        let time = now.nanoseconds
        // Who only receives gets no ACKs that would clear its own.
        if self.log.count & 255 == 255 { self.trim(at: time) }
        if self.log.isFull { self.evict() }
        precondition(number >= self.nextNumber, "a number that was used")
        precondition(byteCount >= 0 && frameCount >= 0)
        defer { self.check() }
        let counts = flags.contains(.countsInFlight)
        if counts {
            if self.bytesInFlight == 0 { self.beginFlight(at: time) }
            self.pay(byteCount, flags: flags, at: time)
            self.bytesInFlight += byteCount
            self.lastSentAt = time
        }
        let packet = SentPacket(
            number: number,
            sentAt: now,
            firstFrame: firstFrame,
            largestAcked: largestAcked,
            delivered: self.delivered,
            byteCount: UInt32(truncatingIfNeeded: byteCount),
            deliveryAge: Self.age(of: self.deliveredAt, at: time),
            flightAge: Self.age(of: self.flightStartedAt, at: time),
            frameCount: UInt16(truncatingIfNeeded: frameCount),
            flags: flags,
            lostBefore: UInt32(truncatingIfNeeded: self.lostBytes),
            isAppLimited: self.isApplicationIdle || self.appLimitedUntil > self.delivered,
            isGentle: self.isGentle,
            wasLost: false
        )
        let isEliciting = flags.contains(.ackEliciting)
        self.log.append(packet, isLive: isEliciting || counts)
        self.nextNumber = number + 1
        if isEliciting {
            self.lastElicitingAt = now
            self.elicitingInFlight += 1
            if flags.contains(.isInteractive) { self.interactiveInFlight += 1 }
            if flags.contains(.isAwaited), self.overdueTime == .never { self.watchAwaited() }
        }
    }

    /// One of the packets ``probesDue`` asked for left.
    public mutating func probeSent() { self.probesDue = max(0, self.probesDue - 1) }

    /// The engine has nothing more to send though it might: rates measured from here on say what it
    /// had, not what the path can do.
    public mutating func becameApplicationLimited(at now: Instant) {
        guard self.bytesInFlight < self.congestionWindow else { return }
        self.isApplicationIdle = true
    }

    /// Window or pacer made something wait: what leaves from now on says what the path can do, as
    /// soon as what is in flight has made way.
    public mutating func wasHeldBack(at now: Instant) {
        guard self.isApplicationIdle else { return }
        self.isApplicationIdle = false
        self.appLimitedUntil = max(self.delivered + UInt64(max(self.bytesInFlight, 0)), 1)
    }

    /// The peer is reached another way: forget what was learned of the old path.
    ///
    /// Packets in flight stay known.
    public mutating func pathChanged(at now: Instant) {
        let time = now.nanoseconds
        self.roundTrip = RoundTrip()
        self.controller = Controller(self.choice, packetSize: self.maximumPacketSize, at: time)
        self.reordering = 0
        self.probeCount = 0
        self.newestRoundTrip = 0
        self.appLimitedUntil = 0
        self.isApplicationIdle = false
        // Samples must not span the change.
        self.pathStart = self.log.tail
        self.deliveredAt = time
        self.flightStartedAt = time
        self.adoptRates()
    }

    /// A first estimate of the round trip, from the handshake.
    public mutating func seedRoundTrip(_ sample: Instant.Interval, at now: Instant) {
        guard !self.roundTrip.hasSample else { return }
        self.roundTrip.update(sample.nanoseconds, at: now.nanoseconds)
    }

    mutating func adoptRates() {
        self.pacingRate = self.controller.pacingRate
        self.congestionWindow = self.controller.window
        self.isGentle = self.controller.isGentle
    }

    private static func age(of earlier: UInt64, at now: UInt64) -> UInt32 {
        UInt32(clamping: now > earlier ? now - earlier : 0)
    }

    /// The first packet after everything was acknowledged.
    private mutating func beginFlight(at now: UInt64) {
        let idle = now > self.lastSentAt ? now - self.lastSentAt : 0
        self.flightStartedAt = now
        self.deliveredAt = now
        self.controller.restart(afterIdle: idle, at: now)
        self.adoptRates()
    }

    /// The log is full: its oldest packet is given up.
    private mutating func evict() {
        let head = self.log.head
        if self.log.isLive(head) {
            let packet = self.log[head]
            self.unaccount(packet)
            self.log.markLost(head)
            self.totalLost += 1
            self.lost.append(packet)
        }
        self.log.dropHead()
    }

    /// Takes a packet out of the sums of what is outstanding.
    mutating func unaccount(_ packet: SentPacket) {
        if packet.flags.contains(.countsInFlight) {
            self.bytesInFlight -= Int(packet.byteCount)
        }
        if packet.flags.contains(.ackEliciting) {
            self.elicitingInFlight -= 1
            if packet.flags.contains(.isInteractive) { self.interactiveInFlight -= 1 }
        }
        assert(self.bytesInFlight >= 0 && self.elicitingInFlight >= 0)
    }
}
