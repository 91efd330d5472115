import Configuration
import Origin
import Primitives
import Session

/// Who a stream or flow is shown as coming from.
struct ShownPlayer {
    /// Port 0: the server may choose one.
    var address: SocketAddress
    /// Where the player connected to, as far as the client may say so; `nil`: the backend itself.
    var destination: SocketAddress?
    /// The public key of the client that vouches for it.
    var clientKey: [UInt8]
    /// Which client that is; see ``OriginGate``.
    var peer: Int32
    /// What the client may say of the connection besides.
    var context = OpenContext()
    /// The player's own address where ``address`` only stands for it.
    var realAddress: SocketAddress?
    /// Why nobody may claim ``address``, though the client was seen there.
    var unnamed: OriginRefusal?

    /// Whether this backend may be told ``address``.
    ///
    /// One that nobody may claim only where the server's own connection has it anyway, so that
    /// the backend, which would take that for the player, learns nothing else from a header.
    func isNamed(to backend: SocketAddress) -> Bool {
        let own = self.realAddress ?? self.address
        switch self.unnamed {
        case nil: return true
        case .ownAddress: return own.high == backend.high && own.low == backend.low
        case .loopback: return backend.isLoopback && own.isIPv4 == backend.isIPv4
        default: return false
        }
    }

    /// As an IPv4 backend of a service with `pseudo_ipv4` is shown it; see ``PseudoIPv4``.
    func shown(to backend: SocketAddress, of service: Service, _ key: HashKey) -> Self {
        guard service.usesPseudoIPv4, backend.isIPv4, !self.address.isIPv4 else { return self }
        var player = self
        player.address = PseudoIPv4.address(for: self.address, key: key)
        player.realAddress = self.address
        if let destination = self.destination, !destination.isIPv4 { player.destination = nil }
        return player
    }
}

/// The PROXY header of one UDP flow, written once.
final class FlowHeader {
    private let memory: UnsafeMutableRawBufferPointer
    private let byteCount: Int
    /// Set where replies may carry the header as well (Simple Proxy Protocol).
    private let simple: ProxyHeader?
    private var schedule: HeaderSchedule

    init(_ dialect: HeaderDialect, simple: ProxyHeader?, _ bytes: UnsafeRawBufferPointer) {
        self.memory = .allocate(byteCount: max(bytes.count, 1), alignment: 16)
        self.memory.copyMemory(from: bytes)
        self.byteCount = bytes.count
        self.simple = simple
        self.schedule = HeaderSchedule(dialect)
    }

    deinit { self.memory.deallocate() }

    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self.memory[..<self.byteCount])
    }

    @inline(__always)
    func next() -> HeaderSchedule.Step { self.schedule.next() }

    /// The backend may have forgotten the player.
    func restart() { self.schedule.restart() }

    /// A reply without the header that its backend may have put before it.
    @inline(__always)
    func payload(ofReply bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard let simple = self.simple else { return bytes }
        let count = simple.simpleByteCount(ofReply: bytes)
        return UnsafeRawBufferPointer(rebasing: bytes[count...])
    }
}

/// Writes the headers that name players to backends; one per worker.
final class OriginHeaders {
    private let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 1_024, alignment: 16)
    private let entropy: EntropySource
    private var counter: UInt64 = 0

    init(entropy: EntropySource) { self.entropy = entropy }

    deinit { self.scratch.deallocate() }

    /// What a stream's backend gets first; empty where nothing is to be said.
    ///
    /// Valid until the next call.
    func stream(
        _ service: Service,
        _ player: ShownPlayer,
        backend: SocketAddress
    ) -> UnsafeRawBufferPointer {
        let header = self.header(player, backend, .stream)
        let isNamed = player.isNamed(to: backend)
        let count: Int
        switch service.origin {
        case .proxyV1 where !isNamed: count = ProxyHeader.writeUnknownV1(into: self.scratch)
        case .proxyV2 where !isNamed: count = ProxyHeader.writeLocalV2(into: self.scratch)
        case .proxyV1: count = header.writeV1(into: self.scratch)
        case .proxyV2: count = header.writeV2(self.extensions(player), into: self.scratch)
        case .none, .transparent, .simpleProxy: count = 0
        }
        return UnsafeRawBufferPointer(rebasing: self.scratch[..<count])
    }

    /// What goes before a flow's datagrams; `nil` where nothing is to be said.
    func flow(_ service: Service, _ player: ShownPlayer, backend: SocketAddress) -> FlowHeader? {
        let header = self.header(player, backend, .datagram)
        let isNamed = player.isNamed(to: backend)
        switch service.origin {
        case .proxyV2 where !isNamed:
            let count = ProxyHeader.writeLocalV2(into: self.scratch)
            let bytes = UnsafeRawBufferPointer(rebasing: self.scratch[..<count])
            return FlowHeader(service.dialect, simple: nil, bytes)
        // Simple Proxy Protocol has no word for it: a bare datagram is the server's own.
        case .simpleProxy where !isNamed: return nil
        case .proxyV2:
            let count = header.writeV2(self.extensions(player), into: self.scratch)
            let bytes = UnsafeRawBufferPointer(rebasing: self.scratch[..<count])
            return FlowHeader(service.dialect, simple: nil, bytes)
        case .simpleProxy:
            let count = header.writeSimple(into: self.scratch)
            let bytes = UnsafeRawBufferPointer(rebasing: self.scratch[..<count])
            return FlowHeader(.every, simple: header, bytes)
        case .none, .transparent, .proxyV1:
            return nil
        }
    }

    private func header(
        _ player: ShownPlayer,
        _ backend: SocketAddress,
        _ transport: ProxyHeader.Transport
    ) -> ProxyHeader {
        self.counter &+= 1
        var source = player.address
        if source.port == 0 {
            // Of the dynamic range (RFC 6335 §6), so that players of one client differ.
            source.port = 49_152 | UInt16(truncatingIfNeeded: self.counter & 0x3FFF)
            // A client may share the backend's machine, but is never the backend itself.
            if source == backend { source.port ^= 1 }
        }
        return ProxyHeader(
            source: source,
            destination: player.destination ?? backend,
            transport: transport
        )
    }

    private func extensions(_ player: ShownPlayer) -> ProxyTLVs {
        var id = player.context.uniqueID
        if id.isEmpty {
            // As text, because that is how other programs log it.
            id = Self.hexadecimal(self.entropy.next()) + Self.hexadecimal(self.entropy.next())
        }
        let fields = ProxyTLVs(
            uniqueID: id,
            authority: player.context.authority,
            keyFingerprint: player.clientKey,
            hasChecksum: true
        )
        return fields ?? .none
    }

    private static func hexadecimal(_ value: UInt64) -> [UInt8] {
        let text = String(value, radix: 16)
        return Array(String(repeating: "0", count: 16 - text.utf8.count).utf8) + Array(text.utf8)
    }
}

extension AddressPrefix {
    /// `nil` only for a block that the configuration would not have let through.
    init?(_ block: AddressBlock) { self.init(block.base, length: block.prefixLength) }
}
