public import Netem
public import Primitives

/// One experiment: a link, what travels over it, and what is measured.
public struct Scenario: Sendable {
    /// What the file is called, and the folder of its results.
    public var name: String
    /// What reports call it.
    public var title: String
    /// What the path does to packets from the client to the server.
    public var up = Impairment()
    /// What it does to packets from the server to the client.
    public var down = Impairment()
    /// What happens to the link meanwhile.
    public var timeline = Timeline()
    /// How long is measured, after ``warmUp``.
    public var duration = Instant.Interval.seconds(25)
    /// How long the load runs before anything is measured.
    public var warmUp = Instant.Interval.seconds(3)
    /// One round of all runs for each.
    public var seeds: [UInt64] = [1]
    /// Who is compared, in the order of the reports.
    public var stacks: [Stack] = []
    /// What is measured, a run of its own each.
    public var measures: [Measure] = []
    /// The exchange of ``Measure/echo`` and ``Measure/beside``.
    public var echo = EchoShape()
    /// The class of Fairlead's UDP forward, as its configuration names it.
    public var trafficClass = "auto"
    /// How many milliseconds a datagram of `delivery = "deadline"` is worth sending.
    public var maximumAge: UInt64 = 150
    /// Random loss each way in parts per million, one round of all runs for each; empty: once, with
    /// the link as it is.
    public var losses: [UInt32] = []
    /// Connections that are open and say nothing meanwhile.
    public var idleStreams = 0
    /// Connections whose client asked for a download and does not read it.
    public var stalledReaders = 0

    /// A scenario that measures nothing over a link that does nothing.
    public init(name: String, title: String) {
        self.name = name
        self.title = title
    }

    /// What happens to the link, counted from the first measured message.
    public struct Timeline: Hashable, Sendable {
        /// Blackouts of both directions.
        public var outages: [Range<Instant.Interval>] = []
        /// In the order of their times.
        public var changes: [Change] = []

        /// Nothing happens.
        public init() {}

        /// Whether nothing happens.
        public var isEmpty: Bool { self.outages.isEmpty && self.changes.isEmpty }
    }

    /// A link that is another one from some time on, in both directions.
    public struct Change: Hashable, Sendable {
        /// When, from the first measured message.
        public var at: Instant.Interval
        /// The bottleneck's new rate, with IP headers counted; `nil`: it stays.
        public var bitsPerSecond: UInt64?
        /// Larger packets vanish from now on.
        public var maximumPacketByteCount: Int?
        /// A NAT beside the client forgets what it had mapped.
        public var rebinds = false

        /// A change of nothing: set what is to change.
        public init(at: Instant.Interval) { self.at = at }
    }

    /// What a game-like exchange looks like.
    public struct EchoShape: Hashable, Sendable {
        /// How many messages are sent a second, evenly spaced.
        public var messagesPerSecond: UInt64 = 60
        /// The payload of a message, in bytes.
        public var byteCount = 100

        /// A game's: 60 messages of 100 bytes a second.
        public init() {}
    }

    /// The round trip of an empty path, in milliseconds, without jitter.
    public var baseRoundTrip: Double {
        Double((self.up.delay + self.down.delay).nanoseconds) / 1e6
    }

    /// The same experiment over a link that loses `loss` parts in a million at random, each way.
    func losing(_ loss: UInt32) -> Self {
        var copy = self
        copy.up.lossPartsPerMillion = loss
        copy.down.lossPartsPerMillion = loss
        return copy
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
    /// One upload as fast as it goes.
    case upload
    /// The exchange while a download runs through the same tunnel.
    case beside
    /// How long a new connection takes to carry its first answer.
    case setup
    /// Single questions over UDP, each from a new port, as a resolver asks.
    case lookups
}
