import Configuration
import Primitives
import Session

/// One service as a worker keeps it.
final class ServiceEntry {
    let configuration: Service
    /// Into ``Tallies/services``.
    let index: Int32
    let pool: BackendPool

    init(
        _ configuration: Service,
        index: Int32,
        _ known: KnownNames,
        at now: Instant
    ) {
        self.configuration = configuration
        self.index = index
        self.pool = BackendPool(configuration, known, at: now)
    }

    /// How far behind a backend's first port a player is led; `nil` if the client's forward does
    /// not fit.
    func portOffset(_ request: OpenRequest) -> UInt16? {
        let count = self.configuration.portCount
        guard count > 1 else { return 0 }
        guard let port = request.port, Int(port.count) == count else { return nil }
        return port.offset
    }

    /// Whether one of these names is that of a backend.
    func isNamed(by names: KnownNames) -> Bool {
        self.configuration.backends.contains { names[$0.endpoint.description] != nil }
    }
}

/// A worker's services, by name and by index.
struct ServiceTable {
    private(set) var byName: [String: ServiceEntry] = [:]
    /// By ``ServiceEntry/index``.
    private var byIndex: [ServiceEntry?] = []

    subscript(name: String) -> ServiceEntry? { self.byName[name] }

    subscript(index: Int32) -> ServiceEntry? {
        self.byIndex.indices.contains(Int(index)) ? self.byIndex[Int(index)] : nil
    }

    mutating func insert(_ entry: ServiceEntry) {
        while self.byIndex.count <= Int(entry.index) { self.byIndex.append(nil) }
        self.byIndex[Int(entry.index)] = entry
        self.byName[entry.configuration.name] = entry
    }

    mutating func remove(_ entry: ServiceEntry) {
        self.byIndex[Int(entry.index)] = nil
        self.byName[entry.configuration.name] = nil
    }
}
