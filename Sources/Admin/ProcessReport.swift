public import Primitives

/// What a process says of itself at one moment: a plain value that pages are made of.
public struct ProcessReport: Sendable {
    public enum Role: String, Sendable {
        case client, server
    }

    public struct Session: Sendable {
        public var peer: String
        public var address: SocketAddress
        public var roundTrip: Instant.Interval
        /// From 0 to 1.
        public var lossRate: Double
        /// As the configuration writes it, such as `chacha20-poly1305`.
        public var cipher: String
        public var streams: Int
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
        public var wireBytesReceived: UInt64 = 0
        /// Whether its keys are protected by a post-quantum exchange.
        public var isPostQuantum = false

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

    public struct Backend: Sendable {
        /// As written in the configuration.
        public var address: String
        public var isUp: Bool
        /// Whether it gets nobody new, because an operator wants it so.
        public var isDraining = false
        public var streams: Int
        public var flows: Int

        public init(address: String, isUp: Bool, streams: Int = 0, flows: Int = 0) {
            self.address = address
            self.isUp = isUp
            self.streams = streams
            self.flows = flows
        }
    }

    public struct Service: Sendable {
        public var name: String
        public var streams = 0
        public var flows = 0
        /// Payload from players to backends, in bytes.
        public var bytesUp: UInt64 = 0
        /// Payload from backends to players, in bytes.
        public var bytesDown: UInt64 = 0
        /// Empty on a client.
        public var backends: [Backend] = []

        public init(name: String) { self.name = name }
    }

    /// A client that was turned away, for one reason.
    public struct Refusal: Sendable {
        /// Such as `unknown-key`.
        public var reason: String
        public var key: String
        /// `nil` for an unknown key.
        public var peer: String?
        public var from: SocketAddress
        public var count: UInt64
        /// When the last one came, as RFC 3339 writes it.
        public var last: String

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

    public var version: String
    public var role: Role
    public var uptime: Instant.Interval
    public var isReady = false
    /// Why not, where ``isReady`` is false.
    public var reason = "starting"
    public var sessions: [Session] = []
    public var services: [Service] = []
    public var streams = 0
    public var flows = 0
    /// Whom a server turned away lately, the latest first.
    public var refusals: [Refusal] = []
    /// Every number of the metrics page, in its order; the status page shows the totals among them.
    public var metrics: [MetricFamily] = []

    public init(version: String, role: Role, uptime: Instant.Interval) {
        self.version = version
        self.role = role
        self.uptime = uptime
    }
}
