/// The only source of chance in simulations and tests: SplitMix64 (Steele, Lea and Flood, 2014),
/// the same stream on every machine.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// A generator whose whole stream follows from `seed`; every seed is a good one, 0 included.
    public init(seed: UInt64) { self.state = seed }

    /// The next 64 bits of the stream.
    public mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// An unbiased draw from `0..<bound`, by rejection, so that the stream does not depend on the
    /// standard library.
    public mutating func below(_ bound: UInt64) -> UInt64 {
        precondition(bound > 0)
        let limit = UInt64.max - UInt64.max % bound
        while true {
            let draw = self.next()
            if draw < limit { return draw % bound }
        }
    }

    /// True in `numerator` out of `denominator` draws; integers, because floating point is not ours
    /// to replay.
    public mutating func chance(_ numerator: UInt64, in denominator: UInt64) -> Bool {
        precondition(numerator <= denominator)
        return self.below(denominator) < numerator
    }
}
