import Primitives

/// Decides when silence means something: probe, keep the NAT open, make a new session, give up.
struct Liveness {
    /// A client's NAT binding is refreshed after this much silence of ours.
    static let keepAlive = Instant.Interval.seconds(10)
    /// A session this long without any packet of the peer is over.
    static let expiry = Instant.Interval.seconds(120)
    /// While traffic was going on this recently, silence is probed once a second.
    static let watchfulness = Instant.Interval.seconds(30)

    private(set) var lastHeard: Instant
    private(set) var lastSent: Instant
    /// When data last passed in either direction.
    private(set) var lastTraffic: Instant
    /// The first packet that asked for an answer since the peer was last heard.
    private(set) var unansweredSince: Instant?
    /// Probes sent into the present silence.
    private var probes = 0
    /// When the owner should ask ``due(at:)`` again.
    var deadline: Instant

    init(at now: Instant) {
        self.lastHeard = now
        self.lastSent = now
        self.lastTraffic = Instant(nanoseconds: 0)
        self.deadline = now + Self.keepAlive
    }

    mutating func heard(isTraffic: Bool, at now: Instant) {
        self.lastHeard = now
        self.unansweredSince = nil
        self.probes = 0
        if isTraffic { self.lastTraffic = now }
    }

    mutating func sent(asksForAnswer: Bool, isTraffic: Bool, at now: Instant) {
        self.lastSent = now
        if asksForAnswer, self.unansweredSince == nil { self.unansweredSince = now }
        if isTraffic { self.lastTraffic = now }
    }

    /// How long nothing may be heard before the next probe: quickly at first, for a peer whose
    /// address changed cannot reach us before it hears from us; then once a second.
    private func probeInterval(_ roundTrip: Instant.Interval) -> Instant.Interval {
        let first = max(.milliseconds(250), roundTrip * 3)
        return self.probes == 0 ? first : first + .milliseconds(900) * UInt64(self.probes)
    }

    /// True when a PING should go out now; arms ``deadline`` for the next look.
    mutating func isProbeDue(
        roundTrip: Instant.Interval,
        hasChannels: Bool,
        isClient: Bool,
        at now: Instant
    ) -> Bool {
        let isWatchful =
            hasChannels && isClient && self.lastTraffic.nanoseconds > 0
            && now.since(self.lastTraffic) < Self.watchfulness
        let quiet = self.lastHeard + self.probeInterval(roundTrip)
        let keepAlive = max(self.lastSent, self.lastHeard) + Self.keepAlive
        var isDue = false
        if isWatchful, quiet <= now {
            isDue = true
            self.probes += 1
        } else if isClient, keepAlive <= now {
            isDue = true
        }
        var next = self.lastHeard + Self.expiry
        if isWatchful { next = min(next, self.lastHeard + self.probeInterval(roundTrip)) }
        if isClient { next = min(next, isDue ? now + Self.keepAlive : keepAlive) }
        self.deadline = max(next, now + .milliseconds(50))
        return isDue
    }

    /// The peer owes an answer for so long that it may have lost the session.
    func isUnanswered(for patience: Instant.Interval, at now: Instant) -> Bool {
        guard let since = self.unansweredSince else { return false }
        return now.since(since) >= patience
    }

    func isExpired(at now: Instant) -> Bool { now.since(self.lastHeard) >= Self.expiry }
}
