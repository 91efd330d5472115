public import Netem
public import Primitives
public import Recovery
public import Session

/// One experiment in virtual time: a path, who shares it, and what they carry.
///
/// Everything in it runs the code that ships; one seed gives one history.
public struct Trial: Sendable {
    /// The bottleneck changes at a time.
    public struct Step: Sendable {
        /// When, from the beginning of the trial.
        public var at: Instant.Interval
        /// The bottleneck's new rate, in Mbit/s of IP bytes, both ways.
        public var megabits: UInt64

        /// A change of the bottleneck's rate.
        public init(at: Instant.Interval, megabits: UInt64) {
            self.at = at
            self.megabits = megabits
        }
    }

    /// A client, its server, and what they carry.
    public struct Tunnel: Sendable {
        /// What both ends of the tunnel send by.
        public var congestion: CongestionChoice
        /// Its applications, each a stream or a flow of one session.
        public var loads: [Load]

        /// A tunnel with a session of its own.
        public init(_ congestion: CongestionChoice = .auto, _ loads: [Load]) {
            self.congestion = congestion
            self.loads = loads
        }
    }

    /// An application.
    public struct Load: Sendable {
        /// What an application does.
        public enum Kind: Sendable {
            /// As many bytes as pass, towards the server if `isUpload`.
            case bulk(isUpload: Bool)
            /// Messages which the other end sends back, open loop.
            case echo(perSecond: UInt64, byteCount: Int)
            /// A stream that is open and carries nothing.
            case idle
            /// A download whose reader never reads.
            case stalled
        }

        /// What it does.
        public var kind: Kind
        /// What the messages of an echo travel in; everything else is a stream.
        public var delivery: Delivery?
        /// `class` of its stream or flow.
        public var trafficClass = TrafficClass.auto
        /// When it begins, from the beginning of the trial.
        public var startsAt = Instant.Interval.zero

        /// An application; `delivery` makes an echo one of datagrams.
        public init(
            _ kind: Kind,
            over delivery: Delivery? = nil,
            class trafficClass: TrafficClass = .auto,
            startsAt: Instant.Interval = .zero
        ) {
            self.kind = kind
            self.delivery = delivery
            self.trafficClass = trafficClass
            self.startsAt = startsAt
        }

        /// As many bytes as pass from the server, from the beginning.
        public static let download = Self(.bulk(isUpload: false))
        /// As many bytes as pass to the server, from the beginning.
        public static let upload = Self(.bulk(isUpload: true))
        /// A game: sixty small messages a second.
        public static func game(over delivery: Delivery?) -> Self {
            Self(.echo(perSecond: 60, byteCount: 100), over: delivery)
        }
    }

    /// What reports and `testkit trials` call it.
    public var name: String
    /// Both directions alike; ``Impairment/bitsPerSecond`` is the first step's.
    public var path: Impairment
    /// Changes of the bottleneck, in the order of their times.
    public var steps: [Step] = []
    /// From then on larger UDP payloads vanish.
    public var narrowing: (at: Instant.Interval, byteCount: Int)?
    /// Who shares the path; may be one.
    public var tunnels: [Tunnel]
    /// How long it runs before anything is measured.
    public var warmUp = Instant.Interval.seconds(3)
    /// How long is measured, after ``warmUp``.
    public var duration = Instant.Interval.seconds(15)
    /// Timers fire late by an even draw up to this.
    public var lateness = Instant.Interval.microseconds(80)

    /// A trial over a path that stays what it is.
    public init(_ name: String, path: Impairment, tunnels: [Tunnel]) {
        self.name = name
        self.path = path
        self.tunnels = tunnels
    }
}

extension Impairment {
    /// A bottleneck of `megabits` whose queue holds `queue` milliseconds.
    public static func link(
        megabits: UInt64,
        roundTrip milliseconds: UInt64,
        queue: UInt64 = 100,
        lossPerMille: UInt32 = 0
    ) -> Self {
        var path = Self()
        path.delay = .microseconds(milliseconds * 500)
        path.bitsPerSecond = megabits * 1_000_000
        path.queueByteCount = max(megabits * queue * 125, 6_000)
        path.lossPartsPerMillion = lossPerMille * 1000
        return path
    }
}
