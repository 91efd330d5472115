/// A rate the operator vouches for, on the wire.
///
/// Path loss is made up for by at most a quarter more; not where loss comes with a queue, because
/// then the rate is above what the link can do, and more would only be dropped.
struct FixedRate: Sendable {
    private let rate: Double
    private(set) var pacingRate: Double
    private(set) var window: Int
    private var minimum: UInt64 = 0
    private var roundMinimum: UInt64 = .max
    private var roundEnd: UInt64 = 0
    private var roundAcked = 0
    private var roundLost = 0
    private var loss = 0.0

    init(bitsPerSecond: UInt64) {
        self.rate = max(Double(bitsPerSecond) / 8, 1_000)
        self.pacingRate = self.rate
        self.window = Int(min(max(self.rate * 0.5, 32_000), 1e9))
    }

    mutating func update(_ event: AckEvent) {
        if event.roundTrip > 0 {
            self.roundMinimum = min(self.roundMinimum, event.roundTrip)
            if self.minimum == 0 || event.roundTrip < self.minimum {
                self.minimum = event.roundTrip
            }
        }
        self.roundAcked += event.acked
        self.roundLost += event.lost
        guard event.priorDelivered >= self.roundEnd else { return }
        self.roundEnd = event.delivered
        let sent = self.roundAcked + self.roundLost
        if sent > 0 { self.loss += (Double(self.roundLost) / Double(sent) - self.loss) / 8 }
        let target = min(max(self.minimum / 10, 3_000_000), 12_000_000)
        let isCrowded =
            self.roundMinimum != .max && self.roundMinimum > self.minimum.plus(target)
        self.pacingRate = isCrowded ? self.rate : self.rate / max(0.8, 1 - self.loss)
        let span = max(Double(self.minimum) * 2e-9, Double(self.minimum) * 1e-9 + 0.05)
        self.window = Int(min(max(self.pacingRate * span, 32_000), 1e9))
        self.roundMinimum = .max
        self.roundAcked = 0
        self.roundLost = 0
    }
}
