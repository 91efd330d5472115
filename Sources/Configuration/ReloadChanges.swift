import Sealing

/// What happened to one list of a configuration.
public struct ListChanges<Item: Hashable & Sendable>: Hashable, Sendable {
    public struct Change: Hashable, Sendable {
        public let old: Item
        public let new: Item
    }

    public private(set) var added: [Item] = []
    public private(set) var removed: [Item] = []
    public private(set) var changed: [Change] = []

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
    /// Other keys that changed, all outside `[[forward]]`.
    public let changedKeys: [String]

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
        let (before, after) = (started.configuration, new.configuration)
        self.forwards = ListChanges(from: old.configuration.forwards, to: after.forwards) {
            $0.identity
        }
        var restart = Difference()
        restart.note("server_public_key", before.serverPublicKey, after.serverPublicKey)
        restart.note("private_key", started.privateKey.publicKey, new.privateKey.publicKey)
        restart.note("workers", before.transport.workers, after.transport.workers)
        self.needsRestart = restart.keys
        var other = Difference()
        // Taken over at once, so that what runs is what was read last.
        other.note("server", old.configuration.servers, after.servers)
        other.note("preshared_key", old.presharedKeys, new.presharedKeys)
        other.note("admin", before.admin, after.admin)
        other.note("admin_hosts", before.adminHosts, after.adminHosts)
        other.note("control", before.control, after.control)
        other.note(before.transport, after.transport)
        other.note(before.limits, after.limits)
        self.changedKeys = other.keys
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
    /// Other keys that changed, all outside `[[service]]` and `[[peer]]`.
    public let changedKeys: [String]

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
        let (before, after) = (started.configuration, new.configuration)
        self.services = ListChanges(from: old.configuration.services, to: after.services) {
            $0.name
        }
        self.peers = ListChanges(from: old.configuration.peers, to: after.peers) { $0.publicKey }
        let same = Set(old.configuration.peers).intersection(after.peers)
        self.renewedPeers = after.peers.filter { peer in
            same.contains(peer)
                && old.presharedKeys[peer.publicKey] != new.presharedKeys[peer.publicKey]
        }.map(\.name)
        var restart = Difference()
        restart.note("listen", before.listen, after.listen)
        restart.note("private_key", started.privateKey.publicKey, new.privateKey.publicKey)
        restart.note("workers", before.transport.workers, after.transport.workers)
        self.needsRestart = restart.keys
        var other = Difference()
        other.note("admin", before.admin, after.admin)
        other.note("admin_hosts", before.adminHosts, after.adminHosts)
        other.note("control", before.control, after.control)
        other.note("routes", before.routes, after.routes)
        other.note(before.transport, after.transport)
        other.note(before.limits, after.limits)
        self.changedKeys = other.keys
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
    /// Keys outside `[[forward]]` that a running client takes over.
    private static let liveKeys: Set = ["server", "preshared_key"]

    /// Every key that keeps its old value until a restart.
    public var waitingKeys: [String] {
        self.needsRestart + self.changedKeys.filter { !Self.liveKeys.contains($0) }
    }

    /// What is in effect now and was not before, one item each.
    public var applied: [String] {
        self.changedKeys.filter { Self.liveKeys.contains($0) }
            + self.forwards.described("forward") { $0.identity }
    }
}

extension ServerReload {
    /// Every key that keeps its old value until a restart.
    public var waitingKeys: [String] { self.needsRestart + self.changedKeys }

    /// What is in effect now and was not before, one item each.
    public var applied: [String] {
        self.services.described("service") { $0.name } + self.peers.described("peer") { $0.name }
            + self.renewedPeers.map { "peer \($0) changed" }
    }
}

/// The names of the keys that differ.
private struct Difference {
    private(set) var keys: [String] = []

    mutating func note<Value: Equatable>(_ key: String, _ old: Value, _ new: Value) {
        if old != new { self.keys.append(key) }
    }

    /// All but `workers`, which takes a restart.
    mutating func note(_ old: TransportSettings, _ new: TransportSettings) {
        self.note("congestion", old.congestion, new.congestion)
        self.note("fec", old.redundancy, new.redundancy)
        self.note("cipher", old.cipher, new.cipher)
        self.note("mtu", old.maximumPacketSize, new.maximumPacketSize)
        self.note("connect_timeout", old.connectTimeout, new.connectTimeout)
    }

    mutating func note(_ old: Limits, _ new: Limits) {
        self.note("max_sessions", old.maximumSessions, new.maximumSessions)
        self.note("max_flows", old.maximumFlows, new.maximumFlows)
        self.note("stream_buffer", old.streamBuffer, new.streamBuffer)
        self.note("session_buffer", old.sessionBuffer, new.sessionBuffer)
    }
}
