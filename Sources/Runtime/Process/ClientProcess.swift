public import Configuration
import Erasure
import Glibc
import LinuxIO
import Names
import PostQuantum
import Primitives
import Recovery
import ReturnPath
import Session

/// A running `fairlead-client`.
///
/// Make it before any other thread is started: it blocks the signals it handles, and threads
/// inherit that.
public final class ClientProcess: Sendable {
    private typealias Loaded = LoadedConfiguration<ClientConfiguration>

    /// What it was started with.
    private let started: Loaded
    private let core: ProcessCore
    private let readAgain: @Sendable () -> ReloadOutcome<ClientConfiguration>
    /// The rest is used by the control thread alone.
    nonisolated(unsafe) private var current: Loaded
    nonisolated(unsafe) private var bound: [ClientPlan.Place: SocketAddress] = [:]
    nonisolated(unsafe) private var resolver: Resolver?
    /// What names lead to, in the order to be tried, which chance decides once.
    nonisolated(unsafe) private var orders: [String: [[SocketAddress]]] = [:]
    nonisolated(unsafe) private var addresses: AddressWatch?
    nonisolated(unsafe) private var awaited = AwaitedAddresses()
    nonisolated(unsafe) private let fileWatch: ConfigurationWatch

    /// `reload` reads and checks the configuration file again; it is called on SIGHUP.
    ///
    /// `file`: its path, to be watched if the configuration wants that.
    public init(
        _ loaded: LoadedConfiguration<ClientConfiguration>,
        log: EventLog,
        file: String? = nil,
        reload: @escaping @Sendable () -> ReloadOutcome<ClientConfiguration>
    ) throws {
        self.started = loaded
        self.readAgain = reload
        self.current = loaded
        self.fileWatch = ConfigurationWatch(file)
        self.core = try ProcessCore(role: .client, log: log)
    }

    /// Runs until SIGTERM or SIGINT; returns the exit code.
    public func run() -> Int32 {
        self.core.run(
            start: { try self.start() },
            reload: { self.reload() },
            resolved: { self.resolved($0) },
            chores: Chores(
                deadline: { self.fileWatch.deadline },
                tend: { self.tend(at: $0) }
            )
        )
    }

    /// What the process knows of itself; callable from every thread, takes half a second at most.
    public func statusSnapshot() -> ProcessStatus { self.core.status() }

    /// The same as SIGHUP, from any thread.
    public func requestReload() { self.core.control.post(.reload) }

    /// The same as SIGTERM, from any thread.
    public func requestShutdown() { self.core.control.post(.terminate) }

    private var configuration: ClientConfiguration { self.started.configuration }

    // MARK: Addresses of this machine

    private func watchAddresses() {
        do throws(IOError) {
            let watch = try AddressWatch()
            try self.core.control.watch(watch.descriptor)
            self.addresses = watch
        } catch {
            // Without netlink those of the start count.
            self.core.log.warning("addresses-unwatched", ["cause": "\(error)"])
        }
        self.postAddresses(ownAddresses())
    }

    private func postAddresses(_ addresses: [SocketAddress]) {
        self.core.crew.post { _ in .ownAddresses(addresses) }
        self.awaited.arrived(addresses, log: self.core.log)
    }

    private func tend(at now: Instant) {
        if self.fileWatch.takeChange(at: now) { self.reload() }
        guard let addresses = self.addresses?.takeChange() else { return }
        self.postAddresses(addresses)
    }

    private func watchFile() {
        let isWanted = self.current.configuration.reloadsOnChange
        self.fileWatch.want(isWanted, by: self.core.control, log: self.core.log)
    }

    // MARK: Starting

    private func start() throws -> [SocketAddress] {
        let workers = self.configuration.transport.workers
        let plan = ClientPlan(self.configuration)
        let listeners = try self.bind(plan.places, of: plan, workers: workers)
        for listener in listeners[0] { self.bound[listener.place] = listener.localAddress }
        try self.ownListeners.refuse(
            self.configuration.servers.compactMap(\.literal),
            "the tunnel's server"
        )
        let mailboxes = try (0..<workers).map { _ in try Mailbox() }
        let control = self.core.control
        let resolver = try Resolver(log: self.core.log) { control.post(.resolved($0)) }
        let now = BootClock().now()
        let parts = try (0..<workers).map { worker in
            WorkerParts(
                index: worker,
                engine: Engine(
                    client: self.settings(worker),
                    limits: EngineLimits(self.configuration.limits),
                    entropy: .kernel(),
                    at: now
                ),
                tunnel: [try self.tunnelSocket()],
                mailboxes: mailboxes,
                log: self.core.log,
                side: .client,
                resolver: resolver
            )
        }
        try self.core.crew.start(parts, control: self.core.control)
        self.watchAddresses()
        self.watchFile()
        self.core.crew.post { .client(plan, newListeners: Handover(listeners[$0])) }
        self.core.log.warn(self.configuration.warnings)
        self.checkTransparentRoutes(self.configuration)
        try resolver.watch(self.configuration.servers)
        self.resolver = resolver
        return listeners[0].map(\.localAddress)
    }

    private func settings(_ worker: Int) -> ClientSettings {
        var settings = ClientSettings(
            servers: [],
            serverPublicKey: self.configuration.serverPublicKey,
            privateKey: self.current.privateKey
        )
        settings.servers = self.servers(of: self.configuration)
        settings.presharedKey = self.current.presharedKey
        let transport = self.configuration.transport
        settings.cipher = transport.cipher
        settings.connectTimeout = transport.connectTimeout
        settings.postQuantum = PostQuantumChoice(transport.postQuantum, by: .mlKEM768)
        settings.maximumPacketSize = transport.maximumPacketSize
        settings.congestion = transport.congestion
        settings.redundancy = transport.redundancy
        settings.worker = worker
        settings.wallClockOffset = Self.wallClockOffset()
        return settings
    }

    /// Wall-clock time minus the loop's own, in milliseconds.
    private static func wallClockOffset() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let wall = UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
        return wall &- BootClock().now().nanoseconds / 1_000_000
    }

    /// One socket for both families, or for IPv4 where the machine has no IPv6.
    private func tunnelSocket() throws(StartFailure) -> UDPSocket {
        var options = UDPOptions()
        options.forbidsFragments = true
        do throws(IOError) {
            return try UDPSocket(binding: .anyIPv6(port: 0), options: options)
        } catch {
            guard error.code == EAFNOSUPPORT || error.code == EADDRNOTAVAIL else {
                throw StartFailure(wanted: "cannot open the tunnel's UDP socket", error)
            }
        }
        do throws(IOError) {
            return try UDPSocket(binding: .anyIPv4(port: 0), options: options)
        } catch {
            throw StartFailure(wanted: "cannot open the tunnel's UDP socket", error)
        }
    }

    /// Binds places, by worker.
    ///
    /// Skips what is of a family that the kernel lacks, where the same forward has another place.
    private func bind(
        _ places: [ClientPlan.Place],
        of plan: ClientPlan,
        workers: Int
    ) throws(StartFailure) -> [[LocalListener]] {
        var listeners: [[LocalListener]] = Array(repeating: [], count: workers)
        for place in places {
            let kind = place.transportProtocol.rawValue
            do throws(IOError) {
                let group = try LocalListener.bind(
                    place,
                    workers: workers,
                    isDualStack: plan.isDualStack(place)
                )
                if group[0].isAhead { self.awaited.add(kind, place.address, log: self.core.log) }
                for (worker, listener) in group.enumerated() { listeners[worker].append(listener) }
            } catch {
                guard error.code == EAFNOSUPPORT, plan.hasOtherFamily(than: place) else {
                    throw StartFailure(binding: place.address, kind, error)
                }
                self.core.log.skipped(place.address, kind)
            }
        }
        return listeners
    }

    private var ownListeners: OwnListeners {
        OwnListeners(self.bound.filter { $0.key.transportProtocol == .udp }.map(\.value))
    }

    /// Says what is missing where players' packets cannot reach a transparent listener.
    private func checkTransparentRoutes(_ configuration: ClientConfiguration) {
        let listeners = configuration.transparentListeners
        for isIPv6 in [false, true] {
            let isWanted = listeners.contains { isIPv6 ? $0.hearsIPv6 : $0.hearsIPv4 }
            guard isWanted, (try? TransparentInput.isRouted(isIPv6: isIPv6)) == false else {
                continue
            }
            self.core.log.warning(
                "transparent-route-missing",
                [
                    "family": isIPv6 ? "ipv6" : "ipv4",
                    "cause": "packets for transparent forwards are not led to this process",
                    "cure": "run the commands of: fairlead routes print --client FILE",
                ]
            )
        }
    }

    // MARK: Names

    /// Of one server; nobody has more ways that deserve a try each time.
    private static let addressLimit = 8

    /// The servers in the order of the file, as far as names are known, each with its addresses.
    private func servers(of configuration: ClientConfiguration) -> [[SocketAddress]] {
        configuration.servers.flatMap { endpoint in
            endpoint.literal.map { [[$0]] } ?? self.orders[endpoint.description] ?? []
        }
    }

    private func resolved(_ news: KnownNames) {
        let own = self.ownListeners
        for (name, answer) in news {
            for loop in answer.addresses where own.contains(loop) {
                let failure = StartFailure(loop: loop, "the tunnel's server \(name)")
                self.core.log.error("server-refused", ["cause": failure.description])
            }
            var kept = answer
            kept.places.removeAll { own.contains($0.address) }
            self.orders[name] = kept.servers { EntropySource.kernel().next() }
                .map { Array($0.prefix(Self.addressLimit)) }
        }
        self.postServers()
    }

    private func postServers() {
        let servers = self.servers(of: self.current.configuration)
        self.core.crew.post { _ in .tunnelServers(servers) }
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

    /// A socket is transparent or not from the moment it is bound, and its port is taken.
    private func refuseToggles(_ places: [ClientPlan.Place]) throws(StartFailure) {
        for place in places {
            var twin = place
            twin.isTransparent.toggle()
            guard self.bound[twin] != nil else { continue }
            throw StartFailure(toggling: place.address)
        }
    }

    private func adopt(_ new: Loaded) {
        let plan = ClientPlan(new.configuration)
        let fresh: [[LocalListener]]
        do throws(StartFailure) {
            let places = plan.places.filter { self.bound[$0] == nil }
            try self.refuseToggles(places)
            fresh = try self.bind(places, of: plan, workers: self.core.crew.count)
        } catch {
            return self.core.log.error("reload-refused", ["cause": error.description])
        }
        let changes = ClientReload(from: self.current, to: new, running: self.started)
        self.current = new
        self.watchFile()
        self.core.crew.post { .client(plan, newListeners: Handover(fresh[$0])) }
        self.bound = self.bound.filter { plan.forwards[$0.key] != nil }
        for listener in fresh[0] { self.bound[listener.place] = listener.localAddress }
        self.awaited.keep { kind, address in
            plan.places.contains { $0.address == address && $0.transportProtocol.rawValue == kind }
        }
        if changes.changedKeys.contains("server") { self.postServers() }
        let presharedKey = new.presharedKey
        self.core.crew.post { _ in .presharedKey(presharedKey) }
        let policy = new.configuration.transport.postQuantum
        self.core.crew.post { _ in .postQuantum(policy) }
        do {
            try self.resolver?.watch(new.configuration.servers)
        } catch {
            self.core.log.error("resolver-failed", ["cause": "\(error)"])
        }
        self.core.log.warn(new.configuration.warnings)
        self.checkTransparentRoutes(new.configuration)
        // Whoever reads that line finds the new state of things, listeners included.
        self.core.crew.settle()
        self.core.log.reloaded(changes.applied, waiting: changes.needsRestart)
    }
}
