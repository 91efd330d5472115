import Balancing
import Configuration
import LinuxIO
import Names
import Primitives
import ReturnPath

/// Keeps the way back from the backends of transparent services, on the control thread.
///
/// Nothing is installed, probed or woken for where no service asks for it.
final class RouteWatch {
    /// How often backends that were refused are probed again.
    private static let retryInterval = Instant.Interval.seconds(5)
    /// How soon at the earliest, because the tables have changed.
    private static let leastRetryInterval = Instant.Interval.seconds(2)
    /// Addresses of one backend that are asked; each may take a second.
    private static let addressLimit = 16

    let dialer: TransparentDialer
    private let keeper: ReturnPathKeeper
    private let log: EventLog
    private var known: KnownNames = [:]
    private var configuration: ServerConfiguration
    /// The addresses of each backend, one of which has to have its way back.
    private var groups: [[TransparentBackend]] = []
    private var backends: [TransparentBackend] = []
    /// The same for every question, so that backends that did not change look the same.
    private let nonce: UInt64 = EntropySource.kernel().next()
    private var testAddresses: [SocketAddress] = []
    private var watched: Int32?
    private var retryAt = Instant.never
    private var lastRetry: Instant?

    /// `ownPorts`: what the tunnel's sockets are bound to.
    ///
    /// `interrupt` ends a wait for probes early, and the process soon.
    init(
        _ configuration: ServerConfiguration,
        ownPorts: [UInt16],
        flowLimit: Int,
        log: EventLog,
        interrupt: ProbeInterrupt
    ) {
        self.configuration = configuration
        self.log = log
        self.keeper = ReturnPathKeeper(
            mode: RouteMode(configuration.routes),
            ownPorts: ownPorts,
            flowLimit: flowLimit,
            log: { log.returnPath($0) }
        )
        self.keeper.interrupt = interrupt
        self.dialer = self.keeper.dialer
    }

    /// When ``tend(at:)`` has something to do.
    var deadline: Instant { self.retryAt }

    /// Why the server is not ready, if so.
    var obstacle: String? {
        let verdicts = self.keeper.verdicts
        for group in self.groups {
            let own = verdicts.filter { group.contains($0.backend) }
            let isReady = own.contains { if case .ready = $0.state { true } else { false } }
            guard !isReady else { continue }
            for verdict in own {
                guard case .refused(let reason, let cure) = verdict.state else { continue }
                return "no way back from \(verdict.backend): \(reason); to do: \(cure)"
            }
        }
        return nil
    }

    /// Says what to listen to besides; once.
    func takeDescriptor() -> Int32? {
        guard let descriptor = self.keeper.changeDescriptor, descriptor != self.watched else {
            return nil
        }
        self.watched = descriptor
        return descriptor
    }

    /// Follows the configuration; takes about a second where a backend is silent.
    func adopt(_ configuration: ServerConfiguration, at now: Instant) {
        self.configuration = configuration
        self.refresh(at: now)
    }

    func resolved(_ news: KnownNames, at now: Instant) {
        self.known.merge(news) { _, new in new }
        self.refresh(at: now)
    }

    private func refresh(at now: Instant) {
        self.groups = self.wanted()
        var backends: [TransparentBackend] = []
        for backend in self.groups.joined() where !backends.contains(backend) {
            backends.append(backend)
        }
        let blocks = self.configuration.peers.flatMap { $0.origins ?? [] }
        let addresses = ReturnPathKeeper.testAddresses(
            in: blocks.map { ($0.base, $0.prefixLength) }
        )
        guard backends != self.backends || addresses != self.testAddresses else { return }
        self.backends = backends
        self.testAddresses = addresses
        self.tell(self.keeper.prepare(backends, testAddresses: addresses), at: now)
    }

    private func wanted() -> [[TransparentBackend]] {
        var wanted: [[TransparentBackend]] = []
        for service in self.configuration.services where service.origin == .transparent {
            let transport: TransparentBackend.Transport =
                service.transportProtocol == .tcp ? .tcp : .udp
            let question = transport == .udp ? self.question(service.health?.probe) : []
            let members = Roster.members(of: service, self.known)
            for place in service.backends {
                let addresses = members.filter { $0.source == place.endpoint }
                    .flatMap(\.addresses).prefix(Self.addressLimit)
                let ports = 0..<UInt16(clamping: place.portCount)
                let all = addresses.flatMap { first in
                    ports.map { first.with(port: first.port &+ $0) }
                }
                wanted.append(
                    all.map { address in
                        var backend = TransparentBackend(address, transport)
                        backend.question = question
                        return backend
                    }
                )
            }
        }
        return wanted
    }

    private func question(_ probe: HealthCheck.Probe?) -> [UInt8] {
        let kind: ProbeKind
        switch probe {
        case .a2s: kind = .a2s
        case .raknet: kind = .raknet
        case .dns(let name): kind = .dns(name: name)
        case .sendExpect(let send, let expect): kind = .sendExpect(send: send, expect: expect)
        case .tcp, .minecraft, nil: return []
        }
        return ProbeExchange(kind, nonce: self.nonce).request
    }

    /// Routes have changed or time has passed.
    func tend(at now: Instant) {
        self.tell(self.keeper.check(), at: now)
        if self.keeper.hasSeenChange, self.retryAt != .never {
            // Somebody may have done what was missing.
            let soonest = self.lastRetry.map { $0 + Self.leastRetryInterval } ?? now
            self.retryAt = min(self.retryAt, max(now, soonest))
        }
        guard self.retryAt <= now else { return }
        self.retryAt = .never
        self.lastRetry = now
        self.tell(self.keeper.retry(), at: now)
    }

    private func tell(_ verdicts: [ReturnPathVerdict], at now: Instant) {
        // What was given up half-way says nothing of the backends.
        if self.keeper.interrupt?.isWanted() == true { return }
        for verdict in verdicts { self.log.returnPath(verdict) }
        if self.keeper.isHealthy {
            self.retryAt = .never
        } else if self.retryAt == .never {
            self.retryAt = now + Self.retryInterval
        }
    }

    func teardown() { self.keeper.teardown() }
}

extension RouteMode {
    init(_ routes: ServerConfiguration.Routes) {
        switch routes {
        case .auto: self = .auto
        case .print: self = .print
        case .off: self = .off
        }
    }
}

extension EventLog {
    func returnPath(_ event: ReturnPathEvent) {
        switch event {
        case .installed(let rules, let routes):
            self.info("routes-installed", ["rules": String(rules), "routes": String(routes)])
        case .repaired(let count):
            self.warning("routes-repaired", ["count": String(count)])
        case .repairFailed(let reason):
            self.error("routes-broken", ["cause": reason])
        case .command(let line):
            self.info("routes-wanted", ["command": line])
        }
    }

    func returnPath(_ verdict: ReturnPathVerdict) {
        let backend = verdict.backend.description
        switch verdict.state {
        case .ready(let note):
            self.info("return-path", ["backend": backend, "result": "ok", "note": note ?? "-"])
        case .refused(let reason, let cure):
            self.error(
                "return-path",
                ["backend": backend, "result": "refused", "cause": reason, "cure": cure]
            )
        }
    }
}
