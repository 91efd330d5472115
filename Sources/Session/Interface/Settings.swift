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
    public var maximumStreams = 65_536
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

    public init() {}
}

/// Whether the keys of handshakes are made post-quantum, and by what.
public struct PostQuantumChoice: Sendable {
    public var policy: PostQuantumPolicy
    public var mechanism: KeyEncapsulation?

    /// `mechanism` must be there unless the policy is `off`.
    public init(_ policy: PostQuantumPolicy = .off, by mechanism: KeyEncapsulation? = nil) {
        precondition(policy == .off || mechanism != nil)
        self.policy = policy
        self.mechanism = mechanism
    }
}

public struct ClientSettings {
    /// Tried in order.
    public var servers: [SocketAddress]
    public var serverPublicKey: PublicKey
    public var privateKey: SecretKey
    public var presharedKey: PresharedKey?
    public var postQuantum = PostQuantumChoice()
    public var cipher = CipherPreference.auto
    /// How long a stream may wait for a session.
    public var connectTimeout = Instant.Interval.seconds(10)
    /// UDP payload of the largest packet; `nil` finds out.
    public var maximumPacketSize: Int?
    public var congestion = CongestionChoice.auto
    /// Spent on message streams against loss; flows have their own.
    public var redundancy = RedundancyLevel.auto
    public var worker = 0
    /// Wall-clock time minus the engine's own, in milliseconds: a server takes a handshake whose
    /// time does not advance for a recording and asks for one round trip more.
    public var wallClockOffset: UInt64 = 0

    public init(servers: [SocketAddress], serverPublicKey: PublicKey, privateKey: SecretKey) {
        self.servers = servers
        self.serverPublicKey = serverPublicKey
        self.privateKey = privateKey
    }
}

public struct ServerSettings {
    public var privateKey: SecretKey
    public var directory: PeerDirectory
    public var postQuantum = PostQuantumChoice()
    public var cipher = CipherPreference.auto
    public var maximumPacketSize: Int?
    public var congestion = CongestionChoice.auto
    /// Spent on message streams against loss; flows have their own.
    public var redundancy = RedundancyLevel.auto
    /// This engine's number among the workers of its process, below 256.
    public var worker = 0
    public var workerCount = 1
    /// The process's number among its predecessors and successors, below 16.
    public var generation = 0
    /// Scrambles receiver indices; the same for all workers of a process.
    public var indexKey: UInt64 = 0
    public var maximumSessions = 4096
    /// Who counts what a peer holds; engines of one process share it.
    public var accounts: (PublicKey) -> any PeerAccount = LonePeerAccounts().account

    public init(privateKey: SecretKey, directory: PeerDirectory) {
        self.privateKey = privateKey
        self.directory = directory
    }
}

/// Someone who may connect, and to what.
public struct Peer: Sendable, Hashable {
    public var name: String
    public var publicKey: PublicKey
    /// What the peer has to know besides its own key.
    public var presharedKey: PresharedKey?
    /// Names of services, or `*` for all.
    public var services: [String]
    public var quota: PeerQuota

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
    public struct Service: Sendable, Hashable {
        public var name: String
        public var serviceProtocol: ServiceProtocol
        public var allowsCompression: Bool
        /// What this end spends against loss towards the player.
        public var redundancy: RedundancyLevel

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

    public let peers: [Peer]
    public let services: [Service]
    private let byKey: [PublicKey: Int]

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
