/// An IP address and a port as one plain value of 32 bytes, for both families.
///
/// IPv4 lives in the low half as its IPv4-mapped form, so that equality and hashing never depend on
/// which family a socket reported it in; ``isIPv4`` remembers how it was written.
@frozen
public struct SocketAddress: Hashable, Sendable {
    /// The first eight bytes of the address in network order, read as a big-endian number.
    public var high: UInt64
    /// The last eight bytes likewise.
    public var low: UInt64
    /// The port in host order; 0 in a listener's address lets the kernel choose one.
    public var port: UInt16
    /// The interface of a link-local IPv6 address, else 0.
    public var scope: UInt32

    /// An address out of its two halves, as ``high`` and ``low`` describe them.
    @inlinable
    public init(high: UInt64, low: UInt64, port: UInt16, scope: UInt32 = 0) {
        self.high = high
        self.low = low
        self.port = port
        self.scope = scope
    }

    /// `bits` is the address as a big-endian number: 127.0.0.1 is 0x7F00_0001.
    @inlinable
    public init(ipv4 bits: UInt32, port: UInt16) {
        self.init(high: 0, low: 0x0000_FFFF_0000_0000 | UInt64(bits), port: port)
    }

    /// Whether the address lies in ::ffff:0:0/96 (RFC 4291 §2.5.5.2), and so is written as IPv4.
    @inlinable
    public var isIPv4: Bool { self.high == 0 && self.low >> 32 == 0xFFFF }

    /// The IPv4 address as a big-endian number; meaningless unless ``isIPv4``.
    @inlinable
    public var ipv4: UInt32 { UInt32(truncatingIfNeeded: self.low) }

    /// 127.0.0.0/8 or ::1.
    public var isLoopback: Bool {
        self.isIPv4 ? self.ipv4 >> 24 == 127 : self.high == 0 && self.low == 1
    }

    /// Whether this process alone can be at `self` when it listens on `listener`: the same port,
    /// and the same host or one that every address of the machine stands for.
    public func isCertainlyAt(_ listener: Self) -> Bool {
        guard self.port == listener.port else { return false }
        if self.isSameHost(as: listener) { return true }
        let isEvery = listener.isIPv4 ? listener.ipv4 == 0 : listener.high == 0 && listener.low == 0
        let isUnspecified = self.isIPv4 ? self.ipv4 == 0 : self.high == 0 && self.low == 0
        let hears = listener.isIPv4 == self.isIPv4 || !listener.isIPv4
        return isEvery && hears && (self.isLoopback || isUnspecified)
    }

    /// The same host with another port.
    @inlinable
    public func with(port: UInt16) -> Self {
        Self(high: self.high, low: self.low, port: port, scope: self.scope)
    }

    /// Whether addresses and scopes are equal; ports are not compared.
    @inlinable
    public func isSameHost(as other: Self) -> Bool {
        self.high == other.high && self.low == other.low && self.scope == other.scope
    }
}
