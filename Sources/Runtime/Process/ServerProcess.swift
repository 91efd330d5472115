public import Configuration
import Erasure
import Glibc
import LinuxIO
import Names
import Origin
import PostQuantum
import Primitives
import Recovery
import ReturnPath
import Sealing
import Session

/// A running `fairlead-server`.
///
/// Make it before any other thread is started: it blocks the signals it handles, and threads
/// inherit that.
public final class ServerProcess: Sendable {
    private typealias Loaded = LoadedConfiguration<ServerConfiguration>

    /// What it was started with.
    private let started: Loaded
    private let core: ProcessCore
    private let accounts = PeerAccounts()
    private let readAgain: @Sendable () -> ReloadOutcome<ServerConfiguration>
    /// Used by the control thread alone.
    nonisolated(unsafe) private var current: Loaded
    nonisolated(unsafe) private var resolver: Resolver?
    nonisolated(unsafe) private var monitor: HealthMonitor?
    nonisolated(unsafe) private var routes: RouteWatch?
    nonisolated(unsafe) private var listeners: [SocketAddress] = []
    nonisolated(unsafe) private var drained = DrainedBackends()
    nonisolated(unsafe) private var known: KnownNames = [:]
    nonisolated(unsafe) private var addresses: AddressWatch?
    nonisolated(unsafe) private var awaited = AwaitedAddresses()
    nonisolated(unsafe) private let fileWatch: ConfigurationWatch
    /// When the next key expires, and when that was last compared with the clock.
    nonisolated(unsafe) private var expiry: WallTime?
    nonisolated(unsafe) private var expiryCheckedAt = Instant(nanoseconds: 0)

    /// `reload` reads and checks the configuration file again; it is called on SIGHUP.
    ///
    /// `file`: its path, to be watched if the configuration wants that.
    public init(
        _ loaded: LoadedConfiguration<ServerConfiguration>,
        log: EventLog,
        file: String? = nil,
        reload: @escaping @Sendable () -> ReloadOutcome<ServerConfiguration>
    ) throws {
        self.started = loaded
        self.readAgain = reload
        self.current = loaded
        self.fileWatch = ConfigurationWatch(file)
        self.core = try ProcessCore(role: .server, log: log)
    }

    /// Serves until SIGTERM or SIGINT; returns the exit code.
    public func run() -> Int32 {
        defer { self.routes?.teardown() }
        return self.core.run(
            start: { try self.start() },
            reload: { self.reload() },
            resolved: { self.resolved($0) },
            chores: Chores(
                deadline: {
                    min(
                        self.routes?.deadline ?? .never,
                        self.expiryDeadline,
                        self.fileWatch.deadline
                    )
                },
                tend: { self.tend(at: $0) },
                drain: { self.drain($0) },
                obstacle: { self.routes?.obstacle }
            )
        )
    }

    private func resolved(_ news: KnownNames) {
        let news = self.withoutLoops(news)
        self.tellMembers(news)
        // The way back first: a backend is served only once it is proven.
        self.changeRoutes { $0.resolved(news, at: $1) }
        self.core.crew.post { _ in .resolved(news) }
        self.monitor?.post(.resolved(news))
    }

    /// Says which backends names have brought and taken.
    private func tellMembers(_ news: KnownNames) {
        let before = self.known
        self.known.merge(news) { _, new in new }
        for service in self.current.configuration.services
        where service.backends.contains(where: {
            $0.endpoint.isSource && news[$0.endpoint.description] != nil
        }) {
            let old = Self.places(of: service, before)
            let new = Self.places(of: service, self.known)
            guard old != new else { continue }
            self.core.log.info(
                "backends-changed",
                [
                    "service": service.name,
                    "joined": Self.list(new.subtracting(old)),
                    "left": Self.list(old.subtracting(new)),
                ]
            )
        }
    }

    private static func places(of service: Service, _ known: KnownNames) -> Set<String> {
        Set(Roster.members(of: service, known).filter { !$0.addresses.isEmpty }.map(\.name))
    }

    /// The first few, and how many there are besides.
    private static func list(_ names: Set<String>) -> String {
        let shown = names.sorted().prefix(16)
        let rest = names.count - shown.count
        return shown.joined(separator: ",") + (rest > 0 ? ",and \(rest) more" : "")
    }

    private func changeRoutes(_ change: (RouteWatch, Instant) -> Void) {
        guard let routes = self.routes else { return }
        change(routes, BootClock().now())
        guard let descriptor = routes.takeDescriptor() else { return }
        do {
            try self.core.control.watch(descriptor)
        } catch {
            self.core.log.error("routes-unwatched", ["cause": "\(error)"])
        }
    }

    private func tend(at now: Instant) {
        self.routes?.tend(at: now)
        self.expirePeers(at: now)
        if self.fileWatch.takeChange(at: now) { self.reload() }
        guard let addresses = self.addresses?.takeChange() else { return }
        self.awaited.arrived(addresses, log: self.core.log)
        let new = ServerPlan.ownAddresses(self.current.configuration)
        self.core.crew.post { _ in .ownAddresses(new) }
    }

    private func drain(_ request: DrainRequest) {
        let configuration = self.current.configuration
        let isDraining = request.isDraining
        let outcome = self.drained.change(
            request.name,
            isDraining: isDraining,
            configuration,
            self.known
        )
        if case .done = outcome {
            let names = self.drained.names
            self.core.crew.post { _ in .draining(names) }
            self.core.crew.settle()
            self.core.log.info(
                "backend-drain",
                [
                    "service": request.name.service, "backend": request.name.backend,
                    "draining": String(isDraining),
                ]
            )
        }
        request.answer(outcome)
    }

    /// Lets a backend get nobody new, or new ones again; from any thread, takes four seconds at
    /// most.
    public func drain(service: String, backend: String, isDraining: Bool) -> DrainOutcome {
        self.core.drain(service: service, backend: backend, isDraining: isDraining)
    }

    /// What the process knows of itself; callable from every thread, takes half a second at most.
    public func statusSnapshot() -> ProcessStatus { self.core.status() }

    /// The same as SIGHUP, from any thread.
    public func requestReload() { self.core.control.post(.reload) }

    /// The same as SIGTERM, from any thread.
    public func requestShutdown() { self.core.control.post(.terminate) }

    private var configuration: ServerConfiguration { self.started.configuration }

    // MARK: Starting

    private func start() throws -> [SocketAddress] {
        let workers = self.configuration.transport.workers
        let sockets = try self.bind(workers: workers)
        self.listeners = sockets[0].map(\.localAddress)
        try self.refuseLoops(self.configuration)
        self.watchAddresses()
        self.watchFile()
        let plan = ServerPlan(self.current, at: .now())
        self.expiry = plan.nextExpiry
        let mailboxes = try (0..<workers).map { _ in try Mailbox() }
        let indexKey: UInt64 = EntropySource.kernel().next()
        let now = BootClock().now()
        let crew = self.core.crew
        let control = self.core.control
        let resolver = try Resolver(log: self.core.log) { control.post(.resolved($0)) }
        let monitor = try HealthMonitor(log: self.core.log, resolver: resolver) { news in
            crew.post { _ in .backendNews(news) }
        }
        self.monitor = monitor
        let routes = RouteWatch(
            self.configuration,
            ownPorts: Array(Set(sockets[0].map(\.localAddress.port))).sorted(),
            flowLimit: self.configuration.limits.maximumFlows * workers,
            log: self.core.log,
            interrupt: ProbeInterrupt(
                descriptor: self.core.control.signalDescriptor,
                isWanted: { [control = self.core.control] in control.isEnding }
            )
        )
        self.routes = routes
        self.core.log.warn(self.configuration.warnings)
        self.changeRoutes { $0.adopt(self.configuration, at: $1) }
        let parts = (0..<workers).map { worker in
            WorkerParts(
                index: worker,
                engine: Engine(
                    server: self.settings(plan, worker, indexKey),
                    limits: DescriptorBudget.limits(self.configuration.limits, workers: workers),
                    entropy: .kernel(),
                    at: now
                ),
                tunnel: sockets[worker],
                mailboxes: mailboxes,
                log: self.core.log,
                side: .server,
                monitor: monitor,
                resolver: resolver,
                dialer: routes.dialer,
                pseudonyms: self.pseudonyms
            )
        }
        try self.core.crew.start(parts, control: self.core.control)
        self.core.crew.post { _ in .server(plan) }
        try monitor.watch(plan.services)
        try resolver.watch(ServerPlan.names(self.configuration))
        self.resolver = resolver
        return sockets[0].map(\.localAddress)
    }

    /// The same after every restart, so that bans hold, and known to nobody else.
    private var pseudonyms: HashKey {
        let words = self.current.privateKey.derived("fairlead pseudo-ipv4")
        return HashKey(first: words.first, second: words.second)
    }

    private func watchAddresses() {
        do throws(IOError) {
            let watch = try AddressWatch()
            try self.core.control.watch(watch.descriptor)
            self.addresses = watch
            self.awaited.arrived(ownAddresses(), log: self.core.log)
        } catch {
            // Without netlink a reload reads them again, which is what there was before.
            self.core.log.warning("addresses-unwatched", ["cause": "\(error)"])
        }
    }

    private func watchFile() {
        let isWanted = self.current.configuration.reloadsOnChange
        self.fileWatch.want(isWanted, by: self.core.control, log: self.core.log)
    }

    private func settings(_ plan: ServerPlan, _ worker: Int, _ indexKey: UInt64) -> ServerSettings {
        var settings = ServerSettings(
            privateKey: self.current.privateKey,
            directory: plan.directory
        )
        let transport = self.configuration.transport
        settings.cipher = transport.cipher
        settings.postQuantum = PostQuantumChoice(transport.postQuantum, by: .mlKEM768)
        settings.maximumPacketSize = transport.maximumPacketSize
        settings.congestion = transport.congestion
        settings.redundancy = transport.redundancy
        settings.worker = worker
        settings.workerCount = transport.workers
        settings.indexKey = indexKey
        settings.maximumSessions = self.configuration.limits.maximumSessions
        settings.accounts = { [accounts] key in accounts.account(of: key) }
        return settings
    }

    /// The tunnel's sockets, by worker and then by listen address.
    private func bind(workers: Int) throws(StartFailure) -> [[UDPSocket]] {
        var sockets: [[UDPSocket]] = Array(repeating: [], count: workers)
        var missing: StartFailure?
        for wanted in self.configuration.listen {
            do throws(IOError) {
                let group = try self.bind(wanted, workers: workers)
                if group[0].isAhead { self.awaited.add("udp", wanted, log: self.core.log) }
                for (worker, socket) in group.enumerated() { sockets[worker].append(socket) }
            } catch {
                let failure = StartFailure(binding: wanted, "udp", error)
                guard error.code == EAFNOSUPPORT else { throw failure }
                self.core.log.skipped(wanted, "udp")
                missing = failure
            }
        }
        if let missing, sockets[0].isEmpty { throw missing }
        return sockets
    }

    private func bind(
        _ wanted: SocketAddress,
        workers: Int
    ) throws(IOError) -> [UDPSocket] {
        var address = wanted
        var group: [UDPSocket] = []
        for worker in 0..<workers {
            var options = UDPOptions()
            options.sharing = workers == 1 ? .exclusive : worker == 0 ? .first : .further
            options.forbidsFragments = true
            options.awaitsAddress = true
            options.reportsDestination = wanted.isWildcard
            options.isDualStack = !self.configuration.listen.contains {
                $0.isIPv4 && $0.port == wanted.port && $0.port != 0
            }
            let socket = try UDPSocket(binding: address, options: options)
            address = socket.localAddress
            group.append(socket)
        }
        return group
    }

    // MARK: Keys that expire

    /// When the wall clock has to be read again.
    ///
    /// It may be set at any time: no sleep to the moment itself would be sure to end in time.
    private var expiryDeadline: Instant {
        self.expiry == nil ? .never : self.expiryCheckedAt + .seconds(1)
    }

    /// Turns away whose key has expired.
    private func expirePeers(at now: Instant) {
        guard let expiry = self.expiry, self.expiryDeadline <= now else { return }
        self.expiryCheckedAt = now
        guard expiry <= .now() else { return }
        _ = self.postPlan()
    }

    /// Gives the workers what the configuration means at this moment.
    private func postPlan() -> ServerPlan {
        let plan = ServerPlan(self.current, draining: self.drained.names, at: .now())
        self.expiry = plan.nextExpiry
        self.core.crew.post { _ in .server(plan) }
        return plan
    }

    // MARK: Reloading

    private func reload() {
        switch self.readAgain() {
        case .refused(let lines):
            for line in lines { self.core.log.error("reload-refused", ["cause": line]) }
        case .configuration(let new):
            self.adopt(new)
        }
    }

    private func refuseLoops(_ configuration: ServerConfiguration) throws(StartFailure) {
        let backends = configuration.services.filter { $0.transportProtocol == .udp }
            .flatMap(\.backends).flatMap(\.literals)
        try OwnListeners(self.listeners).refuse(backends, "a backend")
    }

    /// A name that leads back into this process leads nowhere.
    private func withoutLoops(_ news: KnownNames) -> KnownNames {
        let own = OwnListeners(self.listeners)
        let services = self.current.configuration.services
        let datagramBackends = Set(
            services.filter { $0.transportProtocol == .udp }.flatMap(\.backends)
                .map(\.endpoint.description)
        )
        var kept = news
        for (name, answer) in news where datagramBackends.contains(name) {
            for loop in answer.addresses where own.contains(loop) {
                let failure = StartFailure(loop: loop, "the backend \(name)")
                self.core.log.error("backend-ignored", ["cause": failure.description])
            }
            kept[name]?.places.removeAll { own.contains($0.address) }
        }
        return kept
    }

    private func adopt(_ new: Loaded) {
        do throws(StartFailure) {
            try self.refuseLoops(new.configuration)
        } catch {
            return self.core.log.error("reload-refused", ["cause": error.description])
        }
        self.core.log.warn(new.configuration.warnings)
        let changes = ServerReload(from: self.current, to: new, running: self.started)
        self.current = new
        self.watchFile()
        self.drained.adopt(new.configuration)
        self.changeRoutes { $0.adopt(new.configuration, at: $1) }
        let plan = self.postPlan()
        let policy = new.configuration.transport.postQuantum
        self.core.crew.post { _ in .postQuantum(policy) }
        do {
            try self.monitor?.watch(plan.services)
        } catch {
            self.core.log.error("health-failed", ["cause": "\(error)"])
        }
        do {
            try self.resolver?.watch(ServerPlan.names(new.configuration))
        } catch {
            self.core.log.error("resolver-failed", ["cause": "\(error)"])
        }
        // Whoever reads that line finds the new state of things, listeners included.
        self.core.crew.settle()
        self.core.log.reloaded(changes.applied, waiting: changes.needsRestart)
    }
}

extension EventLog {
    /// Tells what a configuration hardly means.
    func warn(_ warnings: [String]) {
        for cause in warnings { self.warning("configuration-warning", ["cause": cause]) }
    }
}
