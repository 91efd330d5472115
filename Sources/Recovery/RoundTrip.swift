import Primitives

/// Smoothed round trip (RFC 9002 §5) and its windowed minimum; nanoseconds.
struct RoundTrip: Sendable {
    /// Assumed until the first sample.
    static let initial: UInt64 = 250_000_000
    /// A minimum not seen again for so long gives way to what is seen now.
    static let minimumWindow: UInt64 = 10_000_000_000

    private(set) var smoothed: UInt64 = Self.initial
    private(set) var variance: UInt64 = Self.initial / 2
    private(set) var latest: UInt64 = 0
    /// Zero before the first sample.
    private(set) var minimum: UInt64 = 0
    private var minimumAt: UInt64 = 0
    /// The least sample since `minimumAt` moved last, which replaces an expired minimum.
    private var candidate: UInt64 = .max

    var hasSample: Bool { self.minimum > 0 }

    /// `sample` without the peer's delay.
    mutating func update(_ sample: UInt64, at now: UInt64) {
        let sample = max(sample, 1_000)
        self.latest = sample
        guard self.hasSample else {
            self.smoothed = sample
            self.variance = sample / 2
            self.minimum = sample
            self.minimumAt = now
            return
        }
        let deviation =
            sample > self.smoothed ? sample - self.smoothed : self.smoothed - sample
        self.variance = (3 * self.variance + deviation) / 4
        self.smoothed = (7 * self.smoothed + sample) / 8
        self.candidate = min(self.candidate, sample)
        if sample <= self.minimum + self.minimum / 20 {
            self.minimum = min(self.minimum, sample)
            self.minimumAt = now
            self.candidate = .max
        } else if now > self.minimumAt + Self.minimumWindow {
            self.minimum = self.candidate
            self.minimumAt = now
            self.candidate = .max
        }
    }
}
