public import Primitives

/// A block of addresses: `10.0.0.0/8`, `2001:db8::/32`.
///
/// A block written in IPv4-mapped form (`::ffff:10.0.0.0/104`) is the IPv4 block it means. An IPv6
/// block that holds the mapped addresses, such as `::/0`, does not hold IPv4.
public struct AddressPrefix: Hashable, Sendable {
    /// The lowest address; port 0.
    public let base: SocketAddress
    /// 0...32 for IPv4, 0...128 for IPv6.
    public let length: Int
    private let highMask: UInt64
    private let lowMask: UInt64

    /// Whether it is a block of IPv4 addresses, and so holds no others.
    public var isIPv4: Bool { self.base.isIPv4 }

    /// The block of `length` bits that `address` lies in; `nil` if its family has fewer bits.
    public init?(_ address: SocketAddress, length: Int) {
        guard (0...(address.isIPv4 ? 32 : 128)).contains(length) else { return nil }
        let bits = length + (address.isIPv4 ? 96 : 0)
        // A shift by 64 or more yields 0, the mask of no bits.
        let highMask = UInt64.max << UInt64(max(0, 64 - bits))
        let lowMask = UInt64.max << UInt64(min(64, 128 - bits))
        let base = SocketAddress(
            high: address.high & highMask,
            low: address.low & lowMask,
            port: 0
        )
        self.base = base
        self.length = length
        self.highMask = highMask
        self.lowMask = lowMask
    }

    /// Reads CIDR notation or a bare address; `nil` for anything else, set bits below the mask
    /// included, because they are nearly always a slip.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let host = parts.first,
            let address = SocketAddress(host: String(host), port: 0)
        else { return nil }
        let isMapped = address.isIPv4 && host.contains(":")
        var length = address.isIPv4 ? 32 : 128
        if parts.count == 2 {
            guard (1...3).contains(parts[1].utf8.count),
                parts[1].utf8.allSatisfy({ (48...57).contains($0) }), let given = Int(parts[1])
            else { return nil }
            // Shorter than 96 bits it would be a block of IPv6 written as if it were IPv4.
            length = isMapped ? given - 96 : given
        }
        self.init(address, length: length)
        guard self.base == address else { return nil }
    }

    /// Whether the address of `address` lies inside; its port plays no part.
    @inline(__always)
    public func contains(_ address: SocketAddress) -> Bool {
        address.isIPv4 == self.isIPv4 && address.high & self.highMask == self.base.high
            && address.low & self.lowMask == self.base.low
    }

    /// Whether every address of `other` lies inside.
    public func contains(_ other: Self) -> Bool {
        other.isIPv4 == self.isIPv4 && other.length >= self.length && self.contains(other.base)
    }
}

extension AddressPrefix: CustomStringConvertible {
    public var description: String { "\(self.base.hostText)/\(self.length)" }
}

/// The networks whose word about a player is believed on a listener.
///
/// Asked for every datagram, and never more than a few dozen long: a walk over contiguous memory.
public struct TrustedNetworks: Sendable {
    private let prefixes: ContiguousArray<AddressPrefix>

    /// The listener's `trusted` networks, of either family.
    public init(_ prefixes: [AddressPrefix]) { self.prefixes = ContiguousArray(prefixes) }

    /// Nobody is trusted by an empty list.
    public func contains(_ address: SocketAddress) -> Bool {
        for index in self.prefixes.indices where self.prefixes[index].contains(address) {
            return true
        }
        return false
    }
}
