public import Erasure
public import Primitives
public import Recovery
public import Sealing

/// Bounds on what one engine holds, whatever its peers do.
public struct EngineLimits: Sendable {
    /// Bytes held per stream and direction, a power of two of at least 64 KiB.
    public var streamBuffer = 8 << 20
    /// Receive windows of one session above the first ``initialWindow`` of each stream.
    public var sessionBuffer = 64 << 20
    /// Bytes of memory that one peer may make an engine hold, in all its sessions together.
    public var heldByteLimit: Int { self.sessionBuffer + self.sessionBuffer / 4 }
    /// The same where what asks for more holds little, as a stream its first window.
    ///
    /// So what is busy does not keep the others small.
    public var smallHeldByteLimit: Int { self.sessionBuffer + self.sessionBuffer / 2 }
    /// The same of all peers.
    public var totalHeldByteLimit: Int { 16 * self.sessionBuffer }
    /// Streams of all sessions together; beyond that one gives way or the OPEN is refused.
    public var maximumStreams = 65_536
    /// UDP flows of all sessions together, likewise.
    public var maximumFlows = 65_536
    /// Streams and flows together.
    public var maximumChannels = Int.max
    /// Datagrams that wait for the driver.
    public var inbox = 4 << 20

    /// UDP payload of the largest packet that the peers of this end were told it takes; no segment
    /// of theirs is larger.
    var largestPacket = 1472

    /// What every stream may receive before its window has been tuned.
    public static let initialWindow = 65_536

    /// The defaults of the configuration's keys.
    public init() {}
}

/// Whether the keys of handshakes are made post-quantum, and by what.
public struct PostQuantumChoice: Sendable {
    /// Whether keys are strengthened, and whether sessions without are refused.
    public var policy: PostQuantumPolicy
    /// What computes it; `nil` only where the policy is `off`.
    public var mechanism: KeyEncapsulation?

    /// `mechanism` must be there unless the policy is `off`.
    public init(_ policy: PostQuantumPolicy = .off, by mechanism: KeyEncapsulation? = nil) {
        precondition(policy == .off || mechanism != nil)
        self.policy = policy
        self.mechanism = mechanism
    }
}

/// What a client's engine is made of.
public struct ClientSettings {
    /// Tried in order, each by all its addresses.
    public var servers: [[SocketAddress]]
    /// Whom each of ``servers`` has to prove to be.
    public var serverPublicKey: PublicKey
    /// The client's own key; shared with the engine, not copied.
    public var privateKey: SecretKey
    /// The secret shared with the server, if there is one.
    public var presharedKey: PresharedKey?
    /// Whether this end strengthens its keys.
    public var postQuantum = PostQuantumChoice()
    /// What this end offers to seal with.
    public var cipher = CipherPreference.auto
    /// How long a stream may wait for a session.
    public var connectTimeout = Instant.Interval.seconds(10)
    /// UDP payload of the largest packet; `nil` finds out.
    public var maximumPacketSize: Int?
    /// How fast this end sends.
    public var congestion = CongestionChoice.auto
    /// Spent on message streams against loss; flows have their own.
    public var redundancy = RedundancyLevel.auto
    /// This engine's number among the workers of its process, for its receiver indices.
    public var worker = 0
    /// Wall-clock time minus the engine's own, in milliseconds: a server takes a handshake whose
    /// time does not advance for a recording and asks for one round trip more.
    public var wallClockOffset: UInt64 = 0

    /// Settings with every other field at its default.
    public init(servers: [SocketAddress], serverPublicKey: PublicKey, privateKey: SecretKey) {
        self.servers = servers.map { [$0] }
        self.serverPublicKey = serverPublicKey
        self.privateKey = privateKey
    }
}

/// What a server's engine is made of.
public struct ServerSettings {
    /// The server's own key; shared with the engine, not copied.
    public var privateKey: SecretKey
    /// Whom it lets in, and to what; replaced whole at a reload.
    public var directory: PeerDirectory
    /// Whether this end strengthens its keys.
    public var postQuantum = PostQuantumChoice()
    /// What this end allows to seal with.
    public var cipher = CipherPreference.auto
    /// UDP payload of the largest packet, in bytes; `nil` finds out.
    public var maximumPacketSize: Int?
    /// How fast this end sends.
    public var congestion = CongestionChoice.auto
    /// Spent on message streams against loss; flows have their own.
    public var redundancy = RedundancyLevel.auto
    /// This engine's number among the workers of its process, below 256.
    public var worker = 0
    /// How many workers the process has: handshakes that name one of them go there.
    public var workerCount = 1
    /// The process's number among its predecessors and successors, below 16.
    public var generation = 0
    /// Scrambles receiver indices; the same for all workers of a process.
    public var indexKey: UInt64 = 0
    /// Confirmed sessions of this engine; further clients are refused, `RefusalReason.limit`.
    public var maximumSessions = 4096
    /// Who counts what a peer holds; engines of one process share it.
    public var accounts: (PublicKey) -> any PeerAccount = LonePeerAccounts().account

    /// Settings with every other field at its default.
    public init(privateKey: SecretKey, directory: PeerDirectory) {
        self.privateKey = privateKey
        self.directory = directory
    }
}

/// Someone who may connect, and to what.
public struct Peer: Sendable, Hashable {
    /// The peer's name in the configuration, unique.
    public var name: String
    /// By what the handshake knows the peer, unique.
    public var publicKey: PublicKey
    /// What the peer has to know besides its own key.
    public var presharedKey: PresharedKey?
    /// Names of services, or `*` for all.
    public var services: [String]
    /// How much it may hold and send.
    public var quota: PeerQuota

    /// A peer without a preshared key.
    public init(
        name: String,
        publicKey: PublicKey,
        services: [String],
        quota: PeerQuota = PeerQuota()
    ) {
        self.name = name
        self.publicKey = publicKey
        self.services = services
        self.quota = quota
    }

    func mayUse(_ service: String) -> Bool {
        self.services.contains("*") || self.services.contains(service)
    }
}

/// The peers and services a server knows; never changed, only replaced.
public final class PeerDirectory: Sendable {
    /// A service as the engine has to know it.
    public struct Service: Sendable, Hashable {
        /// The name that an OPEN asks for.
        public var name: String
        /// What its backends speak; two services may share a name if this differs.
        public var serviceProtocol: ServiceProtocol
        /// Whether this end inflates what comes for it, and deflates in turn.
        public var allowsCompression: Bool
        /// What this end spends against loss towards the player.
        public var redundancy: RedundancyLevel

        /// A service out of its fields.
        public init(
            name: String,
            serviceProtocol: ServiceProtocol,
            allowsCompression: Bool,
            redundancy: RedundancyLevel = .auto
        ) {
            self.name = name
            self.serviceProtocol = serviceProtocol
            self.allowsCompression = allowsCompression
            self.redundancy = redundancy
        }
    }

    /// Whoever may connect, in the order of the configuration, which indices count.
    public let peers: [Peer]
    /// What they may ask for.
    public let services: [Service]
    private let byKey: [PublicKey: Int]

    /// A directory; of two peers with one key the first counts.
    public init(peers: [Peer], services: [Service]) {
        self.peers = peers
        self.services = services
        self.byKey = Dictionary(
            peers.enumerated().map { ($1.publicKey, $0) },
            uniquingKeysWith: { first, _ in first }
        )
    }

    func index(of key: PublicKey) -> Int? { self.byKey[key] }
    func peer(of key: PublicKey) -> Peer? { self.byKey[key].map { self.peers[$0] } }

    func service(_ name: String, _ kind: ServiceProtocol) -> Service? {
        self.services.first { $0.name == name && $0.serviceProtocol == kind }
    }
}
