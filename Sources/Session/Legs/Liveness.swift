import Primitives

/// Decides when silence means something: probe, keep the NAT open, make a new session, give up.
struct Liveness {
    /// A client's NAT binding is refreshed after this much silence of ours.
    static let keepAlive = Instant.Interval.seconds(10)
    /// A session this long without any packet of the peer is over.
    static let expiry = Instant.Interval.seconds(120)
    /// While traffic was going on this recently, silence is probed once a second.
    static let watchfulness = Instant.Interval.seconds(10)

    private(set) var lastHeard: Instant
    /// When data last passed in either direction.
    private(set) var lastTraffic: Instant?
    /// The first packet that asked for an answer since the peer was last heard.
    private(set) var unansweredSince: Instant?
    /// When anything last went out, a probe that is still to be sent included.
    private var lastSent: Instant
    /// Probes sent since the last traffic.
    private var probes: UInt64 = 0

    init(at now: Instant) {
        self.lastHeard = now
        self.lastSent = now
    }

    mutating func heard(isTraffic: Bool, at now: Instant) {
        assert(now >= self.lastHeard, "time went back")
        self.lastHeard = now
        self.unansweredSince = nil
        if isTraffic { self.noteTraffic(at: now) }
    }

    mutating func sent(asksForAnswer: Bool, isTraffic: Bool, at now: Instant) {
        self.lastSent = now
        if asksForAnswer, self.unansweredSince == nil { self.unansweredSince = now }
        if isTraffic { self.noteTraffic(at: now) }
    }

    private mutating func noteTraffic(at now: Instant) {
        self.lastTraffic = now
        self.probes = 0
    }

    /// What the silence is measured against.
    struct Circumstances {
        var roundTrip: Instant.Interval
        /// Streams or flows exist.
        var hasChannels: Bool
        var isClient: Bool
    }

    /// The next probe into a silence that follows traffic.
    ///
    /// Soon, because a peer whose packets go to an address we no longer have cannot reach us before
    /// it hears from us; then every second for a while. Counted from the traffic, so that answers
    /// to probes do not call for more of them.
    private func watchfulProbe(_ circumstances: Circumstances) -> Instant {
        guard circumstances.isClient, circumstances.hasChannels, let lastTraffic else {
            return .never
        }
        // Twice quickly, in case the first is lost, then once a second.
        let first = max(.milliseconds(250), circumstances.roundTrip * 3)
        let due =
            self.probes < 2
            ? lastTraffic + first * (self.probes + 1)
            : lastTraffic + first * 2 + .seconds(1) * (self.probes - 1)
        return due < lastTraffic + Self.watchfulness ? due : .never
    }

    private func keepAliveProbe(_ circumstances: Circumstances) -> Instant {
        circumstances.isClient ? max(self.lastSent, self.lastHeard) + Self.keepAlive : .never
    }

    /// When the owner should look again.
    func deadline(_ circumstances: Circumstances) -> Instant {
        min(
            self.lastHeard + Self.expiry,
            self.watchfulProbe(circumstances),
            self.keepAliveProbe(circumstances)
        )
    }

    /// True when a PING should go out now; counts as sent.
    mutating func takeProbe(_ circumstances: Circumstances, at now: Instant) -> Bool {
        if self.watchfulProbe(circumstances) <= now {
            self.probes += 1
            return true
        }
        guard self.keepAliveProbe(circumstances) <= now else { return false }
        self.lastSent = now
        return true
    }

    func isExpired(at now: Instant) -> Bool { now.since(self.lastHeard) >= Self.expiry }
}
