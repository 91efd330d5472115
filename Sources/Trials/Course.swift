import Netem
import Primitives
import Recovery
import Sealing
import Session

/// Runs a ``Trial``: engines, links and applications in one thread of virtual time.
public final class Course {
    /// One engine of a tunnel.
    final class Site {
        let tunnel: Int
        let isClient: Bool
        let engine: Engine
        var loads: [LoadEnd] = []
        /// Which load a stream or flow belongs to, by slot.
        var streamLoads: [UInt32: Int] = [:]
        var flowLoads: [UInt32: Int] = [:]
        private var armedFor = Instant.never
        private(set) var firesAt = Instant.never

        init(tunnel: Int, isClient: Bool, engine: Engine) {
            self.tunnel = tunnel
            self.isClient = isClient
            self.engine = engine
        }

        func arm(lateness: Instant.Interval, _ random: inout SeededGenerator) {
            let deadline = self.engine.deadline
            guard deadline != self.armedFor else { return }
            self.armedFor = deadline
            let late = random.below(lateness.nanoseconds + 1)
            self.firesAt = deadline + Instant.Interval(nanoseconds: late)
        }

        func fired() {
            self.armedFor = .never
            self.firesAt = .never
        }
    }

    /// One end of one load.
    struct LoadEnd {
        var stream: StreamHandle?
        var flow: FlowHandle?
        /// Bytes of an echo that came back.
        var returned: UInt64 = 0
        var nextMessageAt = Instant.never
        var nextMessage: UInt64 = 0
        var firstMessageAt = Instant.never
        /// Bytes of messages that the engine had no room for.
        var backlog = 0
        var isOpened = false
    }

    static let epoch = Instant(nanoseconds: 1_000_000_000)
    static let headerByteCount: UInt64 = 28

    let trial: Trial
    var now = Course.epoch
    var outcome: Outcome
    var sites: [Site] = []
    var links: [Link] = []
    private var random: SeededGenerator
    private var nextStep = 0
    var isMeasuring = false
    private var measuredFrom = Course.epoch
    private var queueSums = [0.0, 0.0]
    private var queueCounts = [0, 0]
    /// How long the newest packet of each direction waited at the bottleneck, in milliseconds.
    private(set) var latestQueue = [0.0, 0.0]
    private var before: [LinkCounters] = []
    let payload = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 64)
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 64)
    private let packet = UnsafeMutableRawBufferPointer.allocate(byteCount: 2_048, alignment: 64)

    /// A course before its first instant; links, keys and applications draw from `seed`.
    public init(_ trial: Trial, seed: UInt64) {
        self.trial = trial
        self.random = SeededGenerator(seed: seed ^ 0x5EED)
        self.outcome = Outcome(
            tallies: trial.tunnels.map { $0.loads.map { _ in Tally() } }
        )
        for direction in 0..<2 as Range<UInt64> {
            let seed = seed &* 0x9E37_79B9 &+ direction
            self.links.append(Link(impairment: trial.path, seed: seed, capacity: 16_384))
        }
        self.payload.initializeMemory(as: UInt8.self, repeating: 0x5A)
        for (index, tunnel) in trial.tunnels.enumerated() {
            self.add(tunnel, index, entropy: .seeded(seed &* 77 &+ UInt64(index)))
        }
    }

    deinit {
        self.payload.deallocate()
        self.buffer.deallocate()
        self.packet.deallocate()
    }

    private func serverAddress(_ tunnel: Int) -> SocketAddress {
        SocketAddress(ipv4: 0xC633_6401 + UInt32(tunnel), port: 4_600)
    }

    private func clientAddress(_ tunnel: Int) -> SocketAddress {
        SocketAddress(ipv4: 0xC000_0201 + UInt32(tunnel), port: 5_000)
    }

    private func add(_ tunnel: Trial.Tunnel, _ index: Int, entropy: EntropySource) {
        let serverKey = SecretKey(entropy: entropy)
        let clientKey = SecretKey(entropy: entropy)
        let directory = PeerDirectory(
            peers: [Peer(name: "edge", publicKey: clientKey.publicKey, services: ["*"])],
            services: [
                .init(name: "s", serviceProtocol: .tcp, allowsCompression: false),
                .init(name: "s", serviceProtocol: .udp, allowsCompression: false),
            ]
        )
        var server = ServerSettings(privateKey: serverKey, directory: directory)
        server.congestion = tunnel.congestion
        var client = ClientSettings(
            servers: [self.serverAddress(index)],
            serverPublicKey: serverKey.publicKey,
            privateKey: clientKey
        )
        client.congestion = tunnel.congestion
        let limits = EngineLimits()
        let near = Engine(client: client, limits: limits, entropy: entropy, at: self.now)
        let far = Engine(server: server, limits: limits, entropy: entropy, at: self.now)
        for site in [
            Site(tunnel: index, isClient: true, engine: near),
            Site(tunnel: index, isClient: false, engine: far),
        ] {
            site.loads = tunnel.loads.map { _ in LoadEnd() }
            self.sites.append(site)
        }
        for (number, load) in tunnel.loads.enumerated() {
            self.sites[2 * index].loads[number].nextMessageAt = Self.epoch + load.startsAt
        }
    }

    /// Runs the whole trial.
    public func run() -> Outcome {
        let start = Self.epoch + self.trial.warmUp
        let end = start + self.trial.duration
        self.advance(to: start)
        self.beginMeasurement()
        self.advance(to: end)
        self.endMeasurement()
        // What is under way may still arrive.
        self.advance(to: end + .milliseconds(1_500))
        for tunnel in self.outcome.tallies.indices {
            for load in self.outcome.tallies[tunnel].indices {
                self.outcome.tallies[tunnel][load].latencies.sort()
            }
        }
        return self.outcome
    }

    func tally(_ tunnel: Int, _ load: Int, _ change: (inout Tally) -> Void) {
        change(&self.outcome.tallies[tunnel][load])
    }

    /// Whether a message that was due at `time` counts.
    func counts(_ time: Instant) -> Bool {
        let start = Self.epoch + self.trial.warmUp
        return time >= start && time < start + self.trial.duration
    }

    func beginMeasurement() {
        self.isMeasuring = true
        self.measuredFrom = self.now
        self.before = self.links.map(\.counters)
        for tunnel in self.outcome.tallies.indices {
            for load in self.outcome.tallies[tunnel].indices {
                self.outcome.tallies[tunnel][load].lastAt = self.now.nanoseconds
            }
        }
    }

    private func endMeasurement() {
        self.isMeasuring = false
        for direction in 0..<2 {
            let counters = self.links[direction].counters
            let old = self.before[direction]
            self.outcome.wireBytes[direction] =
                counters.bytesSent - old.bytesSent
                + (counters.sent - old.sent) * Self.headerByteCount
            self.outcome.packetsLost[direction] = counters.lost - old.lost
            self.outcome.dropped += counters.droppedByQueue - old.droppedByQueue
            self.outcome.meanQueue[direction] =
                self.queueSums[direction] / Double(max(self.queueCounts[direction], 1))
        }
        for site in self.sites {
            let counters = site.engine.snapshot(at: self.now).counters
            self.outcome.redundancyBytes += counters.redundancyBytes
        }
    }

    // MARK: - Time

    func advance(to end: Instant) {
        while true {
            let next = self.nextEvent()
            guard next <= end else { break }
            self.account(until: next)
            self.now = max(self.now, next)
            self.takeSteps()
            self.deliver()
            for site in self.sites {
                self.startLoads(site)
                if site.firesAt <= self.now {
                    site.fired()
                    site.engine.wake(at: self.now)
                    self.serve(site)
                }
            }
        }
        self.account(until: end)
        self.now = end
    }

    private func account(until next: Instant) {
        guard self.isMeasuring else { return }
        let span = Double(next.since(self.now).nanoseconds) * 1e-9
        self.outcome.capacity += span * Double(self.links[0].impairment.bitsPerSecond) / 8
    }

    private func nextEvent() -> Instant {
        var next = min(self.links[0].deadline, self.links[1].deadline)
        for site in self.sites {
            next = min(next, site.firesAt)
            for load in site.loads { next = min(next, load.nextMessageAt) }
        }
        if self.nextStep < self.trial.steps.count {
            next = min(next, Self.epoch + self.trial.steps[self.nextStep].at)
        }
        return next
    }

    private func takeSteps() {
        while self.nextStep < self.trial.steps.count {
            let step = self.trial.steps[self.nextStep]
            guard Self.epoch + step.at <= self.now else { break }
            for link in self.links { link.impairment.bitsPerSecond = step.megabits * 1_000_000 }
            self.nextStep += 1
        }
        if let narrowing = self.trial.narrowing, Self.epoch + narrowing.at <= self.now {
            for link in self.links {
                link.impairment.maximumPacketByteCount = narrowing.byteCount
            }
        }
    }

    private func deliver() {
        for direction in 0..<2 {
            while let delivery = self.links[direction].nextDelivery(at: self.now) {
                let tunnel = Int(delivery.tag >> 56)
                self.noteQueue(delivery, direction)
                let bytes = UnsafeMutableRawBufferPointer(
                    rebasing: self.packet[..<delivery.bytes.count]
                )
                bytes.copyMemory(from: delivery.bytes)
                let site = self.sites[2 * tunnel + (direction == 0 ? 1 : 0)]
                let source =
                    direction == 0 ? self.clientAddress(tunnel) : self.serverAddress(tunnel)
                site.engine.receive(bytes, from: source, at: self.now)
                self.serve(site)
            }
        }
    }

    private func noteQueue(_ delivery: Link.Delivery, _ direction: Int) {
        guard self.isMeasuring, delivery.bytes.count > 600 else { return }
        let sentAt = Instant(nanoseconds: delivery.tag & (1 << 56 - 1))
        let transit = delivery.due.since(sentAt + self.trial.path.delay)
        let bits = Double(UInt64(delivery.bytes.count) + Self.headerByteCount) * 8
        let rate = Double(max(self.links[direction].impairment.bitsPerSecond, 1))
        let wait = max(0, Double(transit.nanoseconds) / 1e6 - bits / rate * 1000)
        self.queueSums[direction] += wait
        self.queueCounts[direction] += 1
        self.latestQueue[direction] = wait
        self.outcome.greatestQueue[direction] = max(self.outcome.greatestQueue[direction], wait)
    }

    /// Takes every output of an engine, and lets its applications react.
    func serve(_ site: Site) {
        self.runApplications(site)
        let direction = site.isClient ? 0 : 1
        while let transmit = site.engine.nextTransmit(into: self.buffer, at: self.now) {
            var start = 0
            while start < transmit.byteCount {
                let end = min(start + transmit.segmentSize, transmit.byteCount)
                let bytes = UnsafeRawBufferPointer(rebasing: self.buffer[start..<end])
                let tag = UInt64(site.tunnel) << 56 | self.now.nanoseconds
                self.links[direction].send(bytes, tag: tag, at: self.now)
                start = end
            }
            // What left may have made room.
            self.runApplications(site)
        }
        site.arm(lateness: self.trial.lateness, &self.random)
    }
}
