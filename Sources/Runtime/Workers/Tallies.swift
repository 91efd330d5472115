public import Origin
public import Primitives
import Sealing

/// Why a worker threw something away that its engine had nothing to do with.
public enum WorkerDrop: UInt8, CaseIterable, Sendable {
    /// A packet for another worker, whose backlog had no room.
    case foreignQueueFull
    /// A packet of a peer whose frames cost more than its share, with no room to wait.
    case workBudget
    /// A datagram for a player or backend whose socket's buffer was full.
    case localSocketFull
    /// A connection, flow or client beyond a limit.
    case limit
    /// A stream or flow whose client may not speak for its player.
    case originForbidden
    /// A datagram that its header made too large for one.
    case datagramTooLarge

    /// The value of the `reason` label in `fairlead_drops_total`.
    public var label: String {
        switch self {
        case .foreignQueueFull: "foreign-queue-full"
        case .workBudget: "work-budget"
        case .localSocketFull: "local-socket-full"
        case .limit: "limit"
        case .originForbidden: "origin-forbidden"
        case .datagramTooLarge: "datagram-too-large"
        }
    }

    /// What is thrown away for it, in one sentence.
    public var meaning: String {
        switch self {
        case .foreignQueueFull: "Packets that another worker's queue had no room for."
        case .workBudget: "Packets of a peer whose frames cost more than its share of a worker."
        case .localSocketFull: "Datagrams that a socket of this machine had no room for."
        case .limit: "Connections, flows and clients beyond a limit."
        case .originForbidden: "Streams and flows whose client may not speak for their player."
        case .datagramTooLarge: "Datagrams that no longer fit into one."
        }
    }
}

/// Why a connection or datagram was refused for the header it had or had not.
public enum HeaderRefusal: Hashable, CaseIterable, Sendable {
    /// Its sender is in none of the `trusted` networks.
    case untrusted
    /// A connection's header did not come in time.
    case timeout
    /// The bytes are not the header they should have been.
    case fault(HeaderFault)

    /// Every refusal there is, each fault of a header among them.
    public static let allCases: [Self] =
        [.untrusted, .timeout] + HeaderFault.allCases.map(Self.fault)

    /// The `reason` of a counter or log line.
    public var label: String {
        switch self {
        case .untrusted: "untrusted"
        case .timeout: "header-timeout"
        case .fault(let fault): fault.label
        }
    }

    /// What is refused for it, in one sentence.
    public var meaning: String {
        switch self {
        case .untrusted: "Connections and datagrams of a sender that `trusted` does not name."
        case .timeout: "Connections whose header did not come in time."
        case .fault(let fault): fault.meaning
        }
    }
}

/// What one worker moved for one service.
public struct ServiceTally: Sendable {
    /// The service's name, as written in the configuration.
    public var name: String
    /// Payload from players to backends, in bytes.
    public var bytesUp: UInt64 = 0
    /// Payload from backends to players.
    public var bytesDown: UInt64 = 0
    /// TCP streams open now.
    public var streams = 0
    /// UDP flows open now.
    public var flows = 0
    /// Players whose own port a backend could not be shown.
    public var portsChanged: UInt64 = 0
    /// The service's backends, in the order of the configuration; empty on a client.
    public var backends: [BackendTally] = []

    /// What a service's numbers are shown as; its name is the label.
    public static let metrics = MetricTable<Self>(
        subject: ["service"],
        [
            .gauge("service_streams", .count, "TCP streams of a service.", .level(\.streams)),
            .gauge("flows", .count, "UDP flows open now.", .level(\.flows)),
            .counter(
                "bytes",
                .bytes,
                "Payload bytes; up is from players to backends, down is back.",
                split: "direction",
                ["up": \.bytesUp, "down": \.bytesDown]
            ),
            .counter(
                "source_ports_changed",
                .count,
                "Players shown to a backend with another port, because theirs was taken;"
                    + " servers only.",
                \.portsChanged
            ),
        ]
    )
}

/// What leads to one backend now; servers only.
public struct BackendTally: Sendable {
    /// As written in the configuration.
    public var address: String
    /// Whether it is alive, as far as this worker has heard.
    public var isUp = true
    /// Whether it gets nobody new, because an operator wants it so.
    public var isDraining = false
    /// Whether its name no longer leads there; it may have players still.
    var isGone = false
    /// TCP streams that lead to it.
    public var streams = 0
    /// UDP flows that lead to it.
    public var flows = 0

    /// What a backend's numbers are shown as; its service and address are the labels.
    public static let metrics = MetricTable<Self>(
        subject: ["service", "backend"],
        [
            .gauge(
                "backend_up",
                .flag,
                "1 while a backend is alive, as far as is known.",
                .flag(\.isUp)
            ),
            .gauge(
                "backend_draining",
                .flag,
                "1 while a backend gets nobody new by order.",
                .flag(\.isDraining)
            ),
            .gauge("backend_streams", .count, "TCP streams that lead to it.", .level(\.streams)),
            .gauge("backend_flows", .count, "UDP flows that lead to it.", .level(\.flows)),
        ]
    )
}

/// A worker's counts by service; a service keeps its index as long as the process lives.
final class Tallies {
    private(set) var services: [ServiceTally] = []
    private var indices: [String: Int] = [:]
    private var dropped = [UInt64](repeating: 0, count: WorkerDrop.allCases.count)
    /// Made once with every case, because any host can have one counted for every datagram.
    private var headersRefused = Dictionary(
        uniqueKeysWithValues: HeaderRefusal.allCases.map { ($0, UInt64(0)) }
    )

    /// Handshakes refused; servers only.
    var refusals = RefusalLedger()

    /// What was thrown away, by the metric's `reason` label; every reason is there from the start.
    var drops: [(reason: String, count: UInt64)] {
        WorkerDrop.allCases.map { ($0.label, self.dropped[Int($0.rawValue)]) }
            + HeaderRefusal.allCases.map { ($0.label, self.headersRefused[$0] ?? 0) }
            + RefusalReason.allCases.map { ($0.label, self.refusals.totals[$0.label] ?? 0) }
    }

    func drop(_ reason: WorkerDrop, count: Int = 1) {
        self.dropped[Int(reason.rawValue)] &+= UInt64(count)
    }

    /// Counts one; says how many there are of its reason.
    @discardableResult
    func refuseHeader(_ reason: HeaderRefusal) -> UInt64 {
        let count = (self.headersRefused[reason] ?? 0) &+ 1
        self.headersRefused[reason] = count
        return count
    }

    func index(of name: String) -> Int {
        if let index = self.indices[name] { return index }
        self.services.append(ServiceTally(name: name))
        self.indices[name] = self.services.count - 1
        return self.services.count - 1
    }

    func moved(up: Int = 0, down: Int = 0, service: Int32) {
        self.services[Int(service)].bytesUp &+= UInt64(up)
        self.services[Int(service)].bytesDown &+= UInt64(down)
    }

    func changeStreams(by change: Int, service: Int32, backend: Int32) {
        self.services[Int(service)].streams += change
        guard backend >= 0 else { return }
        self.services[Int(service)].backends[Int(backend)].streams += change
    }

    func changeFlows(by change: Int, service: Int32, backend: Int32) {
        self.services[Int(service)].flows += change
        guard backend >= 0 else { return }
        self.services[Int(service)].backends[Int(backend)].flows += change
    }

    func changePort(service: Int32) { self.services[Int(service)].portsChanged &+= 1 }

    func setBackend(_ backend: Int, isUp: Bool, service: Int32) {
        self.services[Int(service)].backends[backend].isUp = isUp
    }

    /// Says who has an index; call for one after the other.
    func setBackend(
        _ backend: Int,
        name: String,
        isGone: Bool,
        isUp: Bool,
        isDraining: Bool,
        service: Int32
    ) {
        let list = Int(service)
        if backend == self.services[list].backends.count {
            self.services[list].backends.append(BackendTally(address: name))
        } else if self.services[list].backends[backend].address != name {
            self.services[list].backends[backend] = BackendTally(address: name)
        }
        self.services[list].backends[backend].isGone = isGone
        self.services[list].backends[backend].isUp = isUp
        self.services[list].backends[backend].isDraining = isDraining || isGone
    }

    /// Of a service that begins anew; none of its backends may be in use.
    func forgetBackends(service: Int) { self.services[service].backends = [] }
}
