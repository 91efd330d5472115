import Primitives

extension SeededGenerator {
    /// An exponentially distributed draw with the given mean, in integers only.
    ///
    /// −ln(u) is −log₂(u) · ln 2; the logarithm is taken bit by bit, by squaring a mantissa.
    mutating func exponential(mean: UInt64) -> UInt64 {
        let draw = self.next() | 1
        let shift = draw.leadingZeroBitCount
        var mantissa = (draw << UInt64(shift)) >> 32  // In [2³¹, 2³²): one to two, 31 bits after.
        var fraction: UInt64 = 0
        for bit in 1...16 {
            mantissa = (mantissa * mantissa) >> 31
            if mantissa >> 32 != 0 {
                mantissa >>= 1
                fraction |= 1 << (16 - UInt64(bit))
            }
        }
        // log₂(u) = −shift − 1 + fraction / 2¹⁶, with u in (0, 1).
        let magnitude = ((UInt64(shift) + 1) << 16) - fraction
        let naturalTimes65536 = (magnitude * 45_426) >> 16  // ln 2 · 2¹⁶
        let (high, low) = mean.multipliedFullWidth(by: naturalTimes65536)
        return (high << 48) | (low >> 16)
    }
}
