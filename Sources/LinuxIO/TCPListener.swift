import CLinuxShims
import Glibc
public import Primitives

/// One accepted connection.
public struct AcceptedConnection: Sendable {
    /// The connection, non-blocking, whose closing is now the caller's affair.
    public var socket: TCPSocket
    /// Who connected.
    public var peer: SocketAddress
    /// The address they connected to.
    public var local: SocketAddress
}

/// A listening TCP socket.
public final class TCPListener {
    /// The listening socket, for a poller; closed with the object.
    public let descriptor: Int32
    /// What it is bound to, with the port the kernel chose.
    public let localAddress: SocketAddress
    /// Bound before this machine had the address: nobody reaches it until it has.
    public let isAhead: Bool

    private let backlog: Int32

    /// Binds to `address` and listens.
    ///
    /// A transparent one takes connections to addresses and ports that are not this machine's,
    /// where a rule of the packet filter leads them here, and needs `CAP_NET_RAW`. With
    /// `awaitsAddress` the address may be one that this machine does not have yet.
    public init(
        binding address: SocketAddress,
        sharing: PortSharing = .exclusive,
        isDualStack: Bool = true,
        isTransparent: Bool = false,
        awaitsAddress: Bool = false,
        backlog: Int32 = 4096
    ) throws(IOError) {
        let descriptor = try openSocket(address.family, SOCK_STREAM)
        var isAhead = false
        do throws(IOError) {
            try setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1, "setsockopt SO_REUSEADDR")
            if address.family == AF_INET6 {
                let only: Int32 = isDualStack ? 0 : 1
                try setOption(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, only, "IPV6_V6ONLY")
            }
            if isTransparent {
                try TransparentSocket.allowForeignSource(descriptor, address.family)
            }
            let share = { () throws(IOError) in
                try setOption(descriptor, SOL_SOCKET, SO_REUSEPORT, 1, "setsockopt SO_REUSEPORT")
            }
            if sharing == .further { try share() }
            let reserved = address.port == 0 ? ReservedPort(address, isDualStack) : nil
            isAhead = try bindListener(
                descriptor,
                to: address.with(port: reserved?.port ?? address.port),
                awaits: awaitsAddress
            )
            if sharing == .first { try share() }
            _ = try plainCall("listen") { listen(descriptor, backlog) }
        } catch {
            closeDescriptor(descriptor)
            throw error
        }
        self.descriptor = descriptor
        self.localAddress = LinuxIO.localAddress(of: descriptor) ?? address
        self.isAhead = isAhead
        self.backlog = backlog
    }

    deinit { closeDescriptor(self.descriptor) }

    /// Refuses connections from now on, and resets those that wait; the port stays this socket's.
    ///
    /// A poller reports the socket as hung up meanwhile.
    public func pause() { _ = shutdown(self.descriptor, Int32(SHUT_RD)) }

    /// Takes connections again.
    public func resume() throws(IOError) {
        _ = try plainCall("listen") { listen(self.descriptor, self.backlog) }
    }

    /// Takes the next waiting connection.
    ///
    /// Connections that failed while they waited are skipped. What is thrown concerns this process,
    /// such as `EMFILE`, and will not go away by trying at once again.
    public func accept() throws(IOError) -> IOResult<AcceptedConnection> {
        while true {
            var storage = sockaddr_storage()
            var length = socklen_t(addressCapacity)
            let result = withUnsafeMutablePointer(to: &storage) {
                CLinuxShims_accept4(self.descriptor, $0, &length)
            }
            guard result >= 0 else {
                switch errno {
                case EAGAIN: return .wouldBlock
                // accept(2): errors of the connection, to be treated like no connection.
                case EINTR, ECONNABORTED, ENETDOWN, EPROTO, ENOPROTOOPT, EHOSTDOWN, ENONET,
                    EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH, EPERM:
                    continue
                case let code: throw IOError(code: code, call: "accept4")
                }
            }
            let peer = withUnsafeBytes(of: &storage) { bytes in
                bytes.baseAddress.flatMap { SocketAddress(kernel: $0, length: length) }
            }
            guard let peer, let local = LinuxIO.localAddress(of: result) else {
                closeDescriptor(result)
                continue
            }
            tune(result)
            return .done(
                AcceptedConnection(
                    socket: TCPSocket(adopting: result),
                    peer: peer,
                    local: local
                )
            )
        }
    }
}

/// A port that the kernel has chosen, kept from others until it is bound by its number.
///
/// The kernel lets go of a port that it chose itself when the socket stops to listen.
private final class ReservedPort {
    let port: UInt16
    private let descriptor: Int32

    init?(_ address: SocketAddress, _ isDualStack: Bool) {
        guard let descriptor = try? openSocket(address.family, SOCK_STREAM) else { return nil }
        self.descriptor = descriptor
        do throws(IOError) {
            try setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1, "setsockopt SO_REUSEADDR")
            if address.family == AF_INET6 {
                let only: Int32 = isDualStack ? 0 : 1
                try setOption(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, only, "IPV6_V6ONLY")
            }
            _ = try bindListener(descriptor, to: address, awaits: false)
        } catch {
            closeDescriptor(descriptor)
            return nil
        }
        guard let local = LinuxIO.localAddress(of: descriptor) else {
            closeDescriptor(descriptor)
            return nil
        }
        self.port = local.port
    }

    deinit { closeDescriptor(self.descriptor) }
}
