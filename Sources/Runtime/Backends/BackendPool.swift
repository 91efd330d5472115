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
    /// What the names resolve to now; the first one is used.
    private var addresses: [[SocketAddress]]
    /// Who gets nobody new, because an operator wants it so.
    private var isDrained: [Bool]
    private let set: BackendSet

    init(_ service: Service, _ known: KnownNames, at now: Instant) {
        self.names = service.backends.map(\.endpoint.description)
        self.addresses = service.backends.map { backend in
            backend.endpoint.literal.map { [$0] }
                ?? known[backend.endpoint.description]?.addresses ?? []
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

    func address(_ index: Int) -> SocketAddress? { self.addresses[index].first }

    /// Every address that a backend has now.
    var allAddresses: [SocketAddress] { self.addresses.flatMap { $0 } }

    func resolved(_ name: String, to addresses: [SocketAddress]) {
        for index in self.names.indices where self.names[index] == name {
            self.addresses[index] = addresses
            self.refresh(index)
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
