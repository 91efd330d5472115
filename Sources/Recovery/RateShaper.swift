public import Primitives

/// Holds what is sent, or what is taken, to a rate somebody has set.
///
/// A token bucket: what may not wait goes at once and is paid for afterwards.
public struct RateShaper: Sendable {
    /// Bytes a second; `nil`: any rate.
    public private(set) var rate: UInt64?
    private var bucket: TokenBucket
    /// How much time may be saved up, in seconds.
    private let span: Double
    /// Bytes that may be saved up whatever the rate.
    private let least: Double

    /// A rate below this would not even carry what keeps a session alive.
    public static let lowestRate: UInt64 = 1_000

    private init(span: Double, least: Double, at now: Instant) {
        self.span = span
        self.least = least
        self.bucket = TokenBucket(tokens: least, at: now.nanoseconds)
    }

    /// For a sender: smooth, with bursts of 20 ms or three packets.
    public static func smooth(at now: Instant) -> Self { Self(span: 0.02, least: 4_500, at: now) }

    /// For a receiver, whose sender knows the rate and keeps to it in his own time: what the path
    /// has gathered passes as well.
    public static func tolerant(at now: Instant) -> Self {
        Self(span: 1, least: 262_144, at: now)
    }

    /// Sets the limit in bytes a second, at least ``lowestRate``; `nil` lifts it.
    public mutating func setRate(_ rate: UInt64?, at now: Instant) {
        guard rate != self.rate else { return }
        self.fill(at: now)
        self.rate = rate.map { max($0, Self.lowestRate) }
    }

    private mutating func fill(at now: Instant) {
        guard let rate = self.rate else { return }
        let speed = Double(rate)
        self.bucket.fill(
            rate: speed,
            cap: max(speed * self.span, self.least),
            at: now.nanoseconds
        )
    }

    /// Whether something may pass now.
    public mutating func isOpen(at now: Instant) -> Bool {
        guard self.rate != nil else { return true }
        self.fill(at: now)
        return self.bucket.tokens > 0
    }

    /// Charges `byteCount` bytes, allowed or not.
    public mutating func spend(_ byteCount: Int, at now: Instant) {
        guard self.rate != nil else { return }
        self.fill(at: now)
        self.bucket.take(byteCount, floor: -Self.deepestDebt)
    }

    /// What was sent because it may not wait is paid for, but not for ever.
    private static let deepestDebt = 65_536.0

    /// When ``isOpen(at:)`` turns true; ``Instant/never`` if it is or nothing is limited.
    public var deadline: Instant {
        guard let rate = self.rate, self.bucket.tokens <= 0 else { return .never }
        return Instant(nanoseconds: self.bucket.time(at: 1, rate: Double(rate)))
    }
}
