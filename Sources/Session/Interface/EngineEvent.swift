public import Primitives
public import Sealing

public struct SessionInfo: Sendable {
    public var peerName: String
    public var address: SocketAddress
    public var cipher: Cipher
    /// Into ``PeerDirectory/peers``; -1 on a client.
    public var peerIndex: Int

    public init(peerName: String, address: SocketAddress, cipher: Cipher, peerIndex: Int) {
        self.peerName = peerName
        self.address = address
        self.cipher = cipher
        self.peerIndex = peerIndex
    }
}

/// What happens rarely enough to be told one by one.
public enum EngineEvent: Sendable {
    case sessionUp(SessionHandle, SessionInfo)
    /// The session's keys are post-quantum from now on; told once.
    case sessionStrengthened(SessionHandle, SessionInfo)
    case sessionDown(SessionHandle, SessionInfo, ResetReason)
    /// The peer's address changed and the new one is proven; `SessionInfo.address` is the new one.
    case peerMoved(SessionHandle, SessionInfo, from: SocketAddress)
    /// Server: connect to a backend; the stream's bytes are kept meanwhile.
    case streamOpened(StreamHandle, SessionHandle, OpenRequest)
    /// The peer or the engine ended the stream; the handle is dead.
    case streamReset(StreamHandle, ResetReason)
    /// Every byte has passed both ways and is acknowledged; the handle is dead.
    case streamClosed(StreamHandle)
    case flowOpened(FlowHandle, SessionHandle, OpenRequest)
    /// The handle is dead.
    case flowClosed(FlowHandle, ResetReason)
    /// Server: a request that was turned down before it became a stream or flow.
    case openRefused(SessionHandle, SessionInfo, OpenRequest, ResetReason)
    /// Server: somebody who knows the server's public key was turned away; `peer` is the name, if
    /// the key is known.
    case handshakeRefused(RefusalReason, PublicKey, peer: String?, from: SocketAddress)
    /// Server: sessions of this client that engines beside this one have may be dead, and are in
    /// the way; see ``Engine/questionSessions(of:at:)``.
    case peerCrowded(PublicKey)
    /// Client: the session's server owes a word and has not said it; other servers are tried.
    case sessionDoubted(SessionHandle, SessionInfo)
    /// Client: it has been heard again.
    case sessionTrusted(SessionHandle, SessionInfo)
    /// Client: a session with another server than the last one's.
    case serverChanged(from: SocketAddress, to: SocketAddress)
    /// Client: no session could be had; told again as long as that is so, at intervals that grow
    /// from 5 to 60 s.
    case connectFailed(ConnectFailure, server: SocketAddress)
}

/// Packets at the front of the caller's buffer, for one address.
public struct Transmit: Sendable {
    public var destination: SocketAddress
    public var byteCount: Int
    /// Every packet is this long, but for the last, which may be shorter.
    public var segmentSize: Int

    public init(destination: SocketAddress, byteCount: Int, segmentSize: Int) {
        self.destination = destination
        self.byteCount = byteCount
        self.segmentSize = segmentSize
    }
}

/// Whether a packet was this engine's.
public enum Disposition: Hashable, Sendable {
    case consumed
    /// Another worker's, or another process generation's; the packet is as it came.
    case foreign(worker: Int, generation: Int)
}

public struct SessionSnapshot: Sendable {
    public var peer: String
    public var address: SocketAddress
    public var roundTrip: Instant.Interval
    public var lossRate: Double
    public var cipher: Cipher
    public var streams: Int
    public var flows: Int
    public var packetSize: Int
    public var congestionWindow: Int
    public var pacingRate: UInt64
    /// Since it was made.
    public var age: Instant.Interval
    /// Since the peer was last heard.
    public var silence: Instant.Interval
    /// UDP payload of its packets, in bytes.
    public var wireBytesSent: UInt64
    public var wireBytesReceived: UInt64
    /// Whether recordings of it stay closed to whoever can compute discrete logarithms.
    public var isPostQuantum: Bool
}

/// Totals since the engine was made.
public struct EngineCounters: Sendable {
    public var packetsSent: UInt64 = 0
    public var packetsReceived: UInt64 = 0
    public var wireBytesSent: UInt64 = 0
    public var wireBytesReceived: UInt64 = 0
    public var packetsLost: UInt64 = 0
    public var packetsRecovered: UInt64 = 0
    public var redundancyBytes: UInt64 = 0
    public var drops = DropCounters()

    public init() {}
}

public struct EngineSnapshot: Sendable {
    public var sessions: [SessionSnapshot]
    public var counters: EngineCounters
    public var streams: Int
    public var flows: Int
    /// Bytes of stream and datagram buffers.
    public var bufferedByteCount: Int
    /// Bytes of memory that each session's peer makes this end hold, confirmed or not.
    public var heldByteCounts: [Int]
    /// By how much each session's memory, counted anew, differs from that.
    public var unaccountedByteCounts: [Int]
}
