import Balancing
import Configuration
import Names
import Primitives

/// A service's backends as one worker sees them: who is up, where they are and whose turn it is.
///
/// Every pick ends with exactly one ``finished(_:)``. A backend keeps its index while the list has
/// it and while it has players; names may bring others later.
final class BackendPool {
    private struct Place {
        var member: BackendMember
        var addresses: AddressList
        /// Whether it gets nobody new, because an operator wants it so.
        var isDrained = false
        /// It could not be reached when last tried, and nobody else asks.
        var isMissing = false
    }

    /// Whether somebody else asks the backends; then refusals are told there and decide nothing.
    let isProbed: Bool
    private let service: Service
    /// By the set's index.
    private var places: [Place] = []
    private let set: BackendSet

    init(_ service: Service, _ known: KnownNames, at now: Instant) {
        self.service = service
        self.isProbed = service.health != nil
        let members = Roster.members(of: service, known)
        self.set = BackendSet(service, members, noticesRefusals: service.health == nil, at: now)
        self.follow(members)
    }

    /// One more than the largest index.
    var count: Int { self.places.count }

    /// What a backend is called in logs, status and orders.
    func name(_ index: Int) -> String { self.places[index].member.name }

    /// Whether a backend has left the list; it may have players still.
    func isGone(_ index: Int) -> Bool { self.set.isGone(index) }

    /// Whether a backend is alive, as far as this worker has heard, and its name leads anywhere.
    func isUp(_ index: Int) -> Bool {
        self.set.isUp(index) && !self.places[index].addresses.isEmpty
    }

    /// Takes a place at a backend for a player; `nil` if none can be had.
    func pick(
        source: SocketAddress,
        for player: ShownPlayer,
        excluding excluded: Int? = nil,
        at now: Instant
    ) -> Int? {
        let choose = {
            self.set.pick(source: source, excluding: excluded, at: now) { self.suits($0, player) }
        }
        guard let index = choose() else { return nil }
        guard let excluded, index == excluded else { return index }
        self.set.finished(index)
        // Backups wait until all others count as down, but this player cannot.
        self.set.setDraining(excluded, true)
        defer { self.refresh(excluded) }
        return choose()
    }

    /// Why ``pick(source:for:excluding:at:)`` finds nobody.
    var emptiness: String {
        self.places.contains { $0.isDrained }
            ? "no backend is up that is not draining" : "no backend is up"
    }

    func finished(_ index: Int) { self.set.finished(index) }
    func connected(_ index: Int, at now: Instant) {
        self.places[index].isMissing = false
        self.set.connected(index, at: now)
    }

    /// A connection to a backend that nobody asks could not be made.
    func missed(_ index: Int) { self.places[index].isMissing = true }

    /// Whether any backend is thought to be there, be it one that an operator drains.
    var isServed: Bool {
        self.places.indices.contains { index in
            !self.isGone(index) && self.set.isUp(index)
                && !self.places[index].addresses.isEmpty && !self.places[index].isMissing
        }
    }

    func refused(_ index: Int, at now: Instant) { self.set.noticedRefusal(index, at: now) }

    /// What somebody else has found out.
    func follow(_ name: String, isUp: Bool, at now: Instant) {
        guard let index = self.index(of: name) else { return }
        self.places[index].isMissing = !isUp
        self.set.follow(index, isUp: isUp, at: now)
    }

    private func index(of name: String) -> Int? {
        self.places.indices.first { self.places[$0].member.name == name && !self.isGone($0) }
    }

    /// Who went up or down since the last call; call until `nil`.
    func nextChange() -> BackendSet.Change? { self.set.nextChange() }

    // MARK: Addresses

    /// Every address that a backend has now.
    var allAddresses: [SocketAddress] { self.places.flatMap(\.addresses.all) }

    /// What has to be looked up again when a backend does not answer; `nil`: nothing.
    func lookedUp(_ index: Int) -> String? { self.places[index].member.lookedUp }

    /// The addresses of a backend that this player can be shown to, in the order to be tried.
    ///
    /// Where none is of the player's family all are named, so that trying says why.
    /// `offset`: how far behind the first port of a range.
    func addresses(
        _ index: Int,
        for player: ShownPlayer,
        port offset: UInt16 = 0
    ) -> [SocketAddress] {
        let all = self.places[index].addresses.inOrder.map { $0.with(port: $0.port &+ offset) }
        guard self.service.origin == .transparent, all.count > 1 else { return all }
        let fitting = all.filter { self.suits($0, player) }
        return fitting.isEmpty ? all : fitting
    }

    private func suits(_ index: Int, _ player: ShownPlayer) -> Bool {
        self.service.origin != .transparent
            || self.places[index].addresses.all.contains { self.suits($0, player) }
    }

    private func suits(_ address: SocketAddress, _ player: ShownPlayer) -> Bool {
        address.isIPv4 == player.address.isIPv4 || self.service.usesPseudoIPv4 && address.isIPv4
    }

    /// The address that is kept of one, which may be another port of a range.
    private func kept(_ index: Int, _ address: SocketAddress) -> SocketAddress {
        guard self.service.portCount > 1 else { return address }
        return self.places[index].addresses.all.first { $0.isSameHost(as: address) } ?? address
    }

    /// Whether a backend still has this address, as far as its name says.
    func has(_ index: Int, _ address: SocketAddress) -> Bool {
        !self.isGone(index) && self.places[index].addresses.contains(self.kept(index, address))
    }

    /// One address of a backend refused or was silent: others go first.
    func failed(_ index: Int, _ address: SocketAddress) {
        self.places[index].addresses.fail(self.kept(index, address))
    }

    func hasFailed(_ index: Int, _ address: SocketAddress) -> Bool {
        self.places[index].addresses.hasFailed(self.kept(index, address))
    }

    func answered(_ index: Int, _ address: SocketAddress) {
        self.places[index].addresses.answer(self.kept(index, address))
    }

    // MARK: Changes

    /// Names lead elsewhere: backends may come and go, and of those that moved whatever was found
    /// out is old news.
    func resolved(_ known: KnownNames, at now: Instant) {
        let members = Roster.members(of: self.service, known)
        self.set.adopt(members.map { BackendSet.Member($0) }, at: now)
        for index in self.follow(members) where !self.isProbed {
            self.set.giveChance(index, at: now)
        }
    }

    /// Brings the places in line with the set; says which backends have moved.
    @discardableResult
    private func follow(_ members: [BackendMember]) -> [Int] {
        let byName = Dictionary(members.map { ($0.name, $0) }, uniquingKeysWith: { one, _ in one })
        var moved: [Int] = []
        for index in 0..<self.set.count where !self.set.isGone(index) {
            guard let member = byName[self.set.member(index).name] else { continue }
            if index == self.places.count {
                self.places.append(
                    Place(member: member, addresses: AddressList(member.addresses))
                )
            } else if self.places[index].member.name != member.name {
                self.places[index] = Place(
                    member: member,
                    addresses: AddressList(member.addresses)
                )
            } else {
                self.places[index].member = member
                guard self.places[index].addresses.all != member.addresses else { continue }
                self.places[index].addresses.replace(with: member.addresses)
                self.places[index].isMissing = false
                moved.append(index)
            }
        }
        for index in self.places.indices { self.refresh(index) }
        return moved
    }

    /// Lets these backends, by name or by the entry that brought them, have nobody new, and all
    /// others new ones again; what they have stays.
    func drain(where isDrained: (String) -> Bool) {
        for index in self.places.indices {
            let member = self.places[index].member
            self.places[index].isDrained =
                isDrained(member.name) || isDrained(member.source.description)
            self.refresh(index)
        }
    }

    func isDrained(_ index: Int) -> Bool { self.places[index].isDrained }

    /// A name that leads nowhere gets nobody either.
    private func refresh(_ index: Int) {
        let place = self.places[index]
        self.set.setDraining(index, place.isDrained || place.addresses.isEmpty)
    }
}

extension BackendSet {
    /// The backends of `service`.
    convenience init(
        _ service: Service,
        _ members: [BackendMember],
        noticesRefusals: Bool,
        at now: Instant
    ) {
        var rules = HealthRules()
        if let health = service.health {
            rules.isProbed = true
            rules.interval = health.interval
            rules.timeout = health.timeout
            rules.rise = health.rise
            rules.fall = health.fall
        }
        if !noticesRefusals { rules.refusalLimit = 0 }
        self.init(
            members.map { Member($0) },
            // All ports of a player lead to one backend, by whichever worker they come.
            policy: service.portCount > 1 ? .sourceHash : service.balance,
            rules: rules,
            at: now
        )
    }
}
