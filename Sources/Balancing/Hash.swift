import Primitives

/// Spreads identities and sources over tables; the same on every machine.
enum Hash {
    /// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
    static func mix(_ word: UInt64) -> UInt64 {
        var mixed = word &+ 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    static func name(_ name: String) -> UInt64 {
        // FNV-1a: names are short and this happens once.
        name.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    /// The host alone: a player's streams and flows use many ports and belong together.
    static func host(_ address: SocketAddress, seed: UInt64) -> UInt64 {
        Self.mix(Self.mix(address.high ^ seed) ^ address.low)
    }
}
