import Balancing
import Configuration
import Names
import Primitives

/// A service's backends as one worker sees them: who is up, where they are and whose turn it is.
///
/// Every pick ends with exactly one ``finished(_:)``.
final class BackendPool {
    /// As written in the configuration.
    let names: [String]
    /// Whether somebody else asks the backends; then refusals are told there and decide nothing.
    let isProbed: Bool
    /// What the names resolve to now.
    private var addresses: [AddressList]
    /// The names of those that are known by name.
    private let hostNames: [String?]
    /// Who gets nobody new, because an operator wants it so.
    private var isDrained: [Bool]
    private let set: BackendSet

    init(_ service: Service, _ known: KnownNames, at now: Instant) {
        self.names = service.backends.map(\.endpoint.description)
        self.addresses = service.backends.map { backend in
            AddressList(
                backend.endpoint.literal.map { [$0] }
                    ?? known[backend.endpoint.description]?.addresses ?? []
            )
        }
        self.hostNames = service.backends.map { backend in
            backend.endpoint.isName ? backend.endpoint.description : nil
        }
        self.isDrained = Array(repeating: false, count: service.backends.count)
        self.isProbed = service.health != nil
        self.set = BackendSet(service, noticesRefusals: service.health == nil, at: now)
        for index in self.names.indices {
            self.refresh(index)
        }
    }

    /// Takes a place at a backend for a player; `nil` if none can be had.
    func pick(
        source: SocketAddress,
        excluding excluded: Int? = nil,
        at now: Instant
    ) -> Int? {
        guard let index = self.set.pick(source: source, excluding: excluded, at: now) else {
            return nil
        }
        guard let excluded, index == excluded else { return index }
        self.set.finished(index)
        // Backups wait until all others count as down, but this player cannot.
        self.set.setDraining(excluded, true)
        defer { self.refresh(excluded) }
        return self.set.pick(source: source, at: now)
    }

    /// Why ``pick(source:excluding:at:)`` finds nobody.
    var emptiness: String {
        self.isDrained.contains(true)
            ? "no backend is up that is not draining" : "no backend is up"
    }

    func finished(_ index: Int) { self.set.finished(index) }
    func connected(_ index: Int, at now: Instant) { self.set.connected(index, at: now) }
    func refused(_ index: Int, at now: Instant) { self.set.noticedRefusal(index, at: now) }

    /// What somebody else has found out.
    func follow(_ name: String, isUp: Bool, at now: Instant) {
        guard let index = self.names.firstIndex(of: name) else { return }
        self.set.follow(index, isUp: isUp, at: now)
    }

    /// Who went up or down since the last call; call until `nil`.
    func nextChange() -> BackendSet.Change? { self.set.nextChange() }

    /// Every address that a backend has now.
    var allAddresses: [SocketAddress] { self.addresses.flatMap(\.all) }

    /// What has to be looked up again when a backend does not answer; `nil`: nothing.
    func name(behind index: Int) -> String? { self.hostNames[index] }

    /// The addresses of a backend that this player can be shown to, in the order to be tried.
    ///
    /// Where none is of the player's family all are named, so that trying says why.
    func addresses(
        _ index: Int,
        for player: ShownPlayer,
        of service: Service
    ) -> [SocketAddress] {
        let all = self.addresses[index].inOrder
        guard service.origin == .transparent else { return all }
        let fitting = all.filter {
            $0.isIPv4 == player.address.isIPv4 || service.usesPseudoIPv4 && $0.isIPv4
        }
        return fitting.isEmpty ? all : fitting
    }

    /// Whether a backend still has this address, as far as its name says.
    func has(_ index: Int, _ address: SocketAddress) -> Bool {
        self.addresses[index].contains(address)
    }

    /// One address of a backend refused or was silent: others go first.
    func failed(_ index: Int, _ address: SocketAddress) { self.addresses[index].fail(address) }

    func hasFailed(_ index: Int, _ address: SocketAddress) -> Bool {
        self.addresses[index].hasFailed(address)
    }

    func answered(_ index: Int, _ address: SocketAddress) {
        self.addresses[index].answer(address)
    }

    /// A name leads elsewhere: whatever was found out about those backends is old news.
    func resolved(_ name: String, to addresses: [SocketAddress], at now: Instant) {
        for index in self.names.indices where self.hostNames[index] == name {
            self.addresses[index].replace(with: addresses)
            self.refresh(index)
            if !self.isProbed { self.set.giveChance(index, at: now) }
        }
    }

    /// Lets a backend have nobody new, or new ones again; what it has stays.
    func setDrained(_ index: Int, _ isDrained: Bool) {
        self.isDrained[index] = isDrained
        self.refresh(index)
    }

    /// A name that leads nowhere gets nobody either.
    private func refresh(_ index: Int) {
        self.set.setDraining(index, self.isDrained[index] || self.addresses[index].isEmpty)
    }
}

extension BackendSet {
    /// The backends of `service`, in the order of the configuration.
    convenience init(_ service: Service, noticesRefusals: Bool, at now: Instant) {
        var rules = HealthRules()
        if let health = service.health {
            rules.isProbed = true
            rules.interval = health.interval
            rules.timeout = health.timeout
            rules.rise = health.rise
            rules.fall = health.fall
        }
        if !noticesRefusals { rules.refusalLimit = 0 }
        let policy: PickPolicy =
            switch service.balance {
            case .roundRobin: .roundRobin
            case .leastConnections: .leastConnections
            case .sourceHash: .sourceHash
            }
        self.init(
            service.backends.map { backend in
                Member(
                    name: backend.endpoint.description,
                    weight: backend.weight,
                    isBackup: backend.isBackup
                )
            },
            policy: policy,
            rules: rules,
            at: now
        )
    }
}
