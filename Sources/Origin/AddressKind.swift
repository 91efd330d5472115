import Primitives

/// What an address is for, as far as it matters to who may claim it.
enum AddressKind: Equatable {
    /// No player can have it, whatever a client may claim.
    case bogon(OriginRefusal)
    /// Some player can have it, but only one in a network of somebody's own: an entry covers it
    /// only if it lies within this block.
    case special(AddressPrefix)
    /// Anybody on the Internet. The documentation and benchmarking ranges (RFC 5737, 3849, 2544)
    /// belong here: nobody is harmed by them, and test networks are built of them.
    case global

    static func of(_ address: SocketAddress) -> Self {
        address.isIPv4 ? Self.ofIPv4(address) : Self.ofIPv6(address)
    }

    /// The block that an address of somebody's own network lies in, as it is written.
    static func block(of address: SocketAddress) -> AddressPrefix? {
        guard case .special(let block) = Self.of(address) else { return nil }
        return block
    }

    private static func ofIPv4(_ address: SocketAddress) -> Self {
        let bits = address.ipv4
        switch bits >> 24 {
        case 0: return .bogon(.unspecified)
        case 127: return .bogon(.loopback)
        case 224...239: return .bogon(.multicast)
        default: break
        }
        if bits >> 16 == 0xA9FE { return .bogon(.linkLocal) }
        if bits == UInt32.max { return .bogon(.broadcast) }
        return Self.special(address, Self.specialIPv4) ?? .global
    }

    private static func ofIPv6(_ address: SocketAddress) -> Self {
        if address.high == 0 {
            // ::, ::1, and ancient ways to write IPv4 that some stacks still read as such.
            return .bogon(address.low == 1 ? .loopback : .unspecified)
        }
        if address.high >> 56 == 0xFF { return .bogon(.multicast) }
        if address.high >> 54 == 0xFE80 >> 6 { return .bogon(.linkLocal) }
        if let carried = Self.carriedIPv4(address) {
            // RFC 6052 §3.1, RFC 3056 §2: these prefixes stand for public IPv4 addresses alone.
            switch Self.ofIPv4(carried) {
            case .bogon(let refusal): return .bogon(refusal)
            case .global: return .global
            case .special: break
            }
        }
        // IANA has allotted 2000::/3 to the Internet, nothing else.
        return Self.special(address, Self.specialIPv6) ?? .global
    }

    /// The IPv4 address inside 64:ff9b::/96 (NAT64) or 2002::/16 (6to4).
    private static func carriedIPv4(_ address: SocketAddress) -> SocketAddress? {
        if address.high == 0x0064_FF9B_0000_0000, address.low >> 32 == 0 {
            return SocketAddress(ipv4: UInt32(address.low), port: 0)
        }
        guard address.high >> 48 == 0x2002 else { return nil }
        return SocketAddress(ipv4: UInt32(address.high >> 16 & 0xFFFF_FFFF), port: 0)
    }

    private static func special(_ address: SocketAddress, _ blocks: [AddressPrefix]) -> Self? {
        blocks.first { $0.contains(address) }.map { .special($0) }
    }

    /// RFC 1918, RFC 6598 (CGNAT), RFC 6890, and the reserved class E that pseudo-IPv4 uses.
    private static let specialIPv4 = [
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "192.0.0.0/24",
        "240.0.0.0/4",
    ].compactMap { AddressPrefix($0) }

    /// RFC 4193 (ULA), NAT64 and 6to4 of special IPv4, then all that is not allotted.
    private static let specialIPv6 = [
        "fc00::/7", "64:ff9b::/96", "2002::/16", "::/3", "4000::/3", "6000::/3", "8000::/3",
        "a000::/3", "c000::/3", "e000::/3",
    ].compactMap { AddressPrefix($0) }
}
