public import Primitives

/// What a process says of itself at one moment: a plain value that pages are made of.
public struct ProcessReport: Sendable {
    /// Which end of the tunnel the process is; the raw value is what pages show.
    public enum Role: String, Sendable {
        /// The end near the players, or that near the backends.
        case client, server
    }

    /// One session with a peer, as it is at this moment.
    public struct Session: Sendable {
        /// The peer's name: that of `[[peer]]` on a server, `server` on a client.
        public var peer: String
        /// Where the peer is, by its validated path.
        public var address: SocketAddress
        /// The smoothed round trip.
        public var roundTrip: Instant.Interval
        /// From 0 to 1.
        public var lossRate: Double
        /// As the configuration writes it, such as `chacha20-poly1305`.
        public var cipher: String
        /// TCP connections open in the session.
        public var streams: Int
        /// UDP flows open in the session.
        public var flows: Int
        /// Since it was made.
        public var age = Instant.Interval.zero
        /// Since the peer was last heard.
        public var silence = Instant.Interval.zero
        /// UDP payload of the largest packet the path is known to carry, in bytes.
        public var packetSize = 0
        /// Bytes that may be on the way at once.
        public var congestionWindow = 0
        /// Bytes a second.
        public var pacingRate: UInt64 = 0
        /// UDP payload of its packets, in bytes.
        public var wireBytesSent: UInt64 = 0
        /// UDP payload of the peer's packets that were authentic, in bytes.
        public var wireBytesReceived: UInt64 = 0
        /// Whether its keys are protected by a post-quantum exchange.
        public var isPostQuantum = false

        /// A session out of its most important numbers; the rest keeps its defaults.
        public init(
            peer: String,
            address: SocketAddress,
            roundTrip: Instant.Interval,
            lossRate: Double,
            cipher: String,
            streams: Int,
            flows: Int
        ) {
            self.peer = peer
            self.address = address
            self.roundTrip = roundTrip
            self.lossRate = lossRate
            self.cipher = cipher
            self.streams = streams
            self.flows = flows
        }
    }

    /// One backend of a service, with what it serves now.
    public struct Backend: Sendable {
        /// As written in the configuration.
        public var address: String
        /// Whether it is given new players.
        public var isUp: Bool
        /// Whether it gets nobody new, because an operator wants it so.
        public var isDraining = false
        /// TCP connections to it.
        public var streams: Int
        /// UDP flows to it.
        public var flows: Int

        /// A backend that is not draining.
        public init(address: String, isUp: Bool, streams: Int = 0, flows: Int = 0) {
            self.address = address
            self.isUp = isUp
            self.streams = streams
            self.flows = flows
        }
    }

    /// One service, with the sums over all sessions and workers.
    public struct Service: Sendable {
        /// The service's name, as written in the configuration.
        public var name: String
        /// TCP connections open now.
        public var streams = 0
        /// UDP flows open now.
        public var flows = 0
        /// Payload from players to backends, in bytes.
        public var bytesUp: UInt64 = 0
        /// Payload from backends to players, in bytes.
        public var bytesDown: UInt64 = 0
        /// Empty on a client.
        public var backends: [Backend] = []

        /// A service that nobody uses.
        public init(name: String) { self.name = name }
    }

    /// A client that was turned away, for one reason.
    public struct Refusal: Sendable {
        /// Such as `unknown-key`.
        public var reason: String
        /// The client's public key, in base64 as the configuration writes it.
        public var key: String
        /// `nil` for an unknown key.
        public var peer: String?
        /// Where the last one came from.
        public var from: SocketAddress
        /// How often, since the entry was made.
        public var count: UInt64
        /// When the last one came, as RFC 3339 writes it.
        public var last: String

        /// A client that was turned away `count` times.
        public init(
            reason: String,
            key: String,
            peer: String?,
            from: SocketAddress,
            count: UInt64,
            last: String
        ) {
            self.reason = reason
            self.key = key
            self.peer = peer
            self.from = from
            self.count = count
            self.last = last
        }
    }

    /// The program's version, as `--version` says it.
    public var version: String
    /// Which end of the tunnel this is.
    public var role: Role
    /// How long the process has run.
    public var uptime: Instant.Interval
    /// Whether it serves: a client needs a session that answers; health pages follow it.
    public var isReady = false
    /// Why not, where ``isReady`` is false.
    public var reason = "starting"
    /// Every session, in no promised order.
    public var sessions: [Session] = []
    /// Every service that the configuration names.
    public var services: [Service] = []
    /// TCP connections open now, over all sessions.
    public var streams = 0
    /// UDP flows open now, likewise.
    public var flows = 0
    /// Whom a server turned away lately, the latest first.
    public var refusals: [Refusal] = []
    /// Every number of the metrics page, in its order; the status page shows the totals among them.
    public var metrics: [MetricFamily] = []

    /// A process that is starting and serves nothing yet.
    public init(version: String, role: Role, uptime: Instant.Interval) {
        self.version = version
        self.role = role
        self.uptime = uptime
    }
}
