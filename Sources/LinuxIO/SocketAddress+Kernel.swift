public import Glibc
public import Primitives

/// The size of the largest address the kernel hands out, `sockaddr_storage`.
let addressCapacity = MemoryLayout<sockaddr_storage>.size

extension SocketAddress {
    /// The family of a socket that can reach this address by its own kind.
    public var family: Int32 { self.isIPv4 ? AF_INET : AF_INET6 }

    /// `0.0.0.0` or `::`.
    public var isWildcard: Bool {
        self.isIPv4 ? self.ipv4 == 0 : self.high == 0 && self.low == 0
    }

    /// `0.0.0.0:port`.
    public static func anyIPv4(port: UInt16) -> Self { Self(ipv4: 0, port: port) }

    /// `[::]:port`.
    public static func anyIPv6(port: UInt16) -> Self { Self(high: 0, low: 0, port: port) }

    /// Writes the address as a socket of `family` wants it, and returns its length.
    ///
    /// An IPv4 address goes into an IPv6 socket in its mapped form; an IPv6 address does not go into
    /// an IPv4 socket, and yields 0. `target` has room for a `sockaddr_storage`.
    @inline(__always)
    func store(to target: UnsafeMutableRawPointer, family: Int32) -> socklen_t {
        target.storeBytes(of: sa_family_t(family), as: sa_family_t.self)
        target.storeBytes(of: self.port.bigEndian, toByteOffset: 2, as: UInt16.self)
        if family == AF_INET {
            guard self.isIPv4 else { return 0 }
            target.storeBytes(of: self.ipv4.bigEndian, toByteOffset: 4, as: UInt32.self)
            target.storeBytes(of: 0, toByteOffset: 8, as: UInt64.self)
            return socklen_t(MemoryLayout<sockaddr_in>.size)
        }
        target.storeBytes(of: 0, toByteOffset: 4, as: UInt32.self)
        target.storeBytes(of: self.high.bigEndian, toByteOffset: 8, as: UInt64.self)
        target.storeBytes(of: self.low.bigEndian, toByteOffset: 16, as: UInt64.self)
        target.storeBytes(of: self.scope, toByteOffset: 24, as: UInt32.self)
        return socklen_t(MemoryLayout<sockaddr_in6>.size)
    }

    /// Reads what the kernel wrote; `nil` for families other than the two of IP.
    ///
    /// The scope of an address that is not link-local is dropped, so that one peer is one value.
    @inline(__always)
    init?(kernel source: UnsafeRawPointer, length: socklen_t) {
        guard length >= 16 else { return nil }
        let port = UInt16(bigEndian: source.load(fromByteOffset: 2, as: UInt16.self))
        switch Int32(source.load(as: sa_family_t.self)) {
        case AF_INET:
            let bits = UInt32(bigEndian: source.load(fromByteOffset: 4, as: UInt32.self))
            self.init(ipv4: bits, port: port)
        case AF_INET6:
            guard length >= 28 else { return nil }
            let high = UInt64(bigEndian: source.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            let low = UInt64(bigEndian: source.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
            let isLinkLocal = high >> 54 == 0xFE80 >> 6
            let scope = isLinkLocal ? source.load(fromByteOffset: 24, as: UInt32.self) : 0
            self.init(high: high, low: low, port: port, scope: scope)
        default: return nil
        }
    }
}

/// Calls `body` with the address in the kernel's form.
func withKernelAddress<Value: FixedWidthInteger>(
    _ address: SocketAddress,
    family: Int32,
    _ name: StaticString,
    _ body: (UnsafePointer<sockaddr>, socklen_t) -> Value
) throws(IOError) -> IOResult<Value> {
    var storage = sockaddr_storage()
    let length = withUnsafeMutableBytes(of: &storage) { bytes in
        bytes.baseAddress.map { address.store(to: $0, family: family) } ?? 0
    }
    guard length > 0 else { throw IOError(code: EAFNOSUPPORT, call: name) }
    return try systemCall(name) {
        withUnsafePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }
}

/// The address a socket is bound to; `nil` if the kernel will not say.
func localAddress(of descriptor: Int32) -> SocketAddress? {
    readAddress { getsockname(descriptor, $0, $1) }
}

/// The address a socket is connected to.
func remoteAddress(of descriptor: Int32) -> SocketAddress? {
    readAddress { getpeername(descriptor, $0, $1) }
}

private func readAddress(
    _ body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
) -> SocketAddress? {
    var storage = sockaddr_storage()
    var length = socklen_t(addressCapacity)
    let result = withUnsafeMutablePointer(to: &storage) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, &length) }
    }
    guard result == 0 else { return nil }
    return withUnsafeBytes(of: &storage) { bytes in
        bytes.baseAddress.flatMap { SocketAddress(kernel: $0, length: length) }
    }
}

extension SocketAddress {
    /// The address of one answer of `getaddrinfo`.
    public init?(_ entry: addrinfo) {
        guard let address = entry.ai_addr else { return nil }
        self.init(kernel: UnsafeRawPointer(address), length: entry.ai_addrlen)
    }
}
