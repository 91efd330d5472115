import Balancing
import Configuration
import LinuxIO
import Names
import Primitives

/// The health monitor's own memory: the services it asks and the probes under way.
final class HealthRounds {
    /// One service whose backends are asked.
    private final class Watched {
        let service: Service
        let set: BackendSet
        /// By the set's index; of one that has left the list what it was.
        private(set) var members: [BackendMember] = []
        /// Why the last probe of each backend failed.
        var causes: [String] = []
        /// Of each backend that is being asked, one for every address that has not said no.
        var probes: [Int: [BackendProbe]] = [:]

        /// Set where it is asked only because it could not be reached: the service as it is.
        let missedBy: Service?

        init(
            _ service: Service,
            _ known: KnownNames,
            missedBy: Service? = nil,
            at now: Instant
        ) {
            self.service = service
            self.missedBy = missedBy
            let members = Roster.members(of: service, known)
            self.set = BackendSet(service, members, noticesRefusals: true, at: now)
            _ = self.follow(members)
        }

        /// Brings the list in line with the set; says who is new or has moved.
        func follow(_ members: [BackendMember]) -> [Int] {
            let byName = Dictionary(members.map { ($0.name, $0) }) { one, _ in one }
            var moved: [Int] = []
            for index in self.set.indices {
                guard !self.set.isGone(index), let member = byName[self.set.member(index).name]
                else { continue }
                if index == self.members.count {
                    self.members.append(member)
                    self.causes.append("-")
                    moved.append(index)
                } else {
                    if self.members[index].addresses != member.addresses { moved.append(index) }
                    self.members[index] = member
                }
            }
            return moved
        }
    }

    /// Of one backend; nobody has more addresses that deserve a question each time.
    private static let addressLimit = 8

    private let poller: Poller
    private let log: EventLog
    private let resolver: Resolver?
    private let report: HealthMonitor.Report
    private let memory = BackendProbe.Memory()
    private let entropy = EntropySource.kernel()
    private var watched: [Watched] = []
    /// Backends without `health` that could not be reached, one each.
    private var missing: [Watched] = []
    private var known: KnownNames = [:]
    /// The token of every probe, and whose it is.
    private var owners: [UInt64: (watched: Watched, index: Int)] = [:]
    private var lastToken: UInt64 = 0

    init(
        poller: Poller,
        log: EventLog,
        resolver: Resolver?,
        report: @escaping HealthMonitor.Report
    ) {
        self.poller = poller
        self.log = log
        self.resolver = resolver
        self.report = report
    }

    private var all: [Watched] { self.watched + self.missing }
    var deadline: Instant { self.all.reduce(.never) { min($0, $1.set.deadline) } }

    func take(_ note: HealthMonitor.Note, at now: Instant) {
        switch note {
        case .services(let services): self.adopt(services, at: now)
        case .resolved(let news):
            self.known.merge(news) { _, new in new }
            for entry in self.all { self.resolved(entry, news, at: now) }
        case .refused(let service, let backend):
            guard let entry = self.watched.first(where: { $0.service.name == service }),
                let index = entry.set.indices.first(where: {
                    entry.members[$0].name == backend && !entry.set.isGone($0)
                })
            else { return }
            entry.causes[index] = "refused connections"
            entry.set.noticedRefusal(index, at: now)
        case .missed(let service, let place): self.seek(place, of: service, at: now)
        }
    }

    private func seek(_ place: Backend, of service: Service, at now: Instant) {
        let isKnown = self.missing.contains { entry in
            entry.missedBy?.name == service.name && entry.service.backends == [place]
        }
        guard !isKnown else { return }
        var asked = service
        asked.backends = [place]
        var health = HealthCheck(probe: .tcp)
        health.interval = .seconds(1)
        health.rise = 1
        health.fall = 1
        asked.health = health
        self.missing.append(Watched(asked, self.known, missedBy: service, at: now))
    }

    /// It is there, and needs to be asked no more.
    private func found(_ entry: Watched) {
        self.missing.removeAll { $0 === entry }
        let news = BackendNews(
            service: entry.service.name,
            backend: entry.service.backends[0].endpoint.description,
            isUp: true
        )
        // Otherwise nobody was told that it was down.
        if entry.set.nextChange() != nil { self.log.backend(news, cause: "-") }
        self.report(news)
    }

    /// Backends may have come, gone or moved.
    private func resolved(_ entry: Watched, _ news: KnownNames, at now: Instant) {
        let backends = entry.service.backends
        guard backends.contains(where: { news[$0.endpoint.description] != nil }) else { return }
        let members = Roster.members(of: entry.service, self.known)
        entry.set.adopt(members.map { BackendSet.Member($0) }, at: now)
        for index in entry.follow(members) {
            self.end(entry, index)
            entry.set.probeSoon(index, at: now)
        }
        for index in entry.set.indices where entry.set.isGone(index) { self.end(entry, index) }
    }

    private func adopt(_ services: [Service], at now: Instant) {
        var kept: [Watched] = []
        for service in services where service.health != nil {
            let same = self.watched.first { $0.service == service }
            kept.append(same ?? Watched(service, self.known, at: now))
        }
        for old in self.watched where !kept.contains(where: { $0 === old }) {
            for index in old.probes.keys { self.end(old, index) }
        }
        self.watched = kept
        let isGone = { (entry: Watched) in !services.contains { $0 == entry.missedBy } }
        for old in self.missing where isGone(old) {
            for index in old.probes.keys { self.end(old, index) }
        }
        self.missing.removeAll(where: isGone)
    }

    /// Does what time asks for: gives up, asks, and tells what has changed.
    func tend(at now: Instant) {
        for entry in self.all {
            entry.set.wake(at: now)
            for index in entry.set.indices where !entry.set.isProbing(index) {
                guard entry.probes[index] != nil else { continue }
                entry.causes[index] = "no answer in time"
                self.end(entry, index)
                self.doubt(entry, index)
            }
            while let index = entry.set.nextProbe(at: now) { self.begin(entry, index, at: now) }
            while let change = entry.set.nextChange() { self.tell(entry, change) }
        }
    }

    private func tell(_ entry: Watched, _ change: BackendSet.Change) {
        let news = BackendNews(
            service: entry.service.name,
            backend: entry.members[change.index].name,
            isUp: change.isUp
        )
        self.log.backend(news, cause: entry.causes[change.index])
        self.report(news)
    }

    // MARK: Probes

    private func begin(_ entry: Watched, _ index: Int, at now: Instant) {
        entry.causes[index] = "no address"
        let addresses = entry.members[index].addresses.prefix(Self.addressLimit)
        for address in addresses { self.ask(entry, index, address) }
        if entry.probes[index] == nil { self.settle(entry, index, at: now) }
    }

    private func ask(_ entry: Watched, _ index: Int, _ address: SocketAddress) {
        guard let health = entry.service.health else { return }
        self.lastToken += 1
        do throws(IOError) {
            let probe = try BackendProbe(
                health.probe.kind(entry.members[index].endpoint, address),
                to: address,
                of: entry.service,
                overStream: health.probe.isStream(entry.service.transportProtocol),
                nonce: self.entropy.next(),
                token: self.lastToken,
                memory: self.memory
            )
            try self.poller.add(probe.descriptor, token: probe.token, interest: probe.interest)
            entry.probes[index, default: []].append(probe)
            self.owners[probe.token] = (entry, index)
        } catch {
            entry.causes[index] = error.reason
        }
    }

    /// A probe's socket has news.
    func ready(_ token: UInt64, _ readiness: Readiness, at now: Instant) {
        guard let (entry, index) = self.owners[token],
            let place = entry.probes[index]?.firstIndex(where: { $0.token == token }),
            let probe = entry.probes[index]?[place]
        else { return }
        switch probe.ready(readiness) {
        case .wait: break
        case .listen:
            try? self.poller.modify(probe.descriptor, token: token, interest: .readable)
        case .alive:
            self.end(entry, index, isTidy: true)
            entry.set.probed(index, isAlive: true, at: now)
            // It answers: refusals of the past count no more.
            entry.set.connected(index, at: now)
            if entry.missedBy != nil { self.found(entry) }
        case .failed(let cause):
            entry.causes[index] = cause
            entry.probes[index]?.remove(at: place)
            self.close(probe)
            guard entry.probes[index]?.isEmpty == true else { return }
            entry.probes[index] = nil
            self.settle(entry, index, at: now)
        }
    }

    /// No address of a backend is alive.
    private func settle(_ entry: Watched, _ index: Int, at now: Instant) {
        entry.set.probed(index, isAlive: false, at: now)
        self.doubt(entry, index)
    }

    /// A name that leads to nobody alive may lead elsewhere by now.
    private func doubt(_ entry: Watched, _ index: Int) {
        if let name = entry.members[index].lookedUp { self.resolver?.doubt(name) }
    }

    private func end(_ entry: Watched, _ index: Int, isTidy: Bool = false) {
        for probe in entry.probes.removeValue(forKey: index) ?? [] {
            self.close(probe, isTidy: isTidy)
        }
    }

    private func close(_ probe: BackendProbe, isTidy: Bool = false) {
        self.owners[probe.token] = nil
        try? self.poller.remove(probe.descriptor)
        probe.close(isTidy: isTidy)
    }
}

extension BackendSet {
    var indices: Range<Int> { 0..<self.count }
}

extension HealthCheck.Probe {
    /// Whether the question goes over TCP.
    func isStream(_ transport: ForwardedProtocol) -> Bool {
        switch self {
        case .tcp, .minecraft: true
        case .a2s, .raknet, .dns: false
        case .sendExpect: transport == .tcp
        }
    }

    func kind(_ endpoint: Endpoint, _ address: SocketAddress) -> ProbeKind {
        switch self {
        case .tcp: return .connect
        case .a2s: return .a2s
        case .raknet: return .raknet
        case .minecraft:
            if case .name(let host, let port) = endpoint {
                return .minecraft(host: host, port: port)
            }
            return .minecraft(host: address.hostText, port: address.port)
        case .dns(let name): return .dns(name: name)
        case .sendExpect(let send, let expect): return .sendExpect(send: send, expect: expect)
        }
    }
}

extension EventLog {
    /// Tells that a backend went up or down, and why it is down.
    func backend(_ news: BackendNews, cause: String) {
        if news.isUp {
            self.info("backend-up", ["service": news.service, "backend": news.backend])
        } else {
            self.warning(
                "backend-down",
                ["service": news.service, "backend": news.backend, "cause": cause]
            )
        }
    }
}
