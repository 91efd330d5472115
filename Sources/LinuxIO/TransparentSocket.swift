import CLinuxShims
import Glibc
public import Primitives

/// Which port a transparent socket shows to the backend.
public enum TransparentPort: Hashable, Sendable {
    /// The player's, or nothing.
    case keep
    /// One that the kernel chooses.
    case any
    /// The player's where it is free, else one that the kernel chooses.
    case keepOrAny
}

/// Why a socket could not take a player's address, and what helps.
public struct TransparentFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// What stood in the way; decides the reason that the client hears.
    public enum Cause: Hashable, Sendable {
        /// `CAP_NET_RAW` is missing.
        case missingNetRaw
        /// The player's port is below 1024 and `CAP_NET_BIND_SERVICE` is missing.
        case missingBindService
        /// A socket of this machine holds the address and port.
        case inUse
        /// The same player already speaks with the same backend.
        case flowExists
        /// An IPv6 player and an IPv4 backend, or the reverse.
        case familyMismatch
        /// No address a player can have: loopback, multicast, broadcast, unspecified, port 0.
        case impossibleOrigin
        /// The way back from the backend is not proven.
        case notReady
        /// The limit on flows is reached.
        case limit
        /// The backend refused, or the network did.
        case network
    }

    /// What stood in the way.
    public var cause: Cause
    /// What the kernel said, or would have said.
    public var error: IOError

    /// A failure with its cause, and the kernel's error.
    public init(_ cause: Cause, _ error: IOError) {
        self.cause = cause
        self.error = error
    }

    public var description: String {
        switch self.cause {
        case .missingNetRaw:
            "\(self.error.call) is refused: the process lacks CAP_NET_RAW"
        case .missingBindService:
            "the player's port is below 1024: the process lacks CAP_NET_BIND_SERVICE"
        case .inUse: "the player's address and port are in use on this machine"
        case .flowExists: "the player already has a flow to this backend"
        case .familyMismatch: "the player and the backend are of different IP versions"
        case .impossibleOrigin: "no player can have this address"
        case .notReady: "the way back from the backend is not proven"
        case .limit: "too many transparent flows"
        case .network: self.error.description
        }
    }
}

/// Makes sockets that are bound to somebody else's address; needs `CAP_NET_RAW`, and a return path
/// that brings the replies back.
public enum TransparentSocket {
    /// Starts a TCP connection from `player` to `backend`.
    public static func connectTCP(
        from player: SocketAddress,
        to backend: SocketAddress,
        port: TransparentPort
    ) throws(TransparentFailure) -> TCPSocket {
        try self.check(player, backend)
        let isKept = port != .any
        do throws(TransparentFailure) {
            return try self.openTCP(from: player, to: backend, isKept: isKept)
        } catch {
            guard port == .keepOrAny, self.mayRetry(error) else { throw error }
            return try self.openTCP(from: player, to: backend, isKept: false)
        }
    }

    /// Opens a UDP socket from `player` that speaks with `backend` only.
    ///
    /// The kernel lets a second socket with the same two ends silently take the replies of the
    /// first; ``TransparentFlows`` stands guard against that.
    public static func connectUDP(
        from player: SocketAddress,
        to backend: SocketAddress,
        port: TransparentPort,
        options: UDPOptions = UDPOptions()
    ) throws(TransparentFailure) -> UDPSocket {
        try self.check(player, backend)
        let isKept = port != .any
        do throws(TransparentFailure) {
            return try self.openUDP(from: player, to: backend, isKept: isKept, options)
        } catch {
            guard port == .keepOrAny, self.mayRetry(error) else { throw error }
            return try self.openUDP(from: player, to: backend, isKept: false, options)
        }
    }

    /// Whether this process may bind foreign addresses of a family; `nil`: it may.
    public static func obstacle(family: Int32) -> TransparentFailure? {
        do throws(IOError) {
            let descriptor = try openSocket(family, SOCK_DGRAM)
            defer { closeDescriptor(descriptor) }
            try self.allowForeignSource(descriptor, family)
            return nil
        } catch {
            return self.failure(error, port: 0)
        }
    }

    /// Whether packets can have come from `address`, whatever a policy says of it besides.
    ///
    /// The kernel replaces some of these by an address of its own choice, 127.0.0.1 mostly, and a
    /// backend would then trust a stranger as it trusts its own machine.
    public static func isPossibleOrigin(_ address: SocketAddress) -> Bool {
        guard address.port != 0 else { return false }
        if address.isIPv4 {
            let first = address.ipv4 >> 24
            let isMulticast = (224...239).contains(first)
            return first != 0 && first != 127 && !isMulticast && address.ipv4 != .max
        }
        let isUnspecifiedOrLoopback = address.high == 0 && address.low <= 1
        let isMulticast = address.high >> 56 == 0xFF
        let isLinkLocal = address.high >> 54 == 0xFE80 >> 6
        return !isUnspecifiedOrLoopback && !isMulticast && !isLinkLocal
    }

    // MARK: Opening

    private static func check(
        _ player: SocketAddress,
        _ backend: SocketAddress
    ) throws(TransparentFailure) {
        guard player.isIPv4 == backend.isIPv4 else {
            let error = IOError(code: EAFNOSUPPORT, call: "bind")
            throw TransparentFailure(.familyMismatch, error)
        }
        guard self.isPossibleOrigin(player), player != backend else {
            let error = IOError(code: EADDRNOTAVAIL, call: "bind")
            throw TransparentFailure(.impossibleOrigin, error)
        }
    }

    private static func openTCP(
        from player: SocketAddress,
        to backend: SocketAddress,
        isKept: Bool
    ) throws(TransparentFailure) -> TCPSocket {
        do throws(IOError) {
            let descriptor = try openSocket(backend.family, SOCK_STREAM)
            do throws(IOError) {
                tune(descriptor)
                try self.allowForeignSource(descriptor, backend.family)
                // Lets one player hold connections to several backends from one port.
                try setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1, "setsockopt SO_REUSEADDR")
                try self.bindSource(descriptor, player, isKept: isKept, isTCP: true)
                _ = try withKernelAddress(backend, family: backend.family, "connect") {
                    let result = connect(descriptor, $0, $1)
                    return result == -1 && errno == EINPROGRESS ? 0 : result
                }
            } catch {
                closeDescriptor(descriptor)
                throw error
            }
            return TCPSocket(adopting: descriptor)
        } catch {
            throw self.failure(error, port: player.port)
        }
    }

    private static func openUDP(
        from player: SocketAddress,
        to backend: SocketAddress,
        isKept: Bool,
        _ options: UDPOptions
    ) throws(TransparentFailure) -> UDPSocket {
        do throws(IOError) {
            let descriptor = try UDPSocket.open(backend.family, options)
            do throws(IOError) {
                try self.allowForeignSource(descriptor, backend.family)
                if isKept {
                    // Without a port of its own a socket must not have this: the kernel would then
                    // choose ports that are in use.
                    let name: StaticString = "setsockopt SO_REUSEADDR"
                    try setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1, name)
                }
                try self.bindSource(descriptor, player, isKept: isKept, isTCP: false)
                _ = try withKernelAddress(backend, family: backend.family, "connect") {
                    connect(descriptor, $0, $1)
                }
                return UDPSocket(
                    adopting: descriptor,
                    connectedFrom: player,
                    options: options
                )
            } catch {
                closeDescriptor(descriptor)
                throw error
            }
        } catch {
            throw self.failure(error, port: player.port)
        }
    }

    static func allowForeignSource(
        _ descriptor: Int32,
        _ family: Int32
    ) throws(IOError) {
        if family == AF_INET {
            let name: StaticString = "setsockopt IP_TRANSPARENT"
            try setOption(
                descriptor,
                Int32(IPPROTO_IP),
                CLinuxShims_IP_TRANSPARENT,
                1,
                name
            )
        } else {
            let name: StaticString = "setsockopt IPV6_TRANSPARENT"
            let level = Int32(IPPROTO_IPV6)
            try setOption(descriptor, level, CLinuxShims_IPV6_TRANSPARENT, 1, name)
        }
    }

    private static func bindSource(
        _ descriptor: Int32,
        _ player: SocketAddress,
        isKept: Bool,
        isTCP: Bool
    ) throws(IOError) {
        if !isKept, isTCP {
            // The port is then chosen by both ends of the connection, so that one origin can have
            // more connections than there are ports.
            let name: StaticString = "setsockopt IP_BIND_ADDRESS_NO_PORT"
            let level = Int32(IPPROTO_IP)
            try? setOption(descriptor, level, CLinuxShims_IP_BIND_ADDRESS_NO_PORT, 1, name)
        }
        try bindSocket(descriptor, to: isKept ? player : player.with(port: 0))
    }

    private static func mayRetry(_ failure: TransparentFailure) -> Bool {
        failure.cause == .inUse || failure.cause == .missingBindService
    }

    private static func failure(_ error: IOError, port: UInt16) -> TransparentFailure {
        switch error.code {
        case EPERM: TransparentFailure(.missingNetRaw, error)
        case EACCES where port != 0 && port < 1024: TransparentFailure(.missingBindService, error)
        // From connect(2): a connection with the same two ends exists or is in TIME_WAIT.
        case EADDRINUSE, EADDRNOTAVAIL: TransparentFailure(.inUse, error)
        case EINVAL: TransparentFailure(.impossibleOrigin, error)
        default: TransparentFailure(.network, error)
        }
    }
}
