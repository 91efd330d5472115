public import LinuxIO
public import Primitives
public import Session

/// What a running process knows of itself at one moment, for metrics, status and health pages.
public struct ProcessStatus: Sendable {
    /// Which end of the tunnel the process is.
    public enum Role: String, Sendable {
        /// The end near the players, or that near the backends.
        case client, server
    }

    /// Which end of the tunnel this is.
    public var role: Role
    /// How long the process has run.
    public var uptime: Instant.Interval
    /// Whether it can do its work: a server's sockets are bound, a client has a session.
    public var isReady: Bool
    /// Why not, if so.
    public var reason: String
    /// The addresses it listens on.
    public var listen: [SocketAddress]
    /// Every session of every worker.
    public var sessions: [SessionSnapshot]
    /// Each service with the sums over all workers.
    public var services: [ServiceTally]
    /// Without ``EngineCounters/drops``, which are in ``drops``.
    public var counters: EngineCounters
    /// What the tunnel's sockets of all workers could not do.
    public var tunnelSockets: UDPCounters
    /// What was thrown away, the engines' drops included, by the metric's `reason` label.
    public var drops: [(reason: String, count: UInt64)]
    /// TCP streams open now, over all workers.
    public var streams: Int
    /// UDP flows open now, over all workers.
    public var flows: Int
    /// What buffers of streams and queues of datagrams hold.
    public var bufferedByteCount: Int
    /// What peers make this process hold, by their accounts.
    public var heldByteCount: Int
    /// Whom a server has turned away lately, the latest first.
    public var refusals: [RefusalTally] = []
}

extension ProcessStatus {
    /// Adds up what the workers say.
    init(role: Role, uptime: Instant.Interval, listen: [SocketAddress]) {
        self.role = role
        self.uptime = uptime
        self.isReady = false
        self.reason = "starting"
        self.listen = listen
        self.sessions = []
        self.services = []
        self.counters = EngineCounters()
        self.tunnelSockets = UDPCounters()
        self.drops = []
        self.streams = 0
        self.flows = 0
        self.bufferedByteCount = 0
        self.heldByteCount = 0
    }

    mutating func add(_ worker: WorkerSnapshot) {
        self.sessions += worker.engine.sessions
        self.streams += worker.engine.streams
        self.flows += worker.engine.flows
        self.bufferedByteCount += worker.engine.bufferedByteCount
        self.heldByteCount += worker.engine.heldByteCounts.reduce(0, +)
        EngineCounters.metrics.add(worker.engine.counters, to: &self.counters)
        self.tunnelSockets = self.tunnelSockets + worker.tunnelSockets
        for service in worker.services { self.add(service) }
        self.add(worker.refusals)
        let engineDrops = DropReason.allCases.map {
            (reason: $0.label, count: worker.engine.counters.drops[$0])
        }
        for drop in engineDrops + worker.drops {
            if let index = self.drops.firstIndex(where: { $0.reason == drop.reason }) {
                self.drops[index].count &+= drop.count
            } else {
                self.drops.append(drop)
            }
        }
    }

    private mutating func add(_ refusals: [RefusalTally]) {
        var ledger = RefusalLedger()
        ledger.add(self.refusals)
        ledger.add(refusals)
        self.refusals = ledger.tallies
    }

    private mutating func add(_ tally: ServiceTally) {
        var tally = tally
        tally.backends.removeAll { $0.isGone && $0.streams == 0 && $0.flows == 0 }
        guard let index = self.services.firstIndex(where: { $0.name == tally.name }) else {
            return self.services.append(tally)
        }
        ServiceTally.metrics.add(tally, to: &self.services[index])
        for backend in tally.backends {
            let place = self.services[index].backends.firstIndex { $0.address == backend.address }
            guard let place else {
                self.services[index].backends.append(backend)
                continue
            }
            BackendTally.metrics.add(backend, to: &self.services[index].backends[place])
            // Workers agree but for the moment it takes to tell each other.
            if backend.isDraining { self.services[index].backends[place].isDraining = true }
            if !backend.isUp { self.services[index].backends[place].isUp = false }
        }
    }
}
