public import Netem
public import Primitives

/// One experiment: a link, what travels over it, and what is measured.
public struct Scenario: Sendable {
    public var name: String
    public var title: String
    /// What the path does to packets from the client to the server.
    public var up = Impairment()
    /// What it does to packets from the server to the client.
    public var down = Impairment()
    /// Blackouts, counted from the first measured message; both directions.
    public var outages: [Range<Instant.Interval>] = []
    /// How long is measured, after ``warmUp``.
    public var duration = Instant.Interval.seconds(25)
    public var warmUp = Instant.Interval.seconds(3)
    public var seeds: [UInt64] = [1]
    public var stacks: [Stack] = []
    public var measures: [Measure] = []
    public var echo = EchoShape()
    /// The class of Fairlead's UDP forward, as its configuration names it.
    public var trafficClass = "auto"

    public init(name: String, title: String) {
        self.name = name
        self.title = title
    }

    /// What a game-like exchange looks like.
    public struct EchoShape: Hashable, Sendable {
        public var messagesPerSecond: UInt64 = 60
        public var byteCount = 100

        public init() {}
    }

    /// The round trip of an empty path, in milliseconds, without jitter.
    public var baseRoundTrip: Double {
        Double((self.up.delay + self.down.delay).nanoseconds) / 1e6
    }

    /// The same experiment, short enough to be tried out: ten seconds, one seed.
    public func shortened() -> Self {
        var copy = self
        copy.duration = min(copy.duration, .seconds(10))
        copy.warmUp = min(copy.warmUp, .seconds(2))
        copy.seeds = Array(copy.seeds.prefix(1))
        return copy
    }
}

/// What is measured; each is a run of its own over a fresh link.
public enum Measure: String, CaseIterable, Sendable {
    /// The game-like exchange alone on the link.
    case echo
    /// One download as fast as it goes.
    case bulk
    /// The exchange while a download runs through the same tunnel.
    case beside
    /// How long a new connection takes to carry its first answer.
    case setup
}

/// What carries the bytes.
public enum Stack: String, CaseIterable, Sendable {
    /// The kernel's UDP without a tunnel; its download, where there is one, is kernel TCP with BBR.
    case udp
    case tcpCubic = "tcp-cubic"
    case tcpBBR = "tcp-bbr"
    /// Fairlead; the exchange is a UDP flow with `delivery = "datagram"`.
    case fairleadUDP = "fairlead-udp"
    /// Fairlead; the exchange is a UDP flow with `delivery = "deadline"`.
    case fairleadDeadline = "fairlead-deadline"
    /// Fairlead; the exchange is a TCP stream.
    case fairleadTCP = "fairlead-tcp"
    case kcptun
    /// kcptun with ten data and three parity packets to a group.
    case kcptunFEC = "kcptun-fec"

    /// What the exchange speaks at both ends.
    public var transport: Transport {
        switch self {
        case .udp, .fairleadUDP, .fairleadDeadline: .udp
        default: .tcp
        }
    }

    /// Whether the stack answers a question the measure asks.
    public func supports(_ measure: Measure) -> Bool {
        switch (self, measure) {
        case (.udp, .bulk), (.udp, .setup): false
        // Their download is the one of ``fairleadTCP``.
        case (.fairleadUDP, .bulk), (.fairleadDeadline, .bulk): false
        case (.fairleadUDP, .setup), (.fairleadDeadline, .setup): false
        default: true
        }
    }
}

/// What an exchange speaks.
public enum Transport: String, Sendable {
    case udp
    case tcp
}
