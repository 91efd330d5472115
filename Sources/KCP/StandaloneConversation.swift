public import Primitives

/// One conversation of the classical KCP protocol, which carries its own acknowledgements, timeouts
/// and windows, byte for byte as ikcp.c and kcp-go speak it.
///
/// Contract: say what happened (``send(_:)``, ``input(_:at:)``, ``receive(into:)``); call
/// ``update(at:)`` at ``deadline``; after either, take datagrams from ``nextDatagram(into:at:)``
/// until `nil`. Data and acknowledgements wait at most one `interval` for company;
/// ``flush(at:)`` sends them at once. Nothing is armed while there is nothing to do.
///
/// All memory is allocated at the start; each segment costs O(1). Where it decides otherwise than
/// ikcp.c, which nobody can see on the wire, `StandaloneEvidence`, `StandaloneCongestion` and
/// `StandaloneTiming` say how and why.
public final class StandaloneConversation {
    /// Whether the conversation can go on; what is not `open` stays so.
    public enum State: Sendable {
        /// Bytes or messages can be sent and received.
        case open
        /// A segment was sent `deadLink` times in vain.
        case deadLink
        /// The peer sent a message of more fragments than the receive window holds.
        case unreadableMessage
    }

    /// What became of a datagram.
    public enum InputOutcome: Sendable {
        /// Every segment in it was taken in.
        case accepted
        /// It belongs to another conversation; nothing of it was taken in.
        case foreignConversation
        /// Cut short, or with an unknown command; the segments before that place were accepted.
        case malformed
    }

    /// What one conversation has counted since it began.
    public struct Statistics: Sendable {
        /// Datagrams given out by ``nextDatagram(into:at:)``.
        public var datagramsSent = 0
        /// Segments with data in them, each repetition included (`xmit` in ikcp.c).
        public var segmentsSent = 0
        /// Of those, repetitions because later segments were acknowledged.
        public var fastResends = 0
        /// Of those, repetitions because no acknowledgement came in time.
        public var timeouts = 0
        /// Segments with data that arrived, whatever became of them.
        public var segmentsReceived = 0
        /// Of those, segments that were here already; they are acknowledged once more.
        public var duplicates = 0
        /// Of those, segments beyond the receive window; they are not acknowledged.
        public var refused = 0
    }

    /// The parameters in use, each brought into its range.
    public let settings: StandaloneSettings
    /// Counts since the beginning; they never fall.
    public internal(set) var statistics = Statistics()

    var isDead = false
    var sending: StandaloneSendBuffer
    var receiving: StandaloneReceiveBuffer
    var acknowledgements: StandaloneAcknowledgements
    var timing: StandaloneTiming
    var evidence: StandaloneEvidence
    var congestion: StandaloneCongestion
    /// Numbers every transmission.
    var transmissions: UInt64 = 0
    /// `rmt_wnd`.
    var remoteWindow = 128
    /// The first serial the peer has no room for, as far as we know.
    var windowEnd: UInt32
    /// The `wnd` last written into a segment.
    var advertisedWindow: Int
    var asksWindow = false
    var tellsWindow = false
    /// When the next question after a closed window is due, in ms, and the pause before it.
    var probeAt: UInt64?
    var probePause: UInt64 = 0
    /// When the current tick ends, in ms.
    var nextFlush: UInt64 = 0
    var isFlushing = false

    /// Allocates the windows, `segmentSize` bytes for each of their segments.
    public init(_ settings: StandaloneSettings) {
        let settings = settings.clamped
        self.settings = settings
        self.sending = StandaloneSendBuffer(
            segmentSize: settings.segmentSize,
            limit: settings.sendWindow + settings.sendQueue,
            first: settings.firstSerial
        )
        self.receiving = StandaloneReceiveBuffer(
            segmentSize: settings.segmentSize,
            window: settings.receiveWindow,
            first: settings.firstSerial
        )
        self.acknowledgements = StandaloneAcknowledgements(window: settings.receiveWindow)
        self.timing = StandaloneTiming(settings)
        self.evidence = StandaloneEvidence(threshold: settings.fastResend)
        self.congestion = StandaloneCongestion(settings)
        self.advertisedWindow = settings.receiveWindow
        self.windowEnd = settings.firstSerial &+ 128
    }

    /// Whether ``send(_:)`` and ``update(at:)`` still have a purpose.
    public var state: State {
        if self.isDead { return .deadLink }
        return !self.settings.isStream && self.receiving.isBlocked ? .unreadableMessage : .open
    }

    /// Segments sent but not acknowledged, or not sent yet (`ikcp_waitsnd`).
    public var pendingSegments: Int { self.sending.inFlight + self.sending.unsent }

    // MARK: The application's side

    /// Queues bytes of a stream, or one message, and says how many bytes were taken.
    ///
    /// A stream takes what there is room for. A message is taken whole or not at all (`nil`); it
    /// has
    /// at most 255 fragments, and may be empty.
    public func send(_ bytes: UnsafeRawBufferPointer) -> Int? {
        self.settings.isStream ? self.sendStream(bytes) : self.sendMessage(bytes)
    }

    private func sendStream(_ bytes: UnsafeRawBufferPointer) -> Int {
        var taken = self.sending.extendLast(bytes)
        while taken < bytes.count, self.sending.free > 0 {
            let count = min(bytes.count - taken, self.settings.segmentSize)
            self.sending.append(
                UnsafeRawBufferPointer(rebasing: bytes[taken..<(taken + count)]),
                fragment: 0
            )
            taken += count
        }
        return taken
    }

    private func sendMessage(_ bytes: UnsafeRawBufferPointer) -> Int? {
        let size = self.settings.segmentSize
        let fragments = max(1, (bytes.count + size - 1) / size)
        guard fragments <= 255, fragments <= self.sending.free else { return nil }
        for index in 0..<fragments {
            let start = index * size
            let part = bytes[start..<min(start + size, bytes.count)]
            self.sending.append(
                UnsafeRawBufferPointer(rebasing: part),
                fragment: UInt8(fragments - 1 - index)  // bound: 255, guarded above
            )
        }
        return bytes.count
    }

    /// The size of the first complete message, `nil` if there is none.
    public var nextMessageByteCount: Int? { self.receiving.messageByteCount }

    /// Reads the bytes of a stream that are in order, or one whole message.
    ///
    /// `nil`: nothing there, or a message larger than `output`, which then stays.
    public func receive(into output: UnsafeMutableRawBufferPointer) -> Int? {
        let count: Int?
        if self.settings.isStream {
            let read = self.receiving.readStream(into: output)
            count = read > 0 ? read : nil
        } else {
            count = self.receiving.readMessage(into: output)
        }
        // `IKCP_ASK_TELL`: a peer that was told of (nearly) no room hears that there is some again.
        if self.advertisedWindow <= self.receiving.window / 8,
            self.receiving.room > self.receiving.window / 4
        {
            self.tellsWindow = true
        }
        return count
    }

    // MARK: Time

    static func milliseconds(_ now: Instant) -> UInt64 { now.nanoseconds / 1_000_000 }

    /// `cwnd` of `ikcp_flush`: how many segments may be in flight.
    var allowedInFlight: Int {
        let window = min(self.settings.sendWindow, self.remoteWindow)
        return self.settings.ignoresCongestion ? window : min(window, self.congestion.window)
    }

    var maySendNew: Bool {
        self.sending.unsent > 0 && self.sending.inFlight < self.allowedInFlight
    }

    /// Lost segments do not wait for the end of the tick.
    private var hasLost: Bool { self.sending.front(of: StandaloneSendBuffer.lostList) != nil }

    private var hasWork: Bool {
        !self.acknowledgements.isEmpty || self.asksWindow || self.tellsWindow || self.maySendNew
            || self.hasLost
    }

    /// When ``update(at:)`` is due; ``Instant/never`` if only an event can change anything.
    public var deadline: Instant {
        guard !self.isDead else { return .never }
        var due = UInt64.max
        if self.isFlushing || self.hasLost { due = 0 }
        if self.hasWork { due = min(due, self.nextFlush) }
        if let timeout = self.earliestTimeout { due = min(due, timeout) }
        if self.needsProbe { due = min(due, self.probeAt ?? 0) }
        return due == .max ? .never : Instant(nanoseconds: due * 1_000_000)
    }

    /// Sends what is due: call at ``deadline`` or at any other time (`ikcp_update`).
    public func update(at now: Instant) {
        guard !self.isDead else { return }
        let time = Self.milliseconds(now)
        self.expire(at: time)
        self.probe(at: time)
        if self.hasWork, time >= self.nextFlush || self.hasLost { self.beginFlush(at: time) }
    }

    /// Sends everything that may be sent without waiting for the end of the tick (`ikcp_flush`).
    public func flush(at now: Instant) {
        guard !self.isDead else { return }
        let time = Self.milliseconds(now)
        self.expire(at: time)
        self.probe(at: time)
        if self.hasWork { self.beginFlush(at: time) }
    }

    private func beginFlush(at time: UInt64) {
        self.nextFlush = time + UInt64(self.settings.interval)
        self.isFlushing = true
    }
}
