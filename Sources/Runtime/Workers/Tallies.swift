/// What one worker moved for one service.
public struct ServiceTally: Sendable {
    public var name: String
    /// Payload from players to backends, in bytes.
    public var bytesUp: UInt64 = 0
    /// Payload from backends to players.
    public var bytesDown: UInt64 = 0
    public var streams = 0
    public var flows = 0
    /// Players whose own port a backend could not be shown.
    public var portsChanged: UInt64 = 0
    public var backends: [BackendTally] = []
}

/// What leads to one backend now; servers only.
public struct BackendTally: Sendable {
    /// As written in the configuration.
    public var address: String
    public var isUp = true
    /// Whether it gets nobody new, because an operator wants it so.
    public var isDraining = false
    public var streams = 0
    public var flows = 0
}

/// A worker's counts by service; a service keeps its index as long as the process lives.
final class Tallies {
    private(set) var services: [ServiceTally] = []
    private var indices: [String: Int] = [:]
    /// Packets another worker's queue had no room for.
    var foreignDropped: UInt64 = 0
    /// Datagrams a local socket had no room for.
    var datagramsDropped: UInt64 = 0
    /// Connections and flows turned away because a limit was reached.
    var turnedAway: UInt64 = 0
    /// Streams and flows whose client may not speak for their player.
    var originsForbidden: UInt64 = 0
    /// Datagrams that no longer fit behind the header before them.
    var datagramsTooLarge: UInt64 = 0

    /// Connections and datagrams refused for the header they had or had not, by reason.
    private(set) var headersRefused: [String: UInt64] = [:]

    /// Handshakes refused; servers only.
    var refusals = RefusalLedger()

    /// Counts one; says how many there are of its reason.
    @discardableResult
    func refuseHeader(_ reason: String) -> UInt64 {
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

    func setBackend(_ backend: Int, isDraining: Bool, service: Int32) {
        self.services[Int(service)].backends[backend].isDraining = isDraining
    }

    /// Replaces the list of a service's backends; none of them may be in use.
    func setBackends(_ addresses: [String], service: Int) {
        self.services[service].backends = addresses.map { BackendTally(address: $0) }
    }
}
