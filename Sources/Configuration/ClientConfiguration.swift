public import Erasure
public import Origin
public import Primitives
public import Sealing

/// A checked client file: whoever holds one needs to check nothing again.
public struct ClientConfiguration: Hashable, Sendable {
    /// Tried in order; never empty.
    public var servers: [Endpoint]
    /// `server_public_key`: whom every one of ``servers`` has to prove to be.
    public var serverPublicKey: PublicKey
    /// `private_key`: where the client's own key lies.
    public var privateKey: KeyFile
    /// `preshared_key`: where the secret shared with the server lies, if there is one.
    public var presharedKey: KeyFile?
    /// Where HTTP is served, if anywhere.
    public var admin: SocketAddress?
    /// Host names, in lower case, under which `admin` is served besides its addresses.
    public var adminHosts: [String] = []
    /// `control`: where `fairlead status` finds the process.
    public var control = ControlSocket.automatic
    /// `reload_on_change`: whether the file is watched.
    public var reloadsOnChange = false
    /// What the client sends with.
    public var transport = TransportSettings()
    /// How much it holds.
    public var limits = Limits()
    /// Every `[[forward]]`, in the order of the file; may be empty.
    public var forwards: [Forward] = []

    /// A client of these servers that forwards nothing; the reader and tests fill in the rest.
    public init(servers: [Endpoint], serverPublicKey: PublicKey, privateKey: KeyFile) {
        self.servers = servers
        self.serverPublicKey = serverPublicKey
        self.privateKey = privateKey
    }
}

/// One `[[forward]]` of a client: local listeners that lead to one service.
public struct Forward: Hashable, Sendable {
    /// `class`.
    public enum TrafficClass: String, CaseIterable, Sendable {
        /// The words of the key: small messages first, all first, sound and picture, and the rest.
        case auto, interactive, realtime, bulk
    }

    /// How datagrams travel; UDP only.
    public enum Delivery: Hashable, Sendable {
        /// `datagram`: what is lost is not sent again, but for small flows within a short time.
        case datagram
        /// Retransmit what is still younger than `maximumAge`.
        case deadline(maximumAge: Instant.Interval)
        /// `reliable`: in order and complete, in a stream of messages.
        case reliable
    }

    /// What arriving connections or datagrams begin with.
    public enum AcceptedHeader: String, CaseIterable, Sendable {
        /// Nothing: the player's bytes come at once.
        case plain
        /// A line of text (haproxy `doc/proxy-protocol.txt` §2.1).
        case proxyV1 = "proxy-v1"
        /// A binary header (haproxy `doc/proxy-protocol.txt` §2.2).
        case proxyV2 = "proxy-v2"
        /// Cloudflare's Simple Proxy Protocol, for UDP.
        case simpleProxy = "spp"
    }

    /// `accept_when`: whether a listener is closed while nobody could be served.
    public enum Acceptance: String, CaseIterable, Sendable {
        /// While the service can be had.
        case ready
        /// Whatever is known of the service.
        case always
    }

    /// `listen`: one address, and one port or several.
    public var listen: ListenRange
    /// `protocol`: what is taken in there.
    public var transportProtocol: ForwardedProtocol
    /// The service's name, 1...64 bytes of UTF-8.
    public var service: String
    /// What the streams and flows want of the path.
    public var trafficClass = TrafficClass.auto
    /// `compression`: whether bytes are compressed, where the service allows it.
    public var isCompressed = false
    /// How long lost datagrams are of use.
    public var delivery = Delivery.datagram
    /// When a silent UDP flow is forgotten.
    public var idleTimeout = Instant.Interval.seconds(120)
    /// TCP only.
    public var acceptance = Acceptance.ready
    /// How long bytes of a TCP connection may wait before both ends reset it; `nil`: for ever.
    public var maximumStall: Instant.Interval?
    /// What the listener expects in front of the players' bytes.
    public var accept = AcceptedHeader.plain
    /// Who may send headers; never empty when ``accept`` is not plain.
    public var trusted: [AddressBlock] = []
    /// How PROXY v2 headers come on UDP; nothing else asks for it.
    public var dialect = HeaderDialect.every
    /// Overrides ``TransportSettings/redundancy`` for this forward.
    public var redundancy: RedundancyLevel?
    /// Whether one socket takes what the packet filter's rule leads to it: everything for the ports
    /// of ``listen``, for whichever address; then the first port is the one it is bound to.
    public var isTransparent = false

    /// The addresses that sockets are bound to.
    public var bindings: [SocketAddress] {
        self.isTransparent ? [self.listen.first] : self.listen.addresses
    }

    /// What makes a forward the same one after a reload.
    public var identity: String { "\(self.transportProtocol.rawValue) \(self.listen)" }

    /// A forward with every other key at its default.
    public init(listen: ListenRange, transportProtocol: ForwardedProtocol, service: String) {
        self.listen = listen
        self.transportProtocol = transportProtocol
        self.service = service
    }
}

extension LoadedConfiguration<ClientConfiguration> {
    /// What the server has to know besides its own key.
    public var presharedKey: PresharedKey? {
        self.presharedKeys[self.configuration.serverPublicKey]
    }
}
