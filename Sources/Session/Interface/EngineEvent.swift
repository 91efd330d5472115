public import Primitives
public import Sealing

/// What an event says of its session, as it was when the event happened.
public struct SessionInfo: Sendable {
    /// The peer's name: that of `[[peer]]` on a server, `server` on a client.
    public var peerName: String
    /// The peer's address, as far as it is proven.
    public var address: SocketAddress
    /// What seals and opens the session's packets.
    public var cipher: Cipher
    /// Into ``PeerDirectory/peers``; -1 on a client.
    public var peerIndex: Int

    /// A session's description out of its parts.
    public init(peerName: String, address: SocketAddress, cipher: Cipher, peerIndex: Int) {
        self.peerName = peerName
        self.address = address
        self.cipher = cipher
        self.peerIndex = peerIndex
    }
}

/// What happens rarely enough to be told one by one.
public enum EngineEvent: Sendable {
    /// Streams and flows may be opened in the session from now on.
    case sessionUp(SessionHandle, SessionInfo)
    /// The session's keys are post-quantum from now on; told once.
    case sessionStrengthened(SessionHandle, SessionInfo)
    /// The session is over; the events of its streams and flows come besides.
    case sessionDown(SessionHandle, SessionInfo, ResetReason)
    /// The peer's address changed and the new one is proven; `SessionInfo.address` is the new one.
    case peerMoved(SessionHandle, SessionInfo, from: SocketAddress)
    /// Server: connect to a backend; the stream's bytes are kept meanwhile.
    case streamOpened(StreamHandle, SessionHandle, OpenRequest)
    /// The peer or the engine ended the stream; the handle is dead.
    case streamReset(StreamHandle, ResetReason)
    /// Every byte has passed both ways and is acknowledged; the handle is dead.
    case streamClosed(StreamHandle)
    /// Server: choose a backend; the flow's first datagrams follow from `nextDatagram()`.
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
    /// Client: the first packet of the session's server has come; what it had to say of services
    /// was in it.
    case sessionHeard(SessionHandle)
    /// Client: the session's server owes a word for so long that a handshake is begun; doubt is
    /// next.
    case sessionSilent(SessionHandle, SessionInfo)
    /// Client: a service has no backend for anybody new, or has one again.
    case serviceChanged(SessionHandle, String, ServiceProtocol, isServed: Bool)
    /// Client: a session with another server than the last one's.
    case serverChanged(from: SocketAddress, to: SocketAddress)
    /// Client: no session could be had; told again as long as that is so, at intervals that grow
    /// from 5 to 60 s.
    case connectFailed(ConnectFailure, server: SocketAddress)
}

/// Packets at the front of the caller's buffer, for one address.
public struct Transmit: Sendable {
    /// Where all the packets go.
    public var destination: SocketAddress
    /// Bytes of all packets together, at the front of the buffer.
    public var byteCount: Int
    /// Every packet is this long, but for the last, which may be shorter.
    public var segmentSize: Int

    /// Packets of one size for one address, already in the caller's buffer.
    public init(destination: SocketAddress, byteCount: Int, segmentSize: Int) {
        self.destination = destination
        self.byteCount = byteCount
        self.segmentSize = segmentSize
    }
}

/// Whether a packet was this engine's.
public enum Disposition: Hashable, Sendable {
    /// It was this engine's, or nobody's; its bytes may have been decrypted in place.
    case consumed
    /// Another worker's, or another process generation's; the packet is as it came.
    case foreign(worker: Int, generation: Int)
    /// Its session has cost enough for this turn; the packet is as it came, and is to be given
    /// again in another, in order. Then ``Engine/hasCaughtUp(_:)`` is to be told.
    case later(session: UInt32)
}

/// One session as it is at one moment, for the status and metrics pages.
public struct SessionSnapshot: Sendable {
    /// The peer's name: that of `[[peer]]` on a server, `server` on a client.
    public var peer: String
    /// The peer's address, as far as it is proven.
    public var address: SocketAddress
    /// The smoothed round trip; 250 ms before the first sample.
    public var roundTrip: Instant.Interval
    /// Share of the sent packets that is lost lately, from 0 to 1.
    public var lossRate: Double
    /// What seals and opens the session's packets.
    public var cipher: Cipher
    /// Streams open now.
    public var streams: Int
    /// UDP flows open now.
    public var flows: Int
    /// UDP payload of the largest packet that the path is known to carry, in bytes.
    public var packetSize: Int
    /// Bytes that may be on the way at once.
    public var congestionWindow: Int
    /// Bytes a second at which packets leave, while there is enough to send.
    public var pacingRate: UInt64
    /// Since it was made.
    public var age: Instant.Interval
    /// Since the peer was last heard.
    public var silence: Instant.Interval
    /// UDP payload of its packets, in bytes.
    public var wireBytesSent: UInt64
    /// UDP payload of the peer's packets that were authentic, in bytes.
    public var wireBytesReceived: UInt64
    /// Whether recordings of it stay closed to whoever can compute discrete logarithms.
    public var isPostQuantum: Bool
}

/// Totals since the engine was made.
public struct EngineCounters: Sendable {
    /// Packets handed to the driver, handshakes included.
    public var packetsSent: UInt64 = 0
    /// DATA packets that were authentic and within their peer's rate.
    public var packetsReceived: UInt64 = 0
    /// UDP payload of the packets sent, in bytes.
    public var wireBytesSent: UInt64 = 0
    /// UDP payload of those packets received, in bytes.
    public var wireBytesReceived: UInt64 = 0
    /// Sent packets declared lost, those that proved late included.
    public var packetsLost: UInt64 = 0
    /// Losses that redundancy made good: datagrams that only a copy or a repair brought.
    public var packetsRecovered: UInt64 = 0
    /// Bytes spent on copies and repairs.
    public var redundancyBytes: UInt64 = 0
    /// What was thrown away, by reason.
    public var drops = DropCounters()

    /// Nothing sent or received yet.
    public init() {}
}

/// All that an engine tells of itself at one moment; made for pages, never for a packet.
public struct EngineSnapshot: Sendable {
    /// Every confirmed session that may carry streams and flows.
    public var sessions: [SessionSnapshot]
    /// Totals since the engine was made.
    public var counters: EngineCounters
    /// Streams open now, those of a client that wait for a session included.
    public var streams: Int
    /// UDP flows open now, in all sessions; a client's outlive sessions and count without one.
    public var flows: Int
    /// Bytes of stream and datagram buffers.
    public var bufferedByteCount: Int
    /// Bytes of memory that each session's peer makes this end hold, confirmed or not.
    public var heldByteCounts: [Int]
    /// By how much each session's memory, counted anew, differs from that.
    public var unaccountedByteCounts: [Int]
}
