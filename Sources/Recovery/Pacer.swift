/// A token bucket in bytes; nanoseconds and bytes a second.
///
/// Tokens may go negative: what may not wait is sent at once and paid for afterwards.
struct TokenBucket: Sendable {
    private(set) var tokens: Double
    private var filledAt: UInt64

    init(tokens: Double, at now: UInt64) {
        self.tokens = tokens
        self.filledAt = now
    }

    /// Adds what `rate` earned since the last call, up to `cap`.
    @inline(__always)
    mutating func fill(rate: Double, cap: Double, at now: UInt64) {
        guard now > self.filledAt else { return }
        let earned = Double(now - self.filledAt) * rate * 1e-9
        assert(rate >= 0 && earned >= 0)
        self.tokens = min(self.tokens + earned, max(cap, self.tokens))
        self.filledAt = now
        assert(self.tokens.isFinite)
    }

    /// Takes `bytes`, never deeper into debt than `floor`, which is negative.
    @inline(__always)
    mutating func take(_ bytes: Int, floor: Double) {
        assert(bytes >= 0 && floor <= 0)
        self.tokens = max(self.tokens - Double(bytes), min(floor, self.tokens))
    }

    /// When `rate` will have filled it to `level`.
    func time(at level: Double, rate: Double) -> UInt64 {
        guard level > self.tokens else { return self.filledAt }
        let wait = (level - self.tokens) / max(rate, 1) * 1e9
        return self.filledAt.plus(UInt64(min(max(wait, 0), 1e12))).plus(1)
    }
}
