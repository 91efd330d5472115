public import Configuration
import Erasure
import LinuxIO
import Primitives
public import ReturnPath
import Session

/// A client's configuration as its workers need it: what each local address leads to.
struct ClientPlan: Sendable {
    /// One listening address, as the configuration asks for it.
    struct Place: Hashable, Sendable {
        var transportProtocol: ForwardedProtocol
        /// Port 0 stands for whatever the kernel gave; `ordinal` tells two such apart.
        var address: SocketAddress
        var ordinal: Int
        /// Whether the packet filter leads datagrams and connections for other addresses here.
        var isTransparent = false
    }

    private(set) var forwards: [Place: Forward] = [:]
    /// The places in the order of the file.
    private(set) var places: [Place] = []

    /// How long connections wait for a session.
    let connectTimeout: Instant.Interval

    init(_ configuration: ClientConfiguration) {
        self.connectTimeout = configuration.transport.connectTimeout
        for (ordinal, forward) in configuration.forwards.enumerated() {
            for address in forward.bindings {
                let place = Place(
                    transportProtocol: forward.transportProtocol,
                    address: address,
                    ordinal: address.port == 0 ? ordinal : 0,
                    isTransparent: forward.isTransparent
                )
                var forward = forward
                forward.redundancy = forward.redundancy ?? configuration.transport.redundancy
                self.forwards[place] = forward
                self.places.append(place)
            }
        }
    }

    /// Whether an IPv6 wildcard of `place` must leave IPv4 to another listener.
    func isDualStack(_ place: Place) -> Bool {
        !self.places.contains {
            $0.transportProtocol == place.transportProtocol && $0.address.isIPv4
                && $0.address.port == place.address.port && $0.address.port != 0
        }
    }

    /// Whether the forward of `place` listens on an address of the other family as well.
    func hasOtherFamily(than place: Place) -> Bool {
        guard let forward = self.forwards[place] else { return false }
        return self.places.contains {
            $0.address.isIPv4 != place.address.isIPv4
                && self.forwards[$0]?.service == forward.service
                && $0.transportProtocol == place.transportProtocol
        }
    }
}

/// A bound socket of a client, ready for a worker.
struct LocalListener {
    enum Socket {
        case tcp(TCPListener)
        case udp(UDPSocket)
    }

    let place: ClientPlan.Place
    let socket: Socket

    var localAddress: SocketAddress {
        switch self.socket {
        case .tcp(let listener): listener.localAddress
        case .udp(let socket): socket.localAddress
        }
    }

    var descriptor: Int32 {
        switch self.socket {
        case .tcp(let listener): listener.descriptor
        case .udp(let socket): socket.descriptor
        }
    }

    /// Bound before this machine had the address.
    var isAhead: Bool {
        switch self.socket {
        case .tcp(let listener): listener.isAhead
        case .udp(let socket): socket.isAhead
        }
    }

    /// Binds `place` once for each of `workers`, all to the same address.
    static func bind(
        _ place: ClientPlan.Place,
        workers: Int,
        isDualStack: Bool
    ) throws(IOError) -> [LocalListener] {
        var listeners: [LocalListener] = []
        var address = place.address
        for worker in 0..<workers {
            let sharing: PortSharing =
                workers == 1 ? .exclusive : worker == 0 ? .first : .further
            let listener = LocalListener(
                place: place,
                socket: try Self.open(place, address, sharing, isDualStack)
            )
            address = listener.localAddress
            listeners.append(listener)
        }
        return listeners
    }

    private static func open(
        _ place: ClientPlan.Place,
        _ address: SocketAddress,
        _ sharing: PortSharing,
        _ isDualStack: Bool
    ) throws(IOError) -> Socket {
        if place.transportProtocol == .tcp {
            return .tcp(
                try TCPListener(
                    binding: address,
                    sharing: sharing,
                    isDualStack: isDualStack,
                    isTransparent: place.isTransparent,
                    awaitsAddress: true
                )
            )
        }
        var options = UDPOptions()
        options.sharing = sharing
        options.isDualStack = isDualStack
        options.reportsDestination = address.isWildcard && !place.isTransparent
        options.isTransparent = place.isTransparent
        options.awaitsAddress = true
        return .udp(try UDPSocket(binding: address, options: options))
    }
}

extension Forward {
    /// What a stream or flow of this forward asks of the server.
    ///
    /// `origin`: the player; `nil`: the client itself. `port`: the one of this machine's that it
    /// used.
    func request(
        origin: SocketAddress?,
        destination: SocketAddress,
        at port: UInt16
    ) -> OpenRequest {
        var request = OpenRequest(
            service: self.service,
            serviceProtocol: ServiceProtocol(self.transportProtocol)
        )
        request.origin = origin
        request.destination = destination
        request.isCompressed = self.isCompressed
        request.redundancy = self.redundancy ?? .auto
        request.idleTimeout = self.idleTimeout
        request.maximumStall = self.maximumStall
        if self.listen.count > 1, self.listen.contains(port: port) {
            request.port = PortPlace(
                offset: port - self.listen.first.port,
                count: UInt16(clamping: self.listen.count)
            )
        }
        switch self.trafficClass {
        case .auto: request.trafficClass = .auto
        case .interactive: request.trafficClass = .interactive
        case .realtime: request.trafficClass = .realtime
        case .bulk: request.trafficClass = .bulk
        }
        switch self.delivery {
        case .datagram: request.delivery = .datagram
        case .deadline(let maximumAge):
            request.delivery = .deadline
            request.maximumAge = maximumAge
        case .reliable: request.delivery = .reliable
        }
        return request
    }
}

extension ClientConfiguration {
    /// What the packet filter has to lead here.
    public var transparentListeners: [TransparentInput.Listener] {
        let plan = ClientPlan(self)
        return plan.places.compactMap { place in
            guard place.isTransparent, let forward = plan.forwards[place] else { return nil }
            return TransparentInput.Listener(
                place.transportProtocol == .tcp ? .tcp : .udp,
                first: place.address,
                lastPort: forward.listen.lastPort,
                isDualStack: plan.isDualStack(place)
            )
        }
    }
}
