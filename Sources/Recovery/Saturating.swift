/// Times and sizes that a peer has a say in: whatever it does, they end at a bound and never wrap.
extension UInt64 {
    /// `self - other`, or 0.
    @inline(__always)
    func less(_ other: UInt64) -> UInt64 { self > other ? self - other : 0 }

    /// `self + other`, or the most there is.
    @inline(__always)
    func plus(_ other: UInt64) -> UInt64 {
        let (sum, overflow) = self.addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}
