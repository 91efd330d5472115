import Balancing
import Configuration
import LinuxIO
import Names
import Primitives
import ReturnPath
import Runtime

/// What a server's file says of backends that are dialled with players' addresses.
struct TransparentServices {
    private(set) var backends: [TransparentBackend] = []
    /// Names that have no address at the moment.
    private(set) var unresolved: [String] = []
    let ownPorts: [UInt16]
    let testAddresses: [SocketAddress]
    let mode: RouteMode

    init(_ configuration: ServerConfiguration) {
        self.ownPorts = configuration.listen.map(\.port)
        self.testAddresses = ReturnPathKeeper.testAddresses(
            in: configuration.peers.flatMap { $0.origins ?? [] }.map { ($0.base, $0.prefixLength) }
        )
        switch configuration.routes {
        case .auto: self.mode = .auto
        case .print: self.mode = .print
        case .off: self.mode = .off
        }
        for service in configuration.services where service.origin == .transparent {
            for backend in service.backends { self.add(backend, of: service) }
        }
    }

    private mutating func add(_ place: Backend, of service: Service) {
        let firsts = Self.addresses(place.endpoint)
        if firsts.isEmpty { self.unresolved.append(place.endpoint.description) }
        let addresses = firsts.flatMap { first in
            (0..<UInt16(clamping: place.portCount)).map { first.with(port: first.port &+ $0) }
        }
        let transport: TransparentBackend.Transport =
            service.transportProtocol == .tcp ? .tcp : .udp
        for address in addresses {
            var backend = TransparentBackend(address, transport)
            if transport == .udp { backend.question = Self.question(service.health?.probe) }
            if !self.backends.contains(backend) { self.backends.append(backend) }
        }
    }

    private static func question(_ probe: HealthCheck.Probe?) -> [UInt8] {
        let kind: ProbeKind
        switch probe {
        case .a2s: kind = .a2s
        case .raknet: kind = .raknet
        case .dns(let name): kind = .dns(name: name)
        case .sendExpect(let send, let expect): kind = .sendExpect(send: send, expect: expect)
        case .tcp, .minecraft, nil: return []
        }
        return ProbeExchange(kind, nonce: EntropySource.kernel().next()).request
    }

    /// The literal address, or what the name stands for now; waits for the name service.
    static func addresses(_ endpoint: Endpoint) -> [SocketAddress] {
        if case .address(let address) = endpoint { return [address] }
        guard let question = endpoint.question,
            case .found(let answer) = NameLookup.answer(to: question)
        else { return [] }
        return answer.addresses
    }
}
