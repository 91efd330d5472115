public import Primitives

/// A stable IPv4 address for an IPv6 player, for backends that know nothing but IPv4.
public enum PseudoIPv4 {
    /// Hashes the first 64 bits of `player` into 240.0.0.0/4 and keeps the port.
    ///
    /// A home or a phone has a /64 and changes the rest at will, so a ban of the result holds as
    /// well as a ban of an IPv4 address does. The key keeps players from choosing whom to collide
    /// with; it must stay the same for as long as bans shall hold. IPv4 comes back unchanged.
    public static func address(for player: SocketAddress, key: HashKey) -> SocketAddress {
        guard !player.isIPv4 else { return player }
        var hash = SipHash(key)
        hash.update(player.high)
        var low = UInt32(truncatingIfNeeded: hash.finish()) & 0x0FFF_FFFF
        // 255.255.255.255 is broadcast, which the kernel would turn into something else.
        if low == 0x0FFF_FFFF { low = 0x0FFF_FFFE }
        return SocketAddress(ipv4: 0xF000_0000 | low, port: player.port)
    }
}
