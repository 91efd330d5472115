import Glibc
public import LinuxIO
public import Primitives
import Synchronization

/// Opens sockets towards backends that show the player's address; every worker thread uses the
/// same one, when a stream or flow begins.
///
/// It refuses every backend whose way back is not proven at this moment, because replies would then
/// leave for the player with the backend's own address on them.
public final class TransparentDialer: Sendable {
    /// A UDP socket and its claim; call ``TransparentDialer/close(_:)`` before the last use of the
    /// socket ends.
    public struct Flow {
        /// The socket, connected to the backend and bound to the player's address.
        public let socket: UDPSocket
        /// The pair of player and backend, which nobody else may use until it is given back.
        public let claim: TransparentFlows.Claim
    }

    private struct Key: Hashable {
        let address: SocketAddress
        let transport: TransparentBackend.Transport
    }

    private let flows: TransparentFlows
    private let ready = Mutex<Set<Key>>([])

    init(flowLimit: Int) { self.flows = TransparentFlows(limit: flowLimit) }

    /// Starts a TCP connection; when it becomes writable, ask for its result as for any other.
    ///
    /// The caller has made sure that the player's address is one the peer may claim.
    public func openStream(
        from player: SocketAddress,
        to backend: SocketAddress,
        port: TransparentPort
    ) throws(TransparentFailure) -> TCPSocket {
        let backend = try self.check(backend, .tcp)
        return try TransparentSocket.connectTCP(from: player, to: backend, port: port)
    }

    /// Opens a connected UDP socket.
    ///
    /// `owner` is the number of the peer that leads the player here:
    /// the same peer may open the same flow anew, another may not.
    public func openFlow(
        from player: SocketAddress,
        to backend: SocketAddress,
        port: TransparentPort,
        owner: UInt64,
        options: UDPOptions = UDPOptions()
    ) throws(TransparentFailure) -> Flow {
        let backend = try self.check(backend, .udp)
        guard port != .any else {
            return try self.openAny(player, backend, owner, options)
        }
        let claim: TransparentFlows.Claim
        do throws(TransparentFailure) {
            claim = try self.flows.claim(player: player, backend: backend, owner: owner)
        } catch {
            guard port == .keepOrAny, error.cause == .flowExists else { throw error }
            return try self.openAny(player, backend, owner, options)
        }
        do throws(TransparentFailure) {
            let socket = try TransparentSocket.connectUDP(
                from: player,
                to: backend,
                port: port,
                options: options
            )
            return Flow(socket: socket, claim: claim)
        } catch {
            self.flows.release(claim)
            throw error
        }
    }

    /// Lets go of a flow's two ends.
    public func close(_ claim: TransparentFlows.Claim) { self.flows.release(claim) }

    /// Whether a newer flow of the same peer has taken the replies over.
    public func isStale(_ claim: TransparentFlows.Claim) -> Bool { self.flows.isStale(claim) }

    /// Whether the way back from a backend is proven.
    public func isReady(_ backend: TransparentBackend) -> Bool {
        let key = Key(address: backend.address, transport: backend.transport)
        return self.ready.withLock { $0.contains(key) }
    }

    /// A port of the kernel's choice is nobody else's, so the claim only counts it.
    private func openAny(
        _ player: SocketAddress,
        _ backend: SocketAddress,
        _ owner: UInt64,
        _ options: UDPOptions
    ) throws(TransparentFailure) -> Flow {
        let socket = try TransparentSocket.connectUDP(
            from: player,
            to: backend,
            port: .any,
            options: options
        )
        let claim = try self.flows.claim(
            player: socket.localAddress,
            backend: backend,
            owner: owner
        )
        return Flow(socket: socket, claim: claim)
    }

    private func check(
        _ backend: SocketAddress,
        _ transport: TransparentBackend.Transport
    ) throws(TransparentFailure) -> SocketAddress {
        let address = TransparentBackend.dialled(backend)
        let key = Key(address: address, transport: transport)
        guard self.ready.withLock({ $0.contains(key) }) else {
            throw TransparentFailure(.notReady, IOError(code: ENETUNREACH, call: "return path"))
        }
        return address
    }

    func setReady(_ backends: [TransparentBackend]) {
        let keys = Set(backends.map { Key(address: $0.address, transport: $0.transport) })
        self.ready.withLock { $0 = keys }
    }
}
