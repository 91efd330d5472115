import Configuration
import Glibc
import LinuxIO
import Origin
import Primitives
import ReturnPath
import Session

/// Why a backend could not be reached for a player.
struct DialFailure: Error {
    var cause: String
    var reason: ResetReason
    /// Whether it says something about the backend's health.
    var isBackends: Bool

    init(_ error: IOError) {
        self.cause = error.reason
        self.isBackends = true
        self.reason =
            switch error.code {
            case ECONNREFUSED, ECONNRESET: .backendRefused
            case ETIMEDOUT: .backendTimeout
            default: .backendUnreachable
            }
    }

    /// The client was seen at an address that no player can have.
    init(unnamed refusal: OriginRefusal) {
        self.cause = "the client is seen at an address that nobody may have: \(refusal.rawValue)"
        self.reason = .originForbidden
        self.isBackends = false
    }

    init(_ failure: TransparentFailure) {
        self.init(failure.error)
        self.cause = failure.description
        self.isBackends = failure.cause == .network
        switch failure.cause {
        case .impossibleOrigin: self.reason = .originForbidden
        case .limit: self.reason = .limit
        case .network: break
        default: self.reason = .backendUnreachable
        }
    }
}

/// The sockets of a worker towards backends, with the player's address where that is wanted.
struct Dialling {
    let dialer: TransparentDialer?

    func stream(
        _ service: Service,
        _ player: ShownPlayer,
        to address: SocketAddress
    ) throws(DialFailure) -> TCPSocket {
        guard service.origin == .transparent else {
            do throws(IOError) {
                return try TCPSocket.connect(to: address)
            } catch {
                throw DialFailure(error)
            }
        }
        try Self.check(player, to: address)
        let (source, port) = Self.source(service, player)
        let dialer = try self.transparent()
        do throws(TransparentFailure) {
            return try dialer.openStream(from: source, to: address, port: port)
        } catch {
            throw DialFailure(error)
        }
    }

    func flow(
        _ service: Service,
        _ player: ShownPlayer,
        to address: SocketAddress
    ) throws(DialFailure) -> (socket: UDPSocket, claim: TransparentFlows.Claim?) {
        var options = UDPOptions()
        options.receiveBuffer = 1 << 20
        options.sendBuffer = 1 << 20
        guard service.origin == .transparent else {
            do throws(IOError) {
                return (try UDPSocket(connectingTo: address, options: options), nil)
            } catch {
                throw DialFailure(error)
            }
        }
        try Self.check(player, to: address)
        let (source, port) = Self.source(service, player)
        let dialer = try self.transparent()
        do throws(TransparentFailure) {
            let flow = try dialer.openFlow(
                from: source,
                to: address,
                port: port,
                owner: Self.owner(player),
                options: options
            )
            return (flow.socket, flow.claim)
        } catch {
            throw DialFailure(error)
        }
    }

    /// Whether a socket shows another port than the player's, though its service would keep it.
    static func isOtherPort(
        _ service: Service,
        _ player: ShownPlayer,
        _ local: SocketAddress?
    ) -> Bool {
        guard service.origin == .transparent, let local else { return false }
        let (source, port) = Self.source(service, player)
        return port == .keepOrAny && local.port != source.port
    }

    func close(_ claim: TransparentFlows.Claim?) {
        if let claim { self.dialer?.close(claim) }
    }

    private func transparent() throws(DialFailure) -> TransparentDialer {
        if let dialer = self.dialer { return dialer }
        throw DialFailure(IOError(code: ENETUNREACH, call: "return path"))
    }

    /// No socket is bound to an address that nobody may claim.
    ///
    /// The machine's own addresses are those of its own connections: they need no refusal.
    private static func check(
        _ player: ShownPlayer,
        to backend: SocketAddress
    ) throws(DialFailure) {
        guard let refusal = player.unnamed, refusal != .ownAddress, !player.isNamed(to: backend)
        else { return }
        throw DialFailure(unnamed: refusal)
    }

    /// A player without a port of its own gets one of the kernel's.
    private static func source(
        _ service: Service,
        _ player: ShownPlayer
    ) -> (SocketAddress, TransparentPort) {
        guard player.address.port != 0 else { return (player.address.with(port: 1), .any) }
        // Two players may be behind one made-up address with the same port.
        if player.realAddress != nil, service.sourcePort == .keep {
            return (player.address, .keepOrAny)
        }
        switch service.sourcePort {
        case .keep: return (player.address, .keep)
        case .any: return (player.address, .any)
        case .keepOrAny: return (player.address, .keepOrAny)
        }
    }

    /// Which client leads the player here, as a number that survives its reconnecting.
    ///
    /// Where one address stands for several players, each of them counts as a client: no newer flow
    /// of one may take over the other's.
    private static func owner(_ player: ShownPlayer) -> UInt64 {
        let client = player.clientKey.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        guard let real = player.realAddress else { return client }
        return fold(addressHash(real, seed: client), client)
    }
}
