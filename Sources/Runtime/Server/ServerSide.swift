import Balancing
import Configuration
import LinuxIO
import Names
import Origin
import Primitives
import ReturnPath
import Sealing
import Session

/// The server's half of a worker: services, their backends and the sockets towards them.
final class ServerSide {
    /// The other threads that want to hear of backends.
    struct Circle {
        /// The workers besides this one.
        let siblings: [Mailbox]
        let monitor: HealthMonitor?
        let resolver: Resolver?
    }

    let parts: SideParts
    let connections = PendingConnections()
    let flows = BackendFlows()
    let headers: OriginHeaders
    let dialling: Dialling
    /// Decides which IPv4 addresses stand for IPv6 players.
    let pseudonyms: HashKey
    private let gate = OriginGate()
    private let circle: Circle
    private var services = ServiceTable()
    private var plan: ServerPlan?
    private var known: KnownNames = [:]
    private var drained: Set<BackendName> = []

    init(_ parts: SideParts, circle: Circle, dialer: TransparentDialer?, pseudonyms: HashKey) {
        self.parts = parts
        self.dialling = Dialling(dialer: dialer)
        self.circle = circle
        self.pseudonyms = pseudonyms
        self.headers = OriginHeaders(entropy: .kernel())
        parts.streams.freedPlace = { [unowned self] service, backend in
            self.services[service]?.pool.finished(Int(backend))
        }
    }

    var deadline: Instant { self.connections.deadline }

    // MARK: Plans

    /// Follows a new plan: streams and flows of removed and changed services end, others stay.
    func adopt(_ plan: ServerPlan, at now: Instant) {
        self.parts.engine.replace(directory: plan.directory, at: now)
        let wanted = Dictionary(
            plan.services.map { ($0.name, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        for (name, entry) in self.services.byName where wanted[name] != entry.configuration {
            self.end(entry, at: now)
            self.tellServed(entry, true)
            self.services.remove(entry)
        }
        for service in plan.services where self.services[service.name] == nil {
            let index = self.parts.tallies.index(of: service.name)
            self.parts.tallies.forgetBackends(service: index)
            let entry = ServiceEntry(service, index: Int32(index), self.known, at: now)
            self.services.insert(entry)
            self.tellServed(entry)
        }
        self.drain(plan.draining)
        self.plan = plan
        self.end(peers: self.adoptOrigins(), at: now)
    }

    /// These backends, and no others, get nobody new.
    func drain(_ backends: Set<BackendName>) {
        self.drained = backends
        for entry in self.services.byName.values { self.listBackends(entry) }
    }

    /// Follows what drains and who is there, in the pool and in what is told of it.
    private func listBackends(_ entry: ServiceEntry) {
        let service = entry.configuration.name
        entry.pool.drain { self.drained.contains(BackendName(service: service, backend: $0)) }
        for index in 0..<entry.pool.count {
            self.parts.tallies.setBackend(
                index,
                name: entry.pool.name(index),
                isGone: entry.pool.isGone(index),
                isUp: entry.pool.isUp(index),
                isDraining: entry.pool.isDrained(index),
                service: entry.index
            )
        }
    }

    /// This machine has other addresses than before.
    func adoptOwn(_ addresses: [SocketAddress]) {
        self.plan?.ownAddresses = addresses
        _ = self.adoptOrigins()
    }

    func resolved(_ news: KnownNames, at now: Instant) {
        self.known.merge(news) { _, new in new }
        for entry in self.services.byName.values where entry.isNamed(by: news) {
            entry.pool.resolved(self.known, at: now)
            self.listBackends(entry)
            self.tellChanges(entry)
            self.tellServed(entry)
        }
        _ = self.adoptOrigins()
        for name in news.keys { self.follow(name, at: now) }
    }

    private func adoptOrigins() -> Set<Int32> {
        guard let plan = self.plan else { return [] }
        let backends = self.services.byName.values.flatMap(\.pool.allAddresses)
        return self.gate.adopt(plan.peers, reserved: plan.ownAddresses + backends)
    }

    /// These clients may no longer claim what they could: their players have to ask again.
    private func end(peers: Set<Int32>, at now: Instant) {
        guard !peers.isEmpty else { return }
        for handle in self.connections.handles(where: { peers.contains($0.player.peer) }) {
            self.parts.engine.reset(handle, reason: .reload, at: now)
            self.forget(handle)
        }
        self.parts.streams.reset(where: { peers.contains($0.peer) }, reason: .reload, at: now)
        for handle in self.flows.handles(where: { peers.contains($0.peer) }) {
            self.parts.engine.closeFlow(handle, reason: .reload, at: now)
            self.forget(handle)
        }
    }

    private func end(_ entry: ServiceEntry, at now: Instant) {
        for handle in self.connections.handles(where: { $0.service === entry }) {
            self.parts.engine.reset(handle, reason: .reload, at: now)
            self.forget(handle)
        }
        self.parts.streams.reset(where: { $0.service == entry.index }, reason: .reload, at: now)
        for handle in self.flows.handles(where: { $0.service == entry.index }) {
            self.parts.engine.closeFlow(handle, reason: .reload, at: now)
            self.forget(handle)
        }
    }

    func service(_ name: String) -> ServiceEntry? { self.services[name] }
    func service(_ index: Int32) -> ServiceEntry? { self.services[index] }

    // MARK: Players

    func sessionChanged(_ handle: SessionHandle, _ info: SessionInfo?) {
        self.gate.sessionChanged(handle, info)
    }

    /// Who the backend is shown; `nil` after saying why the client may not claim that.
    func admit(_ request: OpenRequest, from session: SessionHandle) -> ShownPlayer? {
        let origin = self.services[request.service]?.configuration.origin
        let isShown = origin.map { $0 != .none } ?? true
        switch self.gate.judge(request, from: session, isShown: isShown) {
        case .admitted(let player): return player
        case .refused(let peer, let cause, let cure):
            self.parts.tallies.drop(.originForbidden)
            self.parts.log.warning(
                "open-refused",
                [
                    "peer": peer, "service": request.service,
                    "protocol": request.serviceProtocol == .tcp ? "tcp" : "udp",
                    "origin": request.origin?.description ?? "-", "cause": cause,
                    "cure": cure ?? "-", "reason": ResetReason.originForbidden.label,
                ]
            )
            return nil
        }
    }

    /// Counts players whose port was taken, and tells of the first.
    func notePort(_ entry: ServiceEntry, _ player: ShownPlayer, _ local: SocketAddress?) {
        let service = entry.configuration
        guard Dialling.isOtherPort(service, player, local) else { return }
        self.parts.tallies.changePort(service: entry.index)
        self.parts.log.once(
            .warning,
            "source-port-changed",
            about: service.name,
            [
                "service": service.name, "player": player.address.description,
                "shown": local?.description ?? "-",
                "cause": "the player's port is taken on this machine, or below 1024",
                "hint": "told once; source_port = \"keep\" refuses such players instead",
            ]
        )
    }

    /// Sessions of this client that other workers have may be dead and in the way.
    func askSiblings(about key: PublicKey) {
        for sibling in self.circle.siblings { sibling.post(.questionSessions(of: key)) }
    }

    // MARK: Backends

    /// One address of a backend refused or was silent.
    func addressFailed(_ entry: ServiceEntry, _ backend: Int, _ address: SocketAddress) {
        entry.pool.failed(backend, address)
        if let name = entry.pool.lookedUp(backend) { self.doubt(name) }
    }

    /// What `name` leads to does not answer.
    func doubt(_ name: String) { self.circle.resolver?.doubt(name) }

    /// A backend answered a connection or, for the first time, a flow.
    func backendAnswered(_ entry: ServiceEntry, _ backend: Int, at now: Instant) {
        entry.pool.connected(backend, at: now)
        self.tellChanges(entry)
        self.tellServed(entry)
    }

    /// A backend refused a connection, or nobody listens where a flow goes.
    func backendRefused(_ entry: ServiceEntry, _ backend: Int, at now: Instant) {
        if entry.pool.isProbed {
            self.circle.monitor?.post(
                .refused(service: entry.configuration.name, backend: entry.pool.name(backend))
            )
        } else if let place = Self.sought(entry, backend), let monitor = self.circle.monitor {
            entry.pool.missed(backend)
            monitor.seek(place, of: entry.configuration)
        }
        entry.pool.refused(backend, at: now)
        self.tellChanges(entry)
        self.tellServed(entry)
    }

    /// What can be asked in place of a TCP backend that was missed; `nil`: nothing.
    private static func sought(_ entry: ServiceEntry, _ backend: Int) -> Backend? {
        guard entry.configuration.transportProtocol == .tcp else { return nil }
        let name = entry.pool.name(backend)
        let listed = entry.configuration.backends.first { $0.endpoint.description == name }
        // One of the addresses that a name stands for.
        return listed ?? SocketAddress(name).map { Backend(endpoint: .address($0)) }
    }

    /// What this worker has found out by itself.
    private func tellChanges(_ entry: ServiceEntry) {
        while let change = entry.pool.nextChange() {
            let news = BackendNews(
                service: entry.configuration.name,
                backend: entry.pool.name(change.index),
                isUp: change.isUp
            )
            self.parts.tallies.setBackend(
                change.index,
                isUp: entry.pool.isUp(change.index),
                service: entry.index
            )
            self.parts.log.backend(news, cause: "refused connections")
            for sibling in self.circle.siblings { sibling.post(.backendNews(news)) }
        }
    }

    /// What another thread has found out, and told the operator.
    func heard(_ news: BackendNews, at now: Instant) {
        guard let entry = self.services[news.service] else { return }
        entry.pool.follow(news.backend, isUp: news.isUp, at: now)
        while let change = entry.pool.nextChange() {
            self.parts.tallies.setBackend(
                change.index,
                isUp: entry.pool.isUp(change.index),
                service: entry.index
            )
        }
        self.tellServed(entry)
    }

    /// Clients learn whether anybody new would be served.
    private func tellServed(_ entry: ServiceEntry, _ isServed: Bool? = nil) {
        let service = entry.configuration
        self.parts.engine.setServed(
            service.name,
            ServiceProtocol(service.transportProtocol),
            isServed ?? entry.pool.isServed
        )
    }

    /// A client's forward and the service have different numbers of ports.
    func logMisfit(_ request: OpenRequest, _ entry: ServiceEntry) {
        let wanted = entry.configuration.portCount
        self.logRefusal(
            request,
            "-",
            "the client's forward has \(request.port?.count ?? 1) ports, the service \(wanted)",
            .portRange
        )
    }

    /// Says why a player found no backend.
    func logRefusal(
        _ request: OpenRequest,
        _ backend: String,
        _ cause: String,
        _ reason: ResetReason
    ) {
        self.parts.log.warning(
            "backend-refused",
            [
                "service": request.service, "backend": backend, "cause": cause,
                "reason": reason.label,
            ]
        )
    }
}
