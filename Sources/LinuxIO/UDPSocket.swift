import CLinuxShims
import Glibc
public import Primitives

/// How a UDP socket is made.
public struct UDPOptions: Sendable {
    /// Wanted kernel buffers in bytes; the kernel may grant less to an unprivileged process.
    public var receiveBuffer = 4 << 20
    /// Wanted kernel buffer for sending, in bytes, likewise.
    public var sendBuffer = 4 << 20
    /// Whether further sockets of this process are to share the port.
    public var sharing = PortSharing.exclusive
    /// Whether a socket bound to `[::]` takes IPv4 as well.
    public var isDualStack = true
    /// Sets Don't Fragment and lets packets larger than the path be reported instead of cut.
    public var forbidsFragments = false
    /// Asks for the address each datagram was sent to.
    public var reportsDestination = false
    /// Takes datagrams for addresses and ports that are not this machine's, where a rule of the
    /// packet filter leads them here, and tells which; needs `CAP_NET_RAW`.
    public var isTransparent = false
    /// Binds to an address that this machine does not have yet; see ``UDPSocket/isAhead``.
    public var awaitsAddress = false

    /// A socket of its own, with 4 MiB for each direction.
    public init() {}
}

/// Whether other sockets of this process may be bound to the same address and port.
///
/// The first of a group is bound alone, so that a port somebody else already has is an error and
/// not a silent sharing of traffic with, say, a forgotten second instance.
public enum PortSharing: Sendable {
    /// No other socket may be bound there.
    case exclusive
    /// The first of a group: it is bound alone, and lets others in afterwards.
    case first
    /// One more of a group whose first is bound.
    case further
}

/// What a UDP socket could not do; all of it is weather, none of it closes the socket.
@frozen
public struct UDPCounters: Sendable {
    /// Packets the kernel refused to send: no route, a firewall, no memory, a closed peer.
    public var sendRefused: UInt64 = 0
    /// Packets larger than the path to their destination.
    public var sendTooLarge: UInt64 = 0
    /// Errors reported while receiving, such as a connected peer's closed port.
    public var receiveErrors: UInt64 = 0

    /// Nothing refused yet.
    public init() {}

    /// What each total is shown as.
    public static let metrics = MetricTable<Self>([
        .counter(
            "send_refused",
            .count,
            "Packets of the tunnel that the kernel refused to send: no route, a firewall.",
            \.sendRefused
        ),
        .counter(
            "send_too_large",
            .count,
            "Packets of the tunnel larger than the path; the search for its size sends some.",
            \.sendTooLarge
        ),
        .counter(
            "receive_errors",
            .count,
            "Errors that the tunnel's sockets reported while receiving.",
            \.receiveErrors
        ),
    ])

    /// The totals of both, as pages show them for all sockets of a process.
    public static func + (a: Self, b: Self) -> Self {
        var sum = a
        Self.metrics.add(b, to: &sum)
        return sum
    }
}

/// A non-blocking UDP socket that moves batches: `recvmmsg` with UDP_GRO, `sendmmsg` with
/// UDP_SEGMENT.
public final class UDPSocket {
    /// The socket, for a poller; closed with the object.
    public let descriptor: Int32
    /// `AF_INET` or `AF_INET6`.
    public let family: Int32
    /// Whether it is connected (connect(2)): hears one peer only, and learns of its closed port.
    public let isConnected: Bool
    /// What the socket is bound to, with the port the kernel chose.
    public let localAddress: SocketAddress
    /// Whether each received datagram tells the address it was sent to.
    public let reportsDestination: Bool
    /// Bound before this machine had the address: hears nothing until it has.
    public let isAhead: Bool
    /// Turns false for ever once the kernel or its device has refused UDP_SEGMENT.
    public internal(set) var usesSegmentation: Bool
    /// What could not be done, since the socket was opened.
    public internal(set) var counters = UDPCounters()

    /// Opens a socket bound to `address`.
    public init(binding address: SocketAddress, options: UDPOptions) throws(IOError) {
        let descriptor = try Self.open(address.family, options)
        var isAhead = false
        do throws(IOError) {
            if options.isTransparent {
                try TransparentSocket.allowForeignSource(descriptor, address.family)
                try Self.reportOriginalDestination(descriptor, address.family)
            }
            if options.sharing == .further {
                try setOption(descriptor, SOL_SOCKET, SO_REUSEPORT, 1, "setsockopt SO_REUSEPORT")
            }
            isAhead = try bindListener(descriptor, to: address, awaits: options.awaitsAddress)
            if options.sharing == .first {
                try setOption(descriptor, SOL_SOCKET, SO_REUSEPORT, 1, "setsockopt SO_REUSEPORT")
            }
        } catch {
            closeDescriptor(descriptor)
            throw error
        }
        self.descriptor = descriptor
        self.family = address.family
        self.isConnected = false
        self.reportsDestination = options.reportsDestination || options.isTransparent
        self.isAhead = isAhead
        self.localAddress = LinuxIO.localAddress(of: descriptor) ?? address
        self.usesSegmentation = true
    }

    /// Opens a socket that speaks with `address` only.
    public init(connectingTo address: SocketAddress, options: UDPOptions) throws(IOError) {
        let descriptor = try Self.open(address.family, options)
        do throws(IOError) {
            _ = try withKernelAddress(address, family: address.family, "connect") {
                connect(descriptor, $0, $1)
            }
        } catch {
            closeDescriptor(descriptor)
            throw error
        }
        self.descriptor = descriptor
        self.family = address.family
        self.isConnected = true
        self.reportsDestination = options.reportsDestination
        self.isAhead = false
        self.localAddress = LinuxIO.localAddress(of: descriptor) ?? address
        self.usesSegmentation = true
    }

    /// Takes over what ``open(_:_:)`` made, once it is bound and connected.
    init(adopting descriptor: Int32, connectedFrom address: SocketAddress, options: UDPOptions) {
        self.descriptor = descriptor
        self.family = address.family
        self.isConnected = true
        self.reportsDestination = options.reportsDestination
        self.isAhead = false
        self.localAddress = LinuxIO.localAddress(of: descriptor) ?? address
        self.usesSegmentation = true
    }

    /// Takes over what ``open(_:_:)`` made, once it is bound.
    init(adoptingBound descriptor: Int32, _ address: SocketAddress) {
        self.descriptor = descriptor
        self.family = address.family
        self.isConnected = false
        self.reportsDestination = false
        self.isAhead = false
        self.localAddress = LinuxIO.localAddress(of: descriptor) ?? address
        self.usesSegmentation = true
    }

    deinit { closeDescriptor(self.descriptor) }

    static func open(_ family: Int32, _ options: UDPOptions) throws(IOError) -> Int32 {
        let descriptor = try openSocket(family, SOCK_DGRAM)
        do throws(IOError) {
            try Self.configure(descriptor, family, options)
        } catch {
            closeDescriptor(descriptor)
            throw error
        }
        return descriptor
    }

    private static func configure(
        _ descriptor: Int32,
        _ family: Int32,
        _ options: UDPOptions
    ) throws(IOError) {
        setBuffer(
            descriptor,
            options.receiveBuffer,
            forced: CLinuxShims_SO_RCVBUFFORCE,
            plain: SO_RCVBUF
        )
        setBuffer(
            descriptor,
            options.sendBuffer,
            forced: CLinuxShims_SO_SNDBUFFORCE,
            plain: SO_SNDBUF
        )
        // An old kernel without UDP_GRO delivers datagrams one by one, which is read as well.
        try? setOption(descriptor, Int32(IPPROTO_UDP), CLinuxShims_UDP_GRO, 1, "UDP_GRO")
        let ip = Int32(IPPROTO_IP)
        let ip6 = Int32(IPPROTO_IPV6)
        if family == AF_INET6 {
            let only: Int32 = options.isDualStack ? 0 : 1
            try setOption(descriptor, ip6, IPV6_V6ONLY, only, "setsockopt IPV6_V6ONLY")
        }
        if options.forbidsFragments {
            let probe = Int32(CLinuxShims_PMTUDISC_PROBE)
            // An IPv6 socket carries IPv4 too, and then obeys the IPv4 option.
            try setOption(descriptor, ip, CLinuxShims_IP_MTU_DISCOVER, probe, "IP_MTU_DISCOVER")
            if family == AF_INET6 {
                let name = CLinuxShims_IPV6_MTU_DISCOVER
                try setOption(descriptor, ip6, name, probe, "IPV6_MTU_DISCOVER")
            }
        }
        if options.reportsDestination {
            if family == AF_INET {
                try setOption(descriptor, ip, IP_PKTINFO, 1, "setsockopt IP_PKTINFO")
            } else {
                let name = CLinuxShims_IPV6_RECVPKTINFO
                try setOption(descriptor, ip6, name, 1, "setsockopt IPV6_RECVPKTINFO")
            }
        }
    }

    /// An IPv6 socket may take IPv4 as well, and then obeys the IPv4 option.
    private static func reportOriginalDestination(
        _ descriptor: Int32,
        _ family: Int32
    ) throws(IOError) {
        let name: StaticString = "setsockopt RECVORIGDSTADDR"
        let option = CLinuxShims_IP_RECVORIGDSTADDR
        try setOption(descriptor, Int32(IPPROTO_IP), option, 1, name)
        guard family == AF_INET6 else { return }
        let option6 = CLinuxShims_IPV6_RECVORIGDSTADDR
        try setOption(descriptor, Int32(IPPROTO_IPV6), option6, 1, name)
    }
}

/// Asks for a buffer beyond the system's limit, which root may, and else for as much as allowed.
private func setBuffer(_ descriptor: Int32, _ size: Int, forced: Int32, plain: Int32) {
    let size = Int32(clamping: size)
    do throws(IOError) {
        try setOption(descriptor, SOL_SOCKET, forced, size, "setsockopt BUFFORCE")
    } catch {
        // The kernel cuts a wish down to its limit instead of refusing it.
        try? setOption(descriptor, SOL_SOCKET, plain, size, "setsockopt BUF")
    }
}

/// Binds a socket that others will send to; true if this machine has no such address yet.
///
/// With `awaits` the kernel takes the address on trust (ip(7), `IP_FREEBIND`), and the socket
/// hears what is sent there from the moment the machine has it.
func bindListener(
    _ descriptor: Int32,
    to address: SocketAddress,
    awaits: Bool
) throws(IOError) -> Bool {
    do throws(IOError) {
        try bindSocket(descriptor, to: address)
        return false
    } catch {
        guard awaits, error.code == EADDRNOTAVAIL else { throw error }
    }
    if address.isIPv4 {
        let option = CLinuxShims_IP_FREEBIND
        try setOption(descriptor, Int32(IPPROTO_IP), option, 1, "setsockopt IP_FREEBIND")
    } else {
        let option = CLinuxShims_IPV6_FREEBIND
        try setOption(descriptor, Int32(IPPROTO_IPV6), option, 1, "setsockopt IPV6_FREEBIND")
    }
    try bindSocket(descriptor, to: address)
    return true
}

func bindSocket(_ descriptor: Int32, to address: SocketAddress) throws(IOError) {
    _ = try withKernelAddress(address, family: address.family, "bind") {
        bind(descriptor, $0, $1)
    }
}
