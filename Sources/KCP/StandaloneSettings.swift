/// The parameters of the classical protocol, under the meanings everyone knows them by.
public struct StandaloneSettings: Sendable {
    /// `conv`, which both ends must agree on.
    public var conversation: UInt32
    /// The largest datagram, 24-byte headers included.
    public var maximumDatagram = 1400
    /// `sndwnd`, in segments; at most 65,535.
    public var sendWindow = 32
    /// `rcvwnd`, in segments; at most 65,535, as the wire has 16 bits for it.
    public var receiveWindow = 128
    /// Segments that may wait for their turn beyond ``sendWindow``.
    public var sendQueue = 256
    /// `nodelay`: 0 doubles a timeout, 1 multiplies it by 1.5, 2 adds half the first timeout;
    /// 1 and 2 also lower the smallest timeout from 100 ms to 30 ms.
    public var noDelay = 0
    /// `interval`: how long acknowledgements and data wait for company, in ms, 1 to 5000.
    public var interval = 100
    /// `resend`: how many later transmissions must have arrived before a segment counts as lost;
    /// 0 waits for the timeout.
    public var fastResend = 0
    /// `nc`: true sends a whole window at once, whatever the path bears.
    public var ignoresCongestion = false
    /// `stream`: true joins what is sent into full segments and forgets the message boundaries.
    public var isStream = false
    /// After that many transmissions of one segment the conversation is dead.
    public var deadLink = 20
    /// The first `sn` in both directions; anything but 0 is for tests of the wrap.
    public var firstSerial: UInt32 = 0

    /// The defaults of ikcp.c, with the conversation's number; both ends need the same.
    public init(conversation: UInt32) { self.conversation = conversation }

    /// What kcptun calls `fast3`: the usual choice for games.
    public mutating func useFastMode() {
        self.noDelay = 1
        self.interval = 10
        self.fastResend = 2
        self.ignoresCongestion = true
    }

    /// The same with every value inside its range.
    var clamped: Self {
        var copy = self
        copy.maximumDatagram = min(max(self.maximumDatagram, 50), 65507)
        copy.sendWindow = min(max(self.sendWindow, 1), 65535)
        copy.receiveWindow = min(max(self.receiveWindow, 1), 65535)
        copy.sendQueue = min(max(self.sendQueue, 1), 65536)
        copy.noDelay = min(max(self.noDelay, 0), 2)
        copy.interval = min(max(self.interval, 1), 5000)
        copy.fastResend = min(max(self.fastResend, 0), 32)
        copy.deadLink = max(self.deadLink, 1)
        return copy
    }

    /// `mss`: the most data in one segment.
    var segmentSize: Int { self.maximumDatagram - StandaloneSegmentHeader.byteCount }
}
