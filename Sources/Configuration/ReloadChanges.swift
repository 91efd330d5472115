import Recovery
import Sealing

/// What happened to one list of a configuration.
public struct ListChanges<Item: Hashable & Sendable>: Hashable, Sendable {
    /// An item that stayed itself and says something else.
    public struct Change: Hashable, Sendable {
        /// What was in effect.
        public let old: Item
        /// What is to be in effect.
        public let new: Item
    }

    /// Items of the new list whose identity the old one does not have.
    public private(set) var added: [Item] = []
    /// Items of the old list whose identity the new one does not have.
    public private(set) var removed: [Item] = []
    /// Items of both lists that differ.
    public private(set) var changed: [Change] = []

    /// Whether the lists say the same, in whatever order.
    public var isEmpty: Bool {
        self.added.isEmpty && self.removed.isEmpty && self.changed.isEmpty
    }

    /// Pairs what has the same `identity`, which is unique in either list; the order means nothing.
    init<Identity: Hashable>(from old: [Item], to new: [Item], by identity: (Item) -> Identity) {
        let oldByIdentity = Dictionary(old.map { (identity($0), $0) }) { first, _ in first }
        let kept = Set(new.map(identity))
        for item in new {
            guard let before = oldByIdentity[identity(item)] else {
                self.added.append(item)
                continue
            }
            if before != item { self.changed.append(Change(old: before, new: item)) }
        }
        self.removed = old.filter { !kept.contains(identity($0)) }
    }
}

/// What a client's SIGHUP has to do.
public struct ClientReload: Hashable, Sendable {
    /// Told apart by protocol and listen address.
    public let forwards: ListChanges<Forward>
    /// Keys whose new value takes a restart.
    public let needsRestart: [String]
    /// Other keys outside `[[forward]]` that changed, and that the process takes over.
    public let changedKeys: [String]

    /// Whether the process has nothing to do.
    public var isEmpty: Bool {
        self.forwards.isEmpty && self.needsRestart.isEmpty && self.changedKeys.isEmpty
    }

    /// `running`: what the process was started with, which is what it runs until it ends where a
    /// key takes a restart; `old` where it is the same.
    public init(
        from old: LoadedConfiguration<ClientConfiguration>,
        to new: LoadedConfiguration<ClientConfiguration>,
        running: LoadedConfiguration<ClientConfiguration>? = nil
    ) {
        let started = running ?? old
        self.forwards = ListChanges(
            from: old.configuration.forwards,
            to: new.configuration.forwards
        ) { $0.identity }
        var difference = Difference(of: .client, from: started, old, to: new)
        difference.note("server") { $0.configuration.servers }
        difference.note("server_public_key") { $0.configuration.serverPublicKey }
        difference.note("private_key") { $0.privateKey.publicKey }
        difference.note("preshared_key") { $0.presharedKeys }
        difference.note("admin") { $0.configuration.admin }
        difference.note("admin_hosts") { $0.configuration.adminHosts }
        difference.note("control") { $0.configuration.control }
        difference.note("reload_on_change") { $0.configuration.reloadsOnChange }
        difference.note { $0.configuration.transport }
        difference.note { $0.configuration.limits }
        self.needsRestart = difference.waiting
        self.changedKeys = difference.applied
    }
}

/// What a server's SIGHUP has to do.
public struct ServerReload: Hashable, Sendable {
    /// Told apart by name.
    public let services: ListChanges<Service>
    /// Told apart by public key; a preshared key that changed in its file is none of these changes.
    public let peers: ListChanges<PeerEntry>
    /// Names of peers that are the same but for what their preshared key's file holds.
    public let renewedPeers: [String]
    /// Keys whose new value takes a restart.
    public let needsRestart: [String]
    /// Other keys outside `[[service]]` and `[[peer]]` that changed, and that the process takes
    /// over.
    public let changedKeys: [String]

    /// Whether the process has nothing to do.
    public var isEmpty: Bool {
        self.services.isEmpty && self.peers.isEmpty && self.renewedPeers.isEmpty
            && self.needsRestart.isEmpty && self.changedKeys.isEmpty
    }

    /// `running`: what the process was started with, which is what it runs until it ends where a
    /// key takes a restart; `old` where it is the same.
    public init(
        from old: LoadedConfiguration<ServerConfiguration>,
        to new: LoadedConfiguration<ServerConfiguration>,
        running: LoadedConfiguration<ServerConfiguration>? = nil
    ) {
        let started = running ?? old
        let after = new.configuration
        self.services = ListChanges(from: old.configuration.services, to: after.services) {
            $0.name
        }
        self.peers = ListChanges(from: old.configuration.peers, to: after.peers) { $0.publicKey }
        let same = Set(old.configuration.peers).intersection(after.peers)
        self.renewedPeers = after.peers.filter { peer in
            same.contains(peer)
                && old.presharedKeys[peer.publicKey] != new.presharedKeys[peer.publicKey]
        }.map(\.name)
        var difference = Difference(of: .server, from: started, old, to: new)
        difference.note("listen") { $0.configuration.listen }
        difference.note("private_key") { $0.privateKey.publicKey }
        difference.note("admin") { $0.configuration.admin }
        difference.note("admin_hosts") { $0.configuration.adminHosts }
        difference.note("control") { $0.configuration.control }
        difference.note("reload_on_change") { $0.configuration.reloadsOnChange }
        difference.note("routes") { $0.configuration.routes }
        difference.note { $0.configuration.transport }
        difference.note { $0.configuration.limits }
        self.needsRestart = difference.waiting
        self.changedKeys = difference.applied
    }
}

/// What changed, for the log: one item each.
extension ListChanges {
    fileprivate func described(_ kind: String, by name: (Item) -> String) -> [String] {
        self.added.map { "\(kind) \(name($0)) added" }
            + self.changed.map { "\(kind) \(name($0.new)) changed" }
            + self.removed.map { "\(kind) \(name($0)) removed" }
    }
}

extension ClientReload {
    /// What is in effect now and was not before, one item each.
    public var applied: [String] {
        self.changedKeys + self.forwards.described("forward") { $0.identity }
    }
}

extension ServerReload {
    /// What is in effect now and was not before, one item each.
    public var applied: [String] {
        self.changedKeys + self.services.described("service") { $0.name }
            + self.peers.described("peer") { $0.name }
            + self.renewedPeers.map { "peer \($0) changed" }
    }
}

/// The names of the keys that differ, parted as the table of keys says.
private struct Difference<Configuration: Sendable> {
    typealias Loaded = LoadedConfiguration<Configuration>

    private let place: KeyPlace
    private let started: Loaded
    private let read: Loaded
    private let new: Loaded
    /// Keys that need a restart, and differ from what the process was started with.
    private(set) var waiting: [String] = []
    /// Keys that a process takes over, and differ from what it took over last.
    private(set) var applied: [String] = []

    init(of place: KeyPlace, from started: Loaded, _ read: Loaded, to new: Loaded) {
        self.place = place
        self.started = started
        self.read = read
        self.new = new
    }

    mutating func note<Value: Equatable>(_ name: String, _ value: (Loaded) -> Value) {
        guard let key = KeyReference.key(name, of: self.place) else { return }
        switch key.reload {
        case .restart:
            if value(self.started) != value(self.new) { self.waiting.append(name) }
        case .atOnce, .newOnes, .endsOwn:
            if value(self.read) != value(self.new) { self.applied.append(name) }
        }
    }

    mutating func note(_ settings: (Loaded) -> TransportSettings) {
        self.note("congestion") { settings($0).congestion.name }
        self.note("rate") { settings($0).congestion.rate }
        self.note("fec") { settings($0).redundancy }
        self.note("cipher") { settings($0).cipher }
        self.note("post_quantum") { settings($0).postQuantum }
        self.note("mtu") { settings($0).maximumPacketSize }
        self.note("workers") { settings($0).workers }
        self.note("connect_timeout") { settings($0).connectTimeout }
    }

    mutating func note(_ limits: (Loaded) -> Limits) {
        self.note("max_sessions") { limits($0).maximumSessions }
        self.note("max_flows") { limits($0).maximumFlows }
        self.note("stream_buffer") { limits($0).streamBuffer }
        self.note("session_buffer") { limits($0).sessionBuffer }
    }
}

extension CongestionChoice {
    /// As `congestion` has it.
    fileprivate var name: String {
        switch self {
        case .auto: "auto"
        case .bbr: "bbr"
        case .cubic: "cubic"
        case .fixed: "fixed"
        }
    }

    /// As `rate` has it, in bits a second.
    fileprivate var rate: UInt64? {
        if case .fixed(let rate) = self { rate } else { nil }
    }
}
