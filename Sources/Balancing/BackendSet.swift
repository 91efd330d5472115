public import Primitives

/// How a backend is chosen among those that are up.
public enum PickPolicy: String, CaseIterable, Sendable {
    /// In turn, each as often as its weight says.
    case roundRobin = "round-robin"
    /// The one with the fewest connections and flows for its weight.
    case leastConnections = "least-connections"
    /// The same player, by address without port, comes to the same backend (Maglev).
    case sourceHash = "source-hash"
}

/// The backends of one service: who is up, and who is next.
///
/// Every pick that returns an index has taken a place at that backend and ends with exactly one
/// call of ``finished(_:)`` or ``refused(_:at:)``. Indices are those of the array given at
/// construction. A pick is O(1), with least connections O(log n); a change of who is up rebuilds
/// the tables. A UDP flow or TCP stream keeps its backend for life, which is the caller's affair.
public final class BackendSet {
    /// One backend as configured.
    public struct Member: Hashable, Sendable {
        /// Decides its places in source hashing: its address or name as it was written.
        public var name: String
        /// 0...1000; with 0 it is never chosen.
        public var weight: Int
        /// Used only while no backend of a lower tier is up.
        public var tier: Int

        /// A backend as configured; a weight outside 0...1000 is brought inside.
        public init(name: String, weight: Int = 1, tier: Int = 0) {
            self.name = name
            self.weight = min(max(weight, 0), 1000)
            self.tier = tier
        }
    }

    /// A backend that went up or down.
    public struct Change: Hashable, Sendable {
        /// Which backend, by its index in the array given at construction.
        public var index: Int
        /// Whether new players may go there now.
        public var isUp: Bool
    }

    struct Place {
        var member: Member
        let identity: UInt64
        /// Whether it has left the list; see ``BackendSet/adopt(_:at:)``.
        var isGone = false
        var health = BackendHealth()
        var isDraining = false
        var active = 0
        /// Slow start: what it has saved up towards its next connection, in percent.
        var credit = 100
        /// What the outside was last told.
        var announcedUp = true
        var probe = ProbeTimer()

        init(_ member: Member, seed: UInt64) {
            self.member = member
            self.identity = Hash.mix(Hash.name(member.name) ^ seed)
        }
    }

    /// How a backend is chosen among those that are up.
    public let policy: PickPolicy
    let rules: HealthRules
    let seed: UInt64
    var places: [Place]
    private var isStale = true
    private var eligible: [Int] = []
    private var turns = TurnTable()
    private var loads: LoadHeap
    private var hashes = Maglev()
    private var nextRetry = Instant.never
    private var pendingChanges = 0
    /// When a probe is due or overdue.
    var nextProbeWork = Instant.never

    /// At most 65,535 members; more are left out.
    ///
    /// The `seed` varies which player meets which backend; servers that share the load have to use
    /// the same.
    public init(
        _ members: [Member],
        policy: PickPolicy,
        rules: HealthRules = HealthRules(),
        seed: UInt64 = 0,
        at now: Instant
    ) {
        self.policy = policy
        self.rules = rules
        self.seed = seed
        self.places = members.prefix(Int(UInt16.max)).map { Place($0, seed: seed) }
        self.loads = LoadHeap(capacity: self.places.count)
        if rules.isProbed { self.spreadProbes(at: now) }
    }

    /// How many backends there are, up or down.
    public var count: Int { self.places.count }
    /// What was configured for the backend at `index`; traps outside `0..<count`.
    public func member(_ index: Int) -> Member { self.places[index].member }
    /// Whether the backend counts as up, as one does that nobody has tried yet.
    public func isUp(_ index: Int) -> Bool { self.places[index].health.isUp }
    /// Connections and flows that have a place at this backend.
    public func active(_ index: Int) -> Int { self.places[index].active }

    /// Chooses a backend for a player and takes a place there; `nil` if there is none.
    ///
    /// `excluded` is one that has just refused this player: it is chosen only if there is no other.
    /// Where `isFit` suits nobody, it counts for nothing.
    public func pick(
        source: SocketAddress,
        excluding excluded: Int? = nil,
        at now: Instant,
        where isFit: (Int) -> Bool = { _ in true }
    ) -> Int? {
        if now >= self.nextRetry { self.retry(at: now) }
        if self.isStale { self.rebuild() }
        guard !self.eligible.isEmpty else { return nil }
        let index = self.choose(source, at: now) { $0 != excluded && isFit($0) }
        self.places[index].active += 1
        self.loads.update(index, active: self.places[index].active)
        return index
    }

    /// A connection to this backend was made, or a flow was answered for the first time.
    public func connected(_ index: Int, at now: Instant) {
        self.change(index) { $0.answered(at: now) }
    }

    /// A connection or flow has ended and its place is free.
    public func finished(_ index: Int) { self.leave(index) }

    /// The backend refused the connection, or the kernel said that nobody listens there.
    public func refused(_ index: Int, at now: Instant) {
        self.leave(index)
        self.noticedRefusal(index, at: now)
    }

    /// A refusal in the middle of a UDP flow, which keeps its place.
    public func noticedRefusal(_ index: Int, at now: Instant) {
        self.change(index) { $0.refused(self.rules, at: now) }
    }

    /// A flow got no answer in the time its service would need; it keeps its place.
    public func noticedSilence(_ index: Int, at now: Instant) {
        self.change(index) { $0.fellSilent(self.rules, at: now) }
    }

    /// Another set, such as the one of the thread that probes, has found this backend up or down.
    public func follow(_ index: Int, isUp: Bool, at now: Instant) {
        self.change(index) { $0.follow(isUp: isUp, self.rules, at: now) }
    }

    /// A backend that nobody probes is not what it was: if it is down it may be tried at once.
    public func giveChance(_ index: Int, at now: Instant) {
        self.change(index) { $0.giveChance(at: now) }
    }

    /// While it drains, a backend gets nothing new and keeps what it has.
    public func setDraining(_ index: Int, _ isDraining: Bool) {
        guard self.places[index].isDraining != isDraining else { return }
        self.places[index].isDraining = isDraining
        self.isStale = true
    }

    /// Whether the backend gets nothing new until ``setDraining(_:_:)`` says otherwise.
    public func isDraining(_ index: Int) -> Bool { self.places[index].isDraining }

    /// Who went up or down since the last call; call until `nil`.
    ///
    /// Going there and back between two calls is no change.
    public func nextChange() -> Change? {
        guard self.pendingChanges > 0 else { return nil }
        for index in self.places.indices {
            let isUp = self.places[index].health.isUp
            guard isUp != self.places[index].announcedUp else { continue }
            self.places[index].announcedUp = isUp
            self.pendingChanges -= 1
            return Change(index: index, isUp: isUp)
        }
        self.pendingChanges = 0
        return nil
    }

    /// When ``wake(at:)`` and then ``nextProbe(at:)`` are due.
    public var deadline: Instant { min(self.nextProbeWork, self.nextRetry) }

    /// Time has passed: gives up on overdue probes and lets backends be tried again.
    public func wake(at now: Instant) {
        if now >= self.nextRetry { self.retry(at: now) }
        if now >= self.nextProbeWork { self.expireProbes(at: now) }
    }

    /// Applies something to one backend's health and notices what follows from it.
    func change(_ index: Int, _ body: (inout BackendHealth) -> Void) {
        let wasUp = self.places[index].health.isUp
        body(&self.places[index].health)
        guard self.places[index].health.isUp != wasUp else { return }
        self.isStale = true
        self.places[index].credit = 0
        let isNews = self.places[index].health.isUp != self.places[index].announcedUp
        self.pendingChanges += isNews ? 1 : -1
        self.nextRetry = self.places.reduce(.never) { min($0, $1.health.retryAt) }
    }

    private func leave(_ index: Int) {
        // One call too many is our bug; a negative count would attract everybody for ever.
        precondition(self.places[index].active > 0)
        self.places[index].active -= 1
        self.loads.update(index, active: self.places[index].active)
    }

    private func retry(at now: Instant) {
        for index in self.places.indices where now >= self.places[index].health.retryAt {
            self.change(index) { _ = $0.retry(at: now) }
        }
    }
}

// Choosing.
extension BackendSet {
    private func choose(
        _ source: SocketAddress,
        at now: Instant,
        where isFit: (Int) -> Bool
    ) -> Int {
        switch self.policy {
        case .roundRobin: return self.chooseByTurn(at: now, where: isFit)
        case .leastConnections: return self.chooseByLoad(at: now, where: isFit)
        case .sourceHash:
            // No slow start: a player would be sent to and fro while the share grows.
            let hash = Hash.host(source, seed: self.seed)
            return self.hashes.pick(hash, where: isFit)
        }
    }

    private func chooseByTurn(at now: Instant, where isFit: (Int) -> Bool) -> Int {
        var index = self.turns.next()
        var fit: Int?
        // Bounded: a heavy backend may have many turns in a row.
        for _ in 0..<self.turns.period {
            if isFit(index) {
                if self.admits(index, at: now) { return index }
                fit = fit ?? index
            }
            index = self.turns.next()
        }
        return fit ?? index
    }

    private func chooseByLoad(at now: Instant, where isFit: (Int) -> Bool) -> Int {
        let first = self.loads.first
        guard let second = self.loads.second else { return first }
        if isFit(first), self.admits(first, at: now) || !isFit(second) { return first }
        if isFit(second) { return second }
        return self.loads.least(where: isFit) ?? first
    }

    /// Slow start: a backend at 30 % takes three of ten turns and passes on the others.
    private func admits(_ index: Int, at now: Instant) -> Bool {
        let share = self.places[index].health.share(self.rules, at: now)
        guard share < 100 else { return true }
        self.places[index].credit += share
        guard self.places[index].credit >= 100 else { return false }
        self.places[index].credit -= 100
        return true
    }

    private func rebuild() {
        self.isStale = false
        self.eligible = self.eligibleIndices()
        let weight = { (index: Int) in self.places[index].member.weight }
        switch self.policy {
        case .roundRobin:
            self.turns = TurnTable(
                self.eligible,
                weights: self.eligible.map(weight),
                from: self.turns.cursor
            )
        case .leastConnections:
            self.loads.replace(
                with: self.eligible,
                weight: weight,
                active: { self.places[$0].active }
            )
        case .sourceHash:
            self.hashes = Maglev(
                self.eligible.map {
                    .init(index: $0, identity: self.places[$0].identity, weight: weight($0))
                }
            )
        }
    }

    /// The first tier that has anybody up.
    ///
    /// If nobody is and nobody probes, refusals are old news: better to try than to refuse all.
    private func eligibleIndices() -> [Int] {
        let usable = self.places.indices.filter {
            !self.places[$0].isDraining && !self.places[$0].isGone
                && self.places[$0].member.weight > 0
        }
        let up = usable.filter { self.places[$0].health.isUp }
        let candidates = up.isEmpty && !self.rules.isProbed ? usable : up
        let first = candidates.map { self.places[$0].member.tier }.min()
        return candidates.filter { self.places[$0].member.tier == first }
    }

    /// The list has changed.
    func noteMembers() {
        self.isStale = true
        self.loads.grow(to: self.places.count)
        self.nextRetry = self.places.reduce(.never) { min($0, $1.health.retryAt) }
        self.findNextProbeWork()
    }

    /// Nobody wants to hear of this one any more.
    func forgetChange(_ index: Int) {
        if self.places[index].health.isUp != self.places[index].announcedUp {
            self.pendingChanges -= 1
        }
    }
}
