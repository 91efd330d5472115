import Configuration
import Erasure
import LinuxIO
import Primitives
import Recovery
import Sealing
import Session

/// A server's configuration as its workers need it.
struct ServerPlan: Sendable {
    let directory: PeerDirectory
    let services: [Service]
    let peers: [PeerEntry]
    /// This machine's addresses, which no player can have.
    var ownAddresses: [SocketAddress]
    /// Backends that get nobody new.
    let draining: Set<BackendName>
    /// When the next key expires.
    let nextExpiry: WallTime?

    /// What `loaded` means at `time`.
    init(
        _ loaded: LoadedConfiguration<ServerConfiguration>,
        draining: Set<BackendName> = [],
        at time: WallTime
    ) {
        let configuration = loaded.configuration
        self.draining = draining
        self.nextExpiry = configuration.peers.filter(\.isEnabled).compactMap(\.expires)
            .filter { $0 > time }.min()
        self.services = configuration.services
        self.peers = configuration.peers
        self.ownAddresses = Self.ownAddresses(configuration)
        self.directory = PeerDirectory(
            peers: configuration.peers.map { entry in
                var peer = Peer(
                    name: entry.name,
                    publicKey: entry.publicKey,
                    services: entry.services,
                    quota: PeerQuota(entry, at: time)
                )
                peer.presharedKey = loaded.presharedKeys[entry.publicKey]
                return peer
            },
            services: configuration.services.map {
                PeerDirectory.Service(
                    name: $0.name,
                    serviceProtocol: ServiceProtocol($0.transportProtocol),
                    allowsCompression: $0.allowsCompression,
                    redundancy: $0.redundancy ?? configuration.transport.redundancy
                )
            }
        )
    }

    static func ownAddresses(_ configuration: ServerConfiguration) -> [SocketAddress] {
        Runtime.ownAddresses() + configuration.listen.filter { !$0.isWildcard }
    }

    /// Every backend that is known by name.
    static func names(_ configuration: ServerConfiguration) -> [Endpoint] {
        configuration.services.flatMap(\.backends).map(\.endpoint).filter(\.isName)
    }
}

extension Endpoint {
    /// Whether it has to be looked up.
    var isName: Bool { self.literal == nil }

    /// Whether it stands for backends that come and go.
    var isSource: Bool {
        switch self {
        case .address, .name: false
        case .everyAddress, .records: true
        }
    }

    /// Whether the name service says whose turn it is.
    var isRanked: Bool {
        if case .records = self { true } else { false }
    }

    /// The address, unless it has to be resolved first.
    var literal: SocketAddress? {
        if case .address(let address) = self { address } else { nil }
    }
}

extension PeerQuota {
    init(_ entry: PeerEntry, at time: WallTime) {
        self.init()
        self.maximumSessions = entry.maximumSessions
        self.maximumStreams = entry.maximumStreams
        self.maximumFlows = entry.maximumFlows
        self.rateUp = entry.rateUp.map { $0 / 8 }
        self.rateDown = entry.rateDown.map { $0 / 8 }
        self.isEnabled = entry.isEnabled && (entry.expires.map { $0 > time } ?? true)
    }
}

extension ServiceProtocol {
    init(_ value: ForwardedProtocol) {
        switch value {
        case .tcp: self = .tcp
        case .udp: self = .udp
        }
    }
}

extension EngineLimits {
    init(_ value: Limits) {
        self.init()
        self.streamBuffer = Self.powerOfTwo(value.streamBuffer)
        self.sessionBuffer = value.sessionBuffer
        self.maximumStreams = value.maximumStreams
        self.maximumFlows = value.maximumFlows
    }

    /// The largest one not above `size`, and at least 64 KiB: the engine's rings need it so.
    private static func powerOfTwo(_ size: Int) -> Int {
        var power = 64 << 10
        while power * 2 <= size { power *= 2 }
        return power
    }
}
