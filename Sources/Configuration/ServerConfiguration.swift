public import Balancing
public import Erasure
public import Origin
public import Primitives
public import Sealing

/// A checked server file: whoever holds one needs to check nothing again.
public struct ServerConfiguration: Hashable, Sendable {
    /// Who changes the routing table for transparent origins.
    public enum Routes: String, CaseIterable, Sendable {
        /// The server itself, an operator who is shown the commands, or an operator who knows them.
        case auto, print, off
    }

    /// Where the tunnel's UDP sockets are bound; never empty, port 0 lets the kernel choose.
    public var listen: [SocketAddress]
    /// `private_key`: where the server's own key lies.
    public var privateKey: KeyFile
    /// Where HTTP is served, if anywhere.
    public var admin: SocketAddress?
    /// Host names, in lower case, under which `admin` is served besides its addresses.
    public var adminHosts: [String] = []
    /// `control`: where `fairlead status` finds the process.
    public var control = ControlSocket.automatic
    /// `reload_on_change`: whether the file is watched.
    public var reloadsOnChange = false
    /// `routes`: who installs what brings replies to transparent services back.
    public var routes = Routes.auto
    /// What the server sends with.
    public var transport = TransportSettings()
    /// How much it holds.
    public var limits = Limits()
    /// Every `[[peer]]`, in the order of the file; may be empty.
    public var peers: [PeerEntry] = []
    /// Every `[[service]]`, in the order of the file; may be empty.
    public var services: [Service] = []

    /// A server that serves nobody; the reader and tests fill in the rest.
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
    /// `preshared_key`: where the secret shared with this client lies, if there is one.
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
    /// `enabled`: a client that is not is refused, ``RefusalReason/keyExpired``.
    public var isEnabled = true

    /// Whether `services = ["*"]`, services that a reload adds included.
    public var mayUseEveryService: Bool { self.services == ["*"] }

    /// A client with the default limits that may claim no address.
    public init(name: String, publicKey: PublicKey, services: [String]) {
        self.name = name
        self.publicKey = publicKey
        self.services = services
    }
}

/// One `[[service]]` of a server: backends behind a name.
public struct Service: Hashable, Sendable {
    /// How a backend learns who the player is.
    public enum Origin: String, CaseIterable, Sendable {
        /// Nothing, or the player's address as that of the connection itself.
        case none, transparent
        /// A line of text before the first byte (haproxy `doc/proxy-protocol.txt` §2.1).
        case proxyV1 = "proxy-v1"
        /// A binary header (haproxy `doc/proxy-protocol.txt` §2.2).
        case proxyV2 = "proxy-v2"
        /// Cloudflare's Simple Proxy Protocol, for UDP.
        case simpleProxy = "spp"
    }

    /// Whether a transparent socket insists on the player's own port.
    public enum SourcePort: String, CaseIterable, Sendable {
        /// The player's port or no connection, or a port of the kernel's choice.
        case keep, any
        /// The player's port where it is free, else one of the kernel's choice.
        case keepOrAny = "keep-or-any"
    }

    /// 1...64 bytes of UTF-8, unique.
    public var name: String
    /// `protocol`: what the service takes; a forward has to agree.
    public var transportProtocol: ForwardedProtocol
    /// Never empty, and never backups alone.
    public var backends: [Backend]
    /// How a backend is chosen for a new player.
    public var balance = PickPolicy.roundRobin
    /// What the backend is told of the player.
    public var origin = Origin.none
    /// Never `.any`.
    public var dialect = HeaderDialect.every
    /// What a transparent socket does where the player's port is taken.
    public var sourcePort = SourcePort.keepOrAny
    /// Whether IPv4 backends are shown a stable address of 240.0.0.0/4 for players with IPv6.
    public var usesPseudoIPv4 = false
    /// How backends are asked whether they live; `nil`: refusals and silence alone count.
    public var health: HealthCheck?
    /// Overrides ``TransportSettings/redundancy`` for this service.
    public var redundancy: RedundancyLevel?
    /// `compression`: false resets streams in which a client deflates nonetheless.
    public var allowsCompression = true

    /// Ports of each backend: a forward has as many, unless it is one.
    public var portCount: Int { self.backends.first?.portCount ?? 1 }

    /// A service with every other key at its default.
    public init(name: String, transportProtocol: ForwardedProtocol, backends: [Backend]) {
        self.name = name
        self.transportProtocol = transportProtocol
        self.backends = backends
    }
}

/// One place a service's streams and flows are led to.
public struct Backend: Hashable, Sendable {
    /// Where it is; of a name's addresses the first is used, looked up again as it grows old.
    ///
    /// With the first port, where it has a range of them.
    public var endpoint: Endpoint
    /// Ports from the endpoint's on, which players reach port by port.
    public var portCount = 1
    /// 1...1000.
    public var weight = 1
    /// Used only while no other backend is up.
    public var isBackup = false

    /// A backend of weight 1 that is used like the others.
    public init(endpoint: Endpoint) { self.endpoint = endpoint }

    /// Every place of one that is not known by name.
    public var literals: [SocketAddress] {
        guard case .address(let first) = self.endpoint else { return [] }
        return (0..<self.portCount).map { first.with(port: first.port + UInt16($0)) }
    }
}

/// How a backend is asked whether it lives.
public struct HealthCheck: Hashable, Sendable {
    /// What is sent to it, and what counts as an answer.
    public enum Probe: Hashable, Sendable {
        /// A connection, a query of Source, RakNet or Minecraft, or one for the root's servers.
        case tcp, a2s, raknet, minecraft
        /// Asks for the address of a name; `nil`: for the name servers of the root.
        case dns(name: String?)
        /// Sends bytes and expects the answer to contain others.
        case sendExpect(send: [UInt8], expect: [UInt8])
    }

    /// How it is asked.
    public var probe: Probe
    /// From one probe to the next.
    public var interval = Instant.Interval.seconds(2)
    /// After which a probe without an answer has failed.
    public var timeout = Instant.Interval.seconds(1)
    /// Successes in a row that bring a backend up.
    public var rise = 2
    /// Failures in a row that take it down.
    public var fall = 3

    /// A check with the default times and counts.
    public init(probe: Probe) { self.probe = probe }
}
