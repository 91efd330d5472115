import Configuration
import LinuxIO
import Primitives
import Synchronization

/// One backend of one service, as written in the configuration.
struct BackendName: Hashable, Sendable {
    var service: String
    var backend: String
}

/// An operator's wish that a backend get nobody new, or new ones again, on its way to the control
/// thread and back.
final class DrainRequest: Sendable {
    /// The control thread may be busy with probes.
    private static let patience = Instant.Interval.seconds(4)

    let name: BackendName
    let isDraining: Bool
    private let outcome = Mutex<DrainOutcome?>(nil)
    private let wakeUp: WakeUp

    init(_ name: BackendName, isDraining: Bool) throws(IOError) {
        self.name = name
        self.isDraining = isDraining
        self.wakeUp = try WakeUp()
    }

    func answer(_ outcome: DrainOutcome) {
        self.outcome.withLock { $0 = outcome }
        self.wakeUp.signal()
    }

    func wait() throws(IOError) -> DrainOutcome {
        let poller = try Poller()
        try poller.add(self.wakeUp.descriptor, token: 0, interest: .readable)
        let clock = BootClock()
        let deadline = clock.now() + Self.patience
        while true {
            if let outcome = self.outcome.withLock({ $0 }) { return outcome }
            let now = clock.now()
            guard now < deadline else { return .refused("the server is busy; ask again") }
            _ = try poller.wait(atMost: deadline.since(now))
            self.wakeUp.clear()
        }
    }
}

/// What came of a wish to drain; both with a sentence for the operator.
public enum DrainOutcome: Hashable, Sendable {
    /// It is so from now on, or was already.
    case done(String)
    /// Nothing has changed, and why.
    case refused(String)
}

/// The backends that get nobody new, as long as the configuration names them.
struct DrainedBackends {
    private(set) var names: Set<BackendName> = []

    /// Forgets those that a new configuration no longer has.
    mutating func adopt(_ configuration: ServerConfiguration) {
        self.names = self.names.filter { name in
            configuration.services.contains { service in
                service.name == name.service
                    && service.backends.contains {
                        // Where they lead today says nothing of tomorrow.
                        $0.endpoint.isSource || $0.endpoint.description == name.backend
                    }
            }
        }
    }

    /// Follows an operator's wish where the configuration has such a backend.
    mutating func change(
        _ name: BackendName,
        isDraining: Bool,
        _ configuration: ServerConfiguration,
        _ names: KnownNames = [:]
    ) -> DrainOutcome {
        guard let service = configuration.services.first(where: { $0.name == name.service }) else {
            let known = configuration.services.map(\.name).joined(separator: ", ")
            return .refused("no service \(name.service); there are: \(known)")
        }
        let members = Roster.members(of: service, names)
        let backends = members.map(\.name)
        // The same address may be written in several ways.
        let wanted = Endpoint(backend: name.backend)?.description ?? name.backend
        let isSource = service.backends.contains { $0.endpoint.description == wanted }
        guard isSource || backends.contains(wanted) else {
            let known = backends.joined(separator: ", ")
            return .refused("\(service.name) has no backend \(name.backend); it has: \(known)")
        }
        let place = BackendName(service: service.name, backend: wanted)
        guard isDraining else {
            self.names.remove(place)
            return .done("\(wanted) gets new players of \(service.name) again")
        }
        self.names.insert(place)
        let others = members.filter { member in
            ![member.name, member.source.description].contains {
                self.names.contains(BackendName(service: service.name, backend: $0))
            }
        }
        let rest = others.isEmpty ? "; no backend of \(service.name) takes new players now" : ""
        return .done("\(wanted) gets no new players of \(service.name)\(rest)")
    }
}
