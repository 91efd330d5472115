import Netem
public import Primitives
import Sealing
import Session

/// One server with honest peers and with attackers who hold keys of their own, in virtual time.
///
/// The same seed can be run in peace: then nobody attacks, and all else is the same.
public final class Siege {
    static let echoService = "echo"
    static let floodService = "flood"
    static let sinkService = "sink"
    static let stuckService = "stuck"
    static let voiceService = "voice"
    static let epoch = Instant(nanoseconds: 1_000_000_000)
    static let serverAddress = SocketAddress(ipv4: 0xC633_6401, port: 4600)
    /// Addresses of one attacker, and addresses it pretends to have.
    static let ownCount = 3
    static let victimCount = 2

    /// What the siege was drawn from: enough to run it again.
    public let seed: UInt64
    /// Whether the attackers attack; the same seed in peace shows what honest peers may expect.
    public let isAtWar: Bool
    /// What did not hold, a sentence each with its time; empty when all went well.
    public internal(set) var violations: [String] = []
    /// What happened, for reports.
    public internal(set) var statistics = Statistics()
    /// Of all that came to applications, and of all packets of the server.
    public internal(set) var digest = Digest()
    /// Told of everything that happens rarely, for whoever replays a siege.
    public var narrate: ((Instant, String) -> Void)?
    /// Says how many bytes of memory the process has allocated, where that is to be checked.
    public var heap: (() -> Int)?

    /// Counts of one siege, or of several added up.
    public struct Statistics: Hashable, Sendable {
        /// Sieges that ran to their end.
        public var sieges: UInt64 = 0
        /// Turns of the loop, each at one instant of virtual time.
        public var steps: UInt64 = 0
        /// Packets that attackers sent, whatever they held.
        public var hostilePackets: UInt64 = 0
        /// Sessions that attackers made with the server.
        public var hostileSessions: UInt64 = 0
        /// Sessions of attackers that the server ended for what they did.
        public var expulsions: UInt64 = 0
        /// What the server dropped, by reason.
        public var drops: [String: UInt64] = [:]
        /// Bytes of UDP payload that the server sent to attackers' addresses.
        public var bytesToAttackers: UInt64 = 0
        /// Messages of honest streams that came back.
        public var echoes: UInt64 = 0
        /// Datagrams of honest flows that came back.
        public var datagrams: UInt64 = 0
        /// The most that all peers together made the server hold, in bytes.
        public var mostHeldBytes: UInt64 = 0
        /// Memory that grew without being charged to anybody.
        public var mostUnchargedBytes: UInt64 = 0

        /// Nothing happened yet.
        public init() {}
    }

    /// Where packets are on their way in and out.
    struct Buffers {
        let packet = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
        let outgoing = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    }

    let plan: SiegePlan
    var now = Siege.epoch
    var heapAtStart: Int?
    let server: Engine
    let backends = Backends()
    var honest: [HonestPeer] = []
    var attackers: [Attacker] = []
    /// One for each honest peer, then one for each attacker.
    var uplinks: [Link] = []
    var downlinks: [Link] = []
    var addresses: [SocketAddress] = []
    /// Whose link leads to an address; `nil` for victims, who answer nothing.
    var owners: [Int?] = []
    var dues: [Dues] = []
    let buffers = Buffers()

    /// What came from an address, and what the server sent there.
    struct Dues {
        var sent = 0
        var got = 0
        /// Whoever is there has shown that he gets what is sent there.
        var isProven = false
    }

    /// - Parameter length: at most so long, instead of what was drawn.
    public init(_ seed: UInt64, isAtWar: Bool = true, length: Instant.Interval = .seconds(3_600)) {
        self.seed = seed
        self.isAtWar = isAtWar
        self.plan = .drawn(from: seed, length: length)
        self.server = Self.makeServer(seed, self.plan, at: self.now)
        for number in self.plan.honest.indices { self.addHonest(number) }
        guard isAtWar else { return }
        for number in self.plan.attackerPaths.indices { self.addAttacker(number) }
    }

    deinit {
        self.buffers.packet.deallocate()
        self.buffers.outgoing.deallocate()
    }

    func violate(_ text: String) {
        guard self.violations.count < 20 else { return }
        self.violations.append("at \(self.now.nanoseconds / 1_000) us: \(text)")
    }

    // MARK: - Setting up

    static func limits(_ plan: SiegePlan) -> EngineLimits {
        var limits = EngineLimits()
        limits.streamBuffer = 256 * 1024
        limits.sessionBuffer = plan.sessionBuffer
        limits.maximumStreams = 512
        limits.maximumFlows = 512
        return limits
    }

    private static func key(_ seed: UInt64, _ salt: UInt64) -> SecretKey {
        SecretKey(entropy: .seeded(seed &* 0x2545_F491_4F6C_DD1D &+ salt))
    }

    private static func makeServer(_ seed: UInt64, _ plan: SiegePlan, at now: Instant) -> Engine {
        let honest = plan.honest.indices.map { number in
            Peer(
                name: "honest-\(number)",
                publicKey: Self.key(seed, 100 + UInt64(number)).publicKey,
                services: ["*"]
            )
        }
        let hostile = plan.attackerPaths.indices.map { number in
            Peer(
                name: "hostile-\(number)",
                publicKey: Self.key(seed, 200 + UInt64(number)).publicKey,
                services: ["*"]
            )
        }
        let names = [
            Self.echoService, Self.floodService, Self.sinkService, Self.stuckService,
        ]
        var services = names.map {
            PeerDirectory.Service(
                name: $0,
                serviceProtocol: .tcp,
                allowsCompression: $0 != Self.sinkService
            )
        }
        services.append(
            .init(name: Self.voiceService, serviceProtocol: .udp, allowsCompression: true)
        )
        return Engine(
            server: ServerSettings(
                privateKey: Self.key(seed, 0),
                directory: PeerDirectory(peers: honest + hostile, services: services)
            ),
            limits: Self.limits(plan),
            entropy: .seeded(seed &+ 500),
            at: now
        )
    }

    private func addAddress(_ address: SocketAddress, owner: Int?) -> Int {
        self.addresses.append(address)
        self.owners.append(owner)
        self.dues.append(Dues())
        return self.addresses.count - 1
    }

    private func addHonest(_ number: Int) {
        let address = SocketAddress(ipv4: 0xC000_0200 + UInt32(number), port: 5_000)
        _ = self.addAddress(address, owner: number)
        self.dues[number].isProven = true
        let path = self.plan.honestPaths[number]
        self.uplinks.append(Link(impairment: path, seed: self.seed &* 31 &+ UInt64(number)))
        self.downlinks.append(Link(impairment: path, seed: self.seed &* 37 &+ UInt64(number)))
        let settings = ClientSettings(
            servers: [Self.serverAddress],
            serverPublicKey: Self.key(self.seed, 0).publicKey,
            privateKey: Self.key(self.seed, 100 + UInt64(number))
        )
        let engine = Engine(
            client: settings,
            limits: Self.limits(self.plan),
            entropy: .seeded(self.seed &+ 600 &+ UInt64(number)),
            at: self.now
        )
        self.honest.append(
            HonestPeer(
                number,
                engine: engine,
                plan: self.plan.honest[number],
                seed: self.seed &+ 700 &+ UInt64(number)
            )
        )
    }

    private func addAttacker(_ number: Int) {
        let owner = self.honest.count + number
        let host = 0xC612_0000 + UInt32(number) * 256
        let own = (0..<Self.ownCount).map { place in
            // Two ports of one host, and another host.
            let address = SocketAddress(
                ipv4: host + UInt32(place / 2),
                port: UInt16(6_000 + place)
            )
            return self.addAddress(address, owner: owner)
        }
        let victims = (0..<Self.victimCount).map { place in
            let victim = SocketAddress(ipv4: host + 100 + UInt32(place), port: 7_000)
            return self.addAddress(victim, owner: nil)
        }
        let paths = self.plan.attackerPaths[number]
        let seed = self.seed &* 41 &+ UInt64(number)
        self.uplinks.append(Link(impairment: paths.up, seed: seed))
        self.downlinks.append(Link(impairment: paths.down, seed: seed &+ 1_000))
        let attacker = Attacker(
            key: Self.key(self.seed, 200 + UInt64(number)),
            server: Self.key(self.seed, 0).publicKey,
            seed: seed &+ 2_000,
            own: own,
            victims: victims,
            at: self.now
        )
        attacker.send = { [unowned self] bytes, source in
            bytes.withUnsafeBytes {
                self.uplinks[owner].send($0, tag: UInt64(source), at: self.now)
            }
        }
        attacker.prove = { [unowned self] in self.dues[$0].isProven = true }
        self.attackers.append(attacker)
    }
}

extension Siege.Statistics: CustomStringConvertible {
    public var description: String {
        let drops = self.drops.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        return """
            \(self.sieges), \(self.steps) steps, \(self.hostilePackets) hostile packets in \
            \(self.hostileSessions) sessions (\(self.expulsions) expelled), \
            \(self.bytesToAttackers) bytes to them; \(self.echoes) echoes, \
            \(self.datagrams) datagrams; \(self.mostHeldBytes) bytes held at most, \
            \(self.mostUnchargedBytes) uncharged; \
            dropped: \(drops.joined(separator: ", "))
            """
    }

    /// Adds another siege's counts, and keeps the larger of what is a maximum.
    public mutating func add(_ other: Self) {
        self.sieges += other.sieges
        self.steps += other.steps
        self.hostilePackets += other.hostilePackets
        self.hostileSessions += other.hostileSessions
        self.expulsions += other.expulsions
        self.drops.merge(other.drops, uniquingKeysWith: +)
        self.bytesToAttackers += other.bytesToAttackers
        self.echoes += other.echoes
        self.datagrams += other.datagrams
        self.mostHeldBytes = max(self.mostHeldBytes, other.mostHeldBytes)
        self.mostUnchargedBytes = max(self.mostUnchargedBytes, other.mostUnchargedBytes)
    }
}
