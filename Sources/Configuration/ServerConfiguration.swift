public import Primitives
public import Sealing

/// A checked server file: whoever holds one needs to check nothing again.
public struct ServerConfiguration: Hashable, Sendable {
    /// Who changes the routing table for transparent origins.
    public enum Routes: String, CaseIterable, Sendable {
        case auto, print, off
    }

    /// Where the tunnel's UDP sockets are bound; never empty, port 0 lets the kernel choose.
    public var listen: [SocketAddress]
    public var privateKey: KeyFile
    /// Where HTTP is served, if anywhere.
    public var admin: SocketAddress?
    /// Host names, in lower case, under which `admin` is served besides its addresses.
    public var adminHosts: [String] = []
    public var control = ControlSocket.automatic
    public var routes = Routes.auto
    public var transport = TransportSettings()
    public var limits = Limits()
    public var peers: [PeerEntry] = []
    public var services: [Service] = []

    public init(listen: [SocketAddress], privateKey: KeyFile) {
        self.listen = listen
        self.privateKey = privateKey
    }
}

/// One `[[peer]]` of a server: a client's key and what it may do.
public struct PeerEntry: Hashable, Sendable {
    /// 1...64 bytes, unique.
    public var name: String
    /// Unique as well.
    public var publicKey: PublicKey
    public var presharedKey: KeyFile?
    /// Names of services, each of which exists, or `["*"]`.
    public var services: [String]
    /// The addresses this client may claim for its players; `nil`: its claims are ignored.
    public var origins: [AddressBlock]?
    /// Sessions at a time, which is client processes, over all workers.
    public var maximumSessions = 4
    /// TCP connections at a time, over all sessions; messages of reliable flows have one each.
    public var maximumStreams = 4096
    /// UDP flows at a time, over all sessions.
    public var maximumFlows = 4096
    /// Bits a second that the client may send into the tunnel; `nil`: any.
    public var rateUp: UInt64?
    /// Bits a second that the client is sent; `nil`: any.
    public var rateDown: UInt64?
    /// From when on the key is no good any more.
    public var expires: WallTime?
    public var isEnabled = true

    public var mayUseEveryService: Bool { self.services == ["*"] }

    public init(name: String, publicKey: PublicKey, services: [String]) {
        self.name = name
        self.publicKey = publicKey
        self.services = services
    }
}

/// One `[[service]]` of a server: backends behind a name.
public struct Service: Hashable, Sendable {
    /// `balance`.
    public enum Balance: String, CaseIterable, Sendable {
        case roundRobin = "round-robin"
        case leastConnections = "least-connections"
        case sourceHash = "source-hash"
    }

    /// How a backend learns who the player is.
    public enum Origin: String, CaseIterable, Sendable {
        case none, transparent
        case proxyV1 = "proxy-v1"
        case proxyV2 = "proxy-v2"
        case simpleProxy = "spp"
    }

    /// Whether a transparent socket insists on the player's own port.
    public enum SourcePort: String, CaseIterable, Sendable {
        case keep, any
        case keepOrAny = "keep-or-any"
    }

    /// 1...64 bytes of UTF-8, unique.
    public var name: String
    public var transportProtocol: ForwardedProtocol
    /// Never empty, and never backups alone.
    public var backends: [Backend]
    public var balance = Balance.roundRobin
    public var origin = Origin.none
    /// Never `.any`.
    public var dialect = DatagramDialect.every
    public var sourcePort = SourcePort.keepOrAny
    /// Whether IPv4 backends are shown a stable address of 240.0.0.0/4 for players with IPv6.
    public var usesPseudoIPv4 = false
    public var health: HealthCheck?
    /// Overrides ``TransportSettings/redundancy`` for this service.
    public var redundancy: Redundancy?
    public var allowsCompression = true

    public init(name: String, transportProtocol: ForwardedProtocol, backends: [Backend]) {
        self.name = name
        self.transportProtocol = transportProtocol
        self.backends = backends
    }
}

/// One place a service's streams and flows are led to.
public struct Backend: Hashable, Sendable {
    public var endpoint: Endpoint
    /// 1...1000.
    public var weight = 1
    /// Used only while no other backend is up.
    public var isBackup = false

    public init(endpoint: Endpoint) { self.endpoint = endpoint }
}

/// How a backend is asked whether it lives.
public struct HealthCheck: Hashable, Sendable {
    public enum Probe: Hashable, Sendable {
        case tcp, a2s, raknet, minecraft, dns
        /// Sends bytes and expects the answer to contain others.
        case sendExpect(send: [UInt8], expect: [UInt8])
    }

    public var probe: Probe
    public var interval = Instant.Interval.seconds(2)
    public var timeout = Instant.Interval.seconds(1)
    /// Successes in a row that bring a backend up.
    public var rise = 2
    /// Failures in a row that take it down.
    public var fall = 3

    public init(probe: Probe) { self.probe = probe }
}
