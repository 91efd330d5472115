/// The 32-bit number by which a packet names its receiver.
///
/// Inside: worker (8 bits), process generation (4), chance (20), so that whichever worker gets a
/// packet knows whose it is; outside: those bits under a small block cipher, so that nobody else
/// learns how many workers there are. Balanced Feistel network, four rounds (Luby and Rackoff,
/// 1988); it hides and does not protect, the record's AEAD does that.
struct ReceiverIndex {
    let key: UInt64

    func make(worker: Int, generation: Int, chance: UInt32) -> UInt32 {
        let plain =
            UInt32(truncatingIfNeeded: worker) << 24
            | UInt32(truncatingIfNeeded: generation & 15) << 20 | chance & 0xF_FFFF
        var left = UInt16(plain >> 16)  // bound: half of 32 bits
        var right = UInt16(truncatingIfNeeded: plain)
        for round in 0..<4 { (left, right) = (right, left ^ self.mix(right, round)) }
        return UInt32(clamping: left) << 16 | UInt32(clamping: right)
    }

    func owner(of index: UInt32) -> (worker: Int, generation: Int) {
        var left = UInt16(index >> 16)  // bound: half of 32 bits
        var right = UInt16(truncatingIfNeeded: index)
        for round in (0..<4).reversed() { (left, right) = (right ^ self.mix(left, round), left) }
        return (Int(left >> 8), Int(left >> 4 & 15))
    }

    private func mix(_ half: UInt16, _ round: Int) -> UInt16 {
        var state = (UInt64(half) | UInt64(round) << 16) ^ self.key
        state = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        state = (state ^ (state >> 27)) &* 0x94D0_49BB_1331_11EB
        return UInt16(truncatingIfNeeded: state >> 32)
    }
}
