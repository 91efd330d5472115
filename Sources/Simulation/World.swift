import Netem
public import Primitives
import Sealing
import Session

/// A small internet: client engines and the workers of one server, joined by impaired links, with
/// applications at both ends, in virtual time.
///
/// It runs the code that ships. One seed gives one history, bit for bit; what must hold in every
/// history is checked as it unfolds, and what does not hold is in ``violations``.
public final class World {
    static let streamService = "stream"
    static let forbiddenService = "vault"
    static let flowService = "flow"
    static let epoch = Instant(nanoseconds: 1_000_000_000)
    static let serverAddress = SocketAddress(ipv4: 0xC633_6401, port: 4600)

    /// Counts of one history, or of several added up.
    public struct Statistics: Hashable, Sendable {
        /// Turns of the loop, each at one instant of virtual time.
        public var steps: UInt64 = 0
        /// Packets that engines sent.
        public var packets: UInt64 = 0
        /// Packets that links lost or dropped.
        public var packetsLost: UInt64 = 0
        /// Bytes that applications read from streams, at both ends.
        public var streamBytes: UInt64 = 0
        /// Ends of streams that closed with everything delivered.
        public var streamsClosed: UInt64 = 0
        /// Ends of streams that were reset.
        public var streamsReset: UInt64 = 0
        /// Datagrams that applications handed to flows.
        public var datagramsSent: UInt64 = 0
        /// Datagrams that applications got from flows.
        public var datagramsReceived: UInt64 = 0
        /// Sessions that came up, counted at each end.
        public var sessions: UInt64 = 0
        /// Sessions whose keys became post-quantum, counted at each end.
        public var strengthened: UInt64 = 0
        /// Addresses of clients that a server followed to.
        public var moves: UInt64 = 0
        /// Packets that one worker handed to another.
        public var handovers: UInt64 = 0

        /// Nothing happened yet.
        public init() {}
    }

    /// How one end of a stream ended.
    enum Fate: Hashable {
        case closed
        case reset(ResetReason)
        case resetByApplication
        /// Its process was restarted.
        case abandoned
    }

    struct StreamRecord {
        var isStarted = false
        /// By side.
        var opened = [false, false]
        var fates: [Fate?] = [nil, nil]
        /// Whether an end had everything when it ended.
        var complete = [false, false]

        var isSettled: Bool {
            self.fates[0] != nil && (!self.opened[1] || self.fates[1] != nil)
        }
    }

    /// What was decided before the history began.
    public let scenario: Scenario
    /// What did not hold, a sentence each with its time, 20 at most; empty when all went well.
    public internal(set) var violations: [String] = []
    /// What happened, for reports.
    public internal(set) var statistics = Statistics()
    /// The fingerprint of all that was delivered: equal for equal seeds.
    public internal(set) var digest = Digest()
    /// Virtual time that passed.
    public var elapsed: Instant.Interval { self.now.since(Self.epoch) }

    /// Told of everything that happens rarely, for whoever replays a history.
    public var narrate: ((Instant, String) -> Void)?

    var now = World.epoch
    /// What the applications draw from while the history unfolds.
    var dice: SeededGenerator
    var records: [StreamRecord]
    /// Of each flow, whether its client has opened and has ended it.
    var flowPhases: [(isStarted: Bool, isOver: Bool)]
    var nextServerSerials: [UInt32]
    /// Datagrams too short for a serial number, by flow, sending side and size.
    var shortDatagrams: [[[UInt32]]]
    var flowClosings: [(at: Instant, flow: Int)] = []
    var clients: [Site] = []
    var servers: [Site] = []
    var uplinks: [Link] = []
    var downlinks: [Link] = []
    /// Every address a client has had; links carry indices into this.
    var addresses: [SocketAddress] = []
    /// What passed between the server and each of them.
    var dues: [Dues] = []
    var rehashCount = 0
    var serverStarts = 0
    var disturbances: [(at: Instant, kind: Disturbance)] = []
    let datagram = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    let packet = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    let outgoing = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    private var sabotage: Sabotage

    /// What an address has sent to the server and got from it.
    struct Dues {
        var sent = 0
        var got = 0
        /// Something of the server's has arrived there.
        var hasHeard = false
        /// Something that was sent from there afterwards has arrived at the server.
        var hasAnswered = false
    }

    /// Beside the index of an address: it had heard of the server when it sent this.
    static let heardTag: UInt64 = 1 << 32

    enum Disturbance {
        case rebind(client: Int)
        case restartClient(Int)
        case restartServer
        case rehash
    }

    /// A world before its first instant; `sabotage` makes one mistake on purpose.
    public init(_ scenario: Scenario, sabotage: Sabotage = .none) {
        self.scenario = scenario
        self.sabotage = sabotage
        self.dice = SeededGenerator(seed: scenario.seed ^ 0xA99)
        self.records = Array(repeating: StreamRecord(), count: scenario.streams.count)
        self.flowPhases = Array(repeating: (false, false), count: scenario.flows.count)
        self.nextServerSerials = Array(repeating: 0, count: scenario.flows.count)
        let none = Array(repeating: Array(repeating: UInt32(0), count: 16), count: 2)
        self.shortDatagrams = Array(repeating: none, count: scenario.flows.count)
        for number in scenario.clients.indices { self.addClient(number) }
        self.startServers()
        self.schedule()
    }

    deinit {
        self.datagram.deallocate()
        self.packet.deallocate()
        self.outgoing.deallocate()
    }

    func violate(_ text: String) {
        // Enough to see what is wrong; a broken engine would fill the memory.
        guard self.violations.count < 20 else { return }
        self.violations.append("at \(self.now.nanoseconds / 1_000) us: \(text)")
    }

    /// Whether the mistake to be made on purpose is `kind`; it is made once.
    func commits(_ kind: Sabotage) -> Bool {
        guard self.sabotage == kind else { return false }
        self.sabotage = .none
        return true
    }

    /// Tampers with bytes on their way to an application; returns how many there are now.
    func sabotageStream(_ bytes: UnsafeMutableRawBufferPointer, count: Int) -> Int {
        guard count > 0, count < bytes.count else { return count }
        if self.commits(.corruptStreamByte) { bytes[count / 2] ^= 0x10 }
        if self.commits(.dropStreamByte) { return count - 1 }
        if self.commits(.repeatStreamByte) {
            bytes[count] = bytes[count - 1]
            return count + 1
        }
        return count
    }

    // MARK: - Setting up

    private func entropy(_ salt: UInt64) -> EntropySource {
        .seeded(self.scenario.seed &* 0x2545_F491_4F6C_DD1D &+ salt)
    }

    private func mechanism(_ salt: UInt64) -> KeyEncapsulation {
        .standIn(seed: self.scenario.seed &* 0x9E37_79B9 &+ salt)
    }

    private func secretKey(_ number: Int) -> SecretKey {
        SecretKey(entropy: self.entropy(1_000_000 + UInt64(number)))
    }

    var limits: EngineLimits {
        var limits = EngineLimits()
        limits.streamBuffer = 256 * 1024
        // In some histories memory is short, and nothing may fail for that.
        if self.scenario.seed % 3 == 0 { limits.sessionBuffer = 512 * 1024 }
        limits.maximumStreams = 64
        limits.maximumFlows = 64
        return limits
    }

    private func addClient(_ number: Int) {
        let plan = self.scenario.clients[number]
        let seed = self.scenario.seed &* 31 &+ UInt64(number) &* 2
        self.uplinks.append(Link(impairment: plan.up.impairment, seed: seed))
        self.downlinks.append(Link(impairment: plan.down.impairment, seed: seed &+ 1))
        self.clients.append(Site(side: .client, number: number, engine: self.makeClient(number)))
        self.move(self.clients[number])
    }

    func makeClient(_ number: Int) -> Engine {
        var settings = ClientSettings(
            servers: [Self.serverAddress],
            serverPublicKey: self.secretKey(0).publicKey,
            privateKey: self.secretKey(1 + number)
        )
        settings.postQuantum = PostQuantumChoice(
            self.scenario.clients[number].postQuantum,
            by: self.mechanism(UInt64(number) &+ self.now.nanoseconds)
        )
        return Engine(
            client: settings,
            limits: self.limits,
            entropy: self.entropy(UInt64(number) &* 7 &+ self.now.nanoseconds),
            at: self.now
        )
    }

    /// Gives a client an address that nobody had before; now and then the host changes too.
    func move(_ client: Site) {
        let count = self.addresses.count
        let host = 0xC000_0200 + UInt32(client.number) + UInt32(count / 5 * 16)
        client.address = count
        self.addresses.append(SocketAddress(ipv4: host, port: UInt16(5_000 + count)))
        self.dues.append(Dues())
    }

    func startServers() {
        let peers = self.scenario.clients.indices.map { number in
            Peer(
                name: "client-\(number)",
                publicKey: self.secretKey(1 + number).publicKey,
                services: [Self.streamService, Self.flowService, "nowhere"]
            )
        }
        let directory = PeerDirectory(
            peers: peers,
            services: [
                .init(name: Self.streamService, serviceProtocol: .tcp, allowsCompression: true),
                .init(name: Self.forbiddenService, serviceProtocol: .tcp, allowsCompression: true),
                .init(name: Self.flowService, serviceProtocol: .udp, allowsCompression: true),
            ]
        )
        self.servers = (0..<self.scenario.workerCount).map { worker in
            var settings = ServerSettings(privateKey: self.secretKey(0), directory: directory)
            settings.postQuantum = PostQuantumChoice(
                self.scenario.postQuantum,
                by: self.mechanism(UInt64(900 + worker + 10 * self.serverStarts))
            )
            settings.worker = worker
            settings.workerCount = self.scenario.workerCount
            // A process that was killed has no successor: the next one knows nothing of it.
            settings.indexKey = self.scenario.seed &* 5 &+ UInt64(self.serverStarts)
            let salt = UInt64(500 + worker + 10 * self.serverStarts)
            let engine = Engine(
                server: settings,
                limits: self.limits,
                entropy: self.entropy(salt),
                at: self.now
            )
            return Site(side: .server, number: worker, engine: engine)
        }
    }

    private func schedule() {
        for (number, client) in self.scenario.clients.enumerated() {
            self.disturbances += client.rebindings.map { ($0, .rebind(client: number)) }
            if let restart = client.restart {
                self.disturbances.append((restart, .restartClient(number)))
            }
        }
        self.disturbances += self.scenario.rehashes.map { ($0, .rehash) }
        if let restart = self.scenario.serverRestart {
            self.disturbances.append((restart, .restartServer))
        }
        self.disturbances.sort { $0.at > $1.at }
    }
}

extension World.Statistics {
    /// Adds another history's counts.
    public mutating func add(_ other: Self) {
        self.steps += other.steps
        self.packets += other.packets
        self.packetsLost += other.packetsLost
        self.streamBytes += other.streamBytes
        self.streamsClosed += other.streamsClosed
        self.streamsReset += other.streamsReset
        self.datagramsSent += other.datagramsSent
        self.datagramsReceived += other.datagramsReceived
        self.sessions += other.sessions
        self.strengthened += other.strengthened
        self.moves += other.moves
        self.handovers += other.handovers
    }
}
