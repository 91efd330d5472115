public import Configuration
import Glibc
import LinuxIO
import Primitives
import Recovery
public import Sealing
import Session

/// A running `fairlead-client`.
///
/// Make it before any other thread is started: it blocks the signals it handles, and threads
/// inherit that.
public final class ClientProcess: Sendable {
    private let configuration: ClientConfiguration
    private let privateKey: SecretKey
    private let core: ProcessCore
    private let readAgain: @Sendable () -> ReloadOutcome<ClientConfiguration>
    /// The rest is used by the control thread alone.
    nonisolated(unsafe) private var current: ClientConfiguration
    nonisolated(unsafe) private var bound: [ClientPlan.Place: SocketAddress] = [:]
    nonisolated(unsafe) private var resolver: Resolver?
    nonisolated(unsafe) private var known: [String: [SocketAddress]] = [:]

    /// `reload` reads and checks the configuration file again; it is called on SIGHUP.
    public init(
        configuration: ClientConfiguration,
        privateKey: SecretKey,
        log: EventLog,
        reload: @escaping @Sendable () -> ReloadOutcome<ClientConfiguration>
    ) throws {
        self.configuration = configuration
        self.privateKey = privateKey
        self.readAgain = reload
        self.current = configuration
        self.core = try ProcessCore(role: .client, log: log)
    }

    /// Runs until SIGTERM or SIGINT; returns the exit code.
    public func run() -> Int32 {
        self.core.run(
            start: { try self.start() },
            reload: { self.reload() },
            resolved: { self.resolved($0) }
        )
    }

    /// What the process knows of itself; callable from every thread, takes half a second at most.
    public func statusSnapshot() -> ProcessStatus { self.core.status() }

    /// The same as SIGHUP, from any thread.
    public func requestReload() { self.core.control.post(.reload) }

    /// The same as SIGTERM, from any thread.
    public func requestShutdown() { self.core.control.post(.terminate) }

    // MARK: Starting

    private func start() throws -> [SocketAddress] {
        if let obstacle = ClientPlan.obstacle(self.configuration) {
            throw StartFailure(
                wanted: "cannot run this configuration",
                happened: obstacle,
                remedy: "change it and start again"
            )
        }
        let workers = WorkerCount.client(self.configuration.transport.workers)
        let plan = ClientPlan(self.configuration)
        let listeners = try self.bind(plan.places, of: plan, workers: workers)
        let mailboxes = try (0..<workers).map { _ in try Mailbox() }
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
                side: .client
            )
        }
        try self.core.crew.start(parts, control: self.core.control)
        self.core.crew.post { .client(plan, newListeners: Handover(listeners[$0])) }
        for listener in listeners[0] { self.bound[listener.place] = listener.localAddress }
        let control = self.core.control
        let resolver = try Resolver(log: self.core.log) { control.post(.resolved($0)) }
        try resolver.watch(self.configuration.servers)
        self.resolver = resolver
        return listeners[0].map(\.localAddress)
    }

    private func settings(_ worker: Int) -> ClientSettings {
        var settings = ClientSettings(
            servers: self.servers(of: self.configuration),
            serverPublicKey: PublicKey(self.configuration.serverPublicKey),
            privateKey: self.privateKey
        )
        let transport = self.configuration.transport
        settings.cipher = CipherPreference(transport.cipher)
        settings.connectTimeout = transport.connectTimeout
        settings.maximumPacketSize = transport.maximumPacketSize
        settings.congestion = CongestionChoice(transport.congestion)
        settings.worker = worker
        return settings
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
    private func bind(
        _ places: [ClientPlan.Place],
        of plan: ClientPlan,
        workers: Int
    ) throws(StartFailure) -> [[LocalListener]] {
        var listeners: [[LocalListener]] = Array(repeating: [], count: workers)
        for place in places {
            do throws(IOError) {
                let group = try LocalListener.bind(
                    place,
                    workers: workers,
                    isDualStack: plan.isDualStack(place)
                )
                for (worker, listener) in group.enumerated() { listeners[worker].append(listener) }
            } catch {
                throw StartFailure(
                    binding: place.address,
                    place.transportProtocol.rawValue,
                    error
                )
            }
        }
        return listeners
    }

    // MARK: Names

    /// Every address of every server, in the order of the file, as far as names are known.
    private func servers(of configuration: ClientConfiguration) -> [SocketAddress] {
        configuration.servers.flatMap { endpoint in
            endpoint.literal.map { [$0] } ?? self.known[endpoint.description] ?? []
        }
    }

    private func resolved(_ addresses: [String: [SocketAddress]]) {
        self.known.merge(addresses) { _, new in new }
        self.postServers()
    }

    private func postServers() {
        let servers = self.servers(of: self.current)
        self.core.crew.post { _ in .tunnelServers(servers) }
    }

    // MARK: Reloading

    private func reload() {
        switch self.readAgain() {
        case .refused(let lines):
            for line in lines { self.core.log.error("reload-refused", ["cause": line]) }
        case .configuration(let new):
            if let obstacle = ClientPlan.obstacle(new) {
                return self.core.log.error("reload-refused", ["cause": obstacle])
            }
            self.adopt(new)
        }
    }

    private func adopt(_ new: ClientConfiguration) {
        let plan = ClientPlan(new)
        let fresh: [[LocalListener]]
        do throws(StartFailure) {
            let places = plan.places.filter { self.bound[$0] == nil }
            fresh = try self.bind(places, of: plan, workers: self.core.crew.count)
        } catch {
            return self.core.log.error("reload-refused", ["cause": error.description])
        }
        let old = self.current
        self.current = new
        self.core.crew.post { .client(plan, newListeners: Handover(fresh[$0])) }
        self.bound = self.bound.filter { plan.forwards[$0.key] != nil }
        for listener in fresh[0] { self.bound[listener.place] = listener.localAddress }
        if old.servers != new.servers { self.postServers() }
        do {
            try self.resolver?.watch(new.servers)
        } catch {
            self.core.log.error("resolver-failed", ["cause": "\(error)"])
        }
        let needRestart = [
            ("server_public_key", old.serverPublicKey != new.serverPublicKey),
            ("private_key", old.privateKey != new.privateKey),
            ("admin", old.admin != new.admin), ("control", old.control != new.control),
            ("limits", old.limits != new.limits),
            ("transport", old.transport != new.transport),
        ].filter(\.1).map(\.0)
        self.core.log.reloaded(needRestart)
    }
}
