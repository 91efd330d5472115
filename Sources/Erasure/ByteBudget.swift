public import Primitives

/// How many bytes redundancy may cost: a token bucket, one for each flow and one for each session.
@frozen
public struct ByteBudget: Sendable {
    /// How long an unused budget lasts.
    public static let depth = Instant.Interval.milliseconds(250)

    /// The rate at which the budget refills, in bits a second on the wire.
    public let bitsPerSecond: UInt64
    /// At most 2.5e17: 8 Gbit/s for ``depth``.
    private let full: UInt64
    private var nanobytes: UInt64
    private var updatedAt: Instant

    /// Starts full; at most 8 Gbit/s.
    public init(bitsPerSecond: UInt64, at now: Instant) {
        self.bitsPerSecond = min(bitsPerSecond, 8_000_000_000)
        self.updatedAt = now
        self.full = self.bitsPerSecond / 8 * Self.depth.nanoseconds  // bound: 2.5e17
        self.nanobytes = self.full
    }

    /// Takes the bytes of a redundant packet, wire overhead included; false if they are not there.
    public mutating func take(_ byteCount: Int, at now: Instant) -> Bool {
        self.refill(at: now)
        let cost = UInt64(max(0, byteCount)).multipliedReportingOverflow(by: 1_000_000_000)
        guard !cost.overflow, cost.partialValue <= self.nanobytes else { return false }
        self.nanobytes -= cost.partialValue
        assert(self.nanobytes <= self.full)
        return true
    }

    /// Gives back what was taken for a packet that was not sent after all.
    public mutating func giveBack(_ byteCount: Int) {
        self.nanobytes = min(
            self.full,
            self.nanobytes &+ UInt64(max(0, byteCount)) &* 1_000_000_000
        )
    }

    private mutating func refill(at now: Instant) {
        let elapsed = min(now.since(self.updatedAt), Self.depth)
        let earned = self.bitsPerSecond / 8 * elapsed.nanoseconds  // bound: `full`
        self.nanobytes = min(self.full, self.nanobytes + earned)
        self.updatedAt = max(self.updatedAt, now)
        assert(self.nanobytes <= self.full, "more than a full budget")
    }
}
