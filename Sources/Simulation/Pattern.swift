/// Endless bytes that look random and can be checked from any offset, without keeping them.
struct Pattern {
    let key: UInt64
    /// Which bits of each byte vary: fewer make the bytes compressible.
    var mask: UInt8 = 0xFF

    /// Eight bytes from block `block`; the mixer is SplitMix64's.
    private func word(_ block: UInt64) -> UInt64 {
        var mixed = self.key &+ block &* 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    func fill(_ target: UnsafeMutableRawBufferPointer, from offset: UInt64) {
        var index = 0
        while index < target.count {
            let position = offset + UInt64(index)
            var word = self.word(position / 8) >> (position % 8 * 8)
            for _ in position % 8..<8 where index < target.count {
                target[index] = UInt8(truncatingIfNeeded: word) & self.mask
                word >>= 8
                index += 1
            }
        }
    }

    /// Where `bytes` first differ from the pattern at `offset`; `nil` if they do not.
    func firstDifference(_ bytes: UnsafeRawBufferPointer, from offset: UInt64) -> Int? {
        var index = 0
        while index < bytes.count {
            let position = offset + UInt64(index)
            var word = self.word(position / 8) >> (position % 8 * 8)
            for _ in position % 8..<8 where index < bytes.count {
                if bytes[index] != UInt8(truncatingIfNeeded: word) & self.mask { return index }
                word >>= 8
                index += 1
            }
        }
        return nil
    }
}
