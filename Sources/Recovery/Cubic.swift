/// CUBIC (RFC 9438) with a delay-based exit from slow start after HyStart++ (RFC 9406).
struct Cubic: Sendable {
    /// What is kept of the window after a loss.
    private var beta = 0.7
    private static let growth = 0.4

    private(set) var pacingRate: Double
    private var packetSize: Double
    /// Bytes; from two packets to ``largestSize``, whatever a peer says.
    private var size: Double
    private static let largestSize = 1e9
    private var threshold = Double.infinity
    /// The window before the last reduction, and where the cubic curve has its plateau, in packets.
    private var plateau = 0.0
    private var rise = 0.0
    private var epochAt: UInt64 = 0
    private var reno = 0.0
    private var recoveryAt: UInt64 = 0
    private var undo: (size: Double, threshold: Double, plateau: Double) = (0, 0, 0)

    private var roundEnd: UInt64 = 0
    private var roundMinimum: UInt64 = .max
    private var previousMinimum: UInt64 = .max

    init(packetSize: Int) {
        self.packetSize = Double(packetSize)
        self.size = Double(packetSize) * 32
        self.pacingRate = Double(packetSize) * 32 / 0.02
    }

    /// Starts at `window` bytes: in slow start if it is only `searching` for its share, else in
    /// congestion avoidance.
    ///
    /// - Parameter beta: What it keeps of its window after a loss.
    init(packetSize: Int, window: Double, searching: Bool = false, beta: Double) {
        self.init(packetSize: packetSize)
        self.beta = beta
        self.size = Self.bounded(window, packetSize: Double(packetSize))
        if !searching { self.threshold = self.size }
        self.plateau = self.size / Double(packetSize)
    }

    var window: Int { Int(self.size) }

    private static func bounded(_ size: Double, packetSize: Double) -> Double {
        min(max(size, 2 * packetSize), Self.largestSize)
    }

    /// Nanoseconds for which this window, alone or beside its like, grows between two losses.
    ///
    /// Up the cubic curve, or faster by Reno's line where the window is small.
    func epoch(roundTrip: UInt64) -> UInt64 {
        let packets = self.size / self.packetSize
        let cubic = Self.cubeRoot(packets * (1 - self.beta) / Self.growth) * 1e9
        let step = 3 * (1 - self.beta) / (1 + self.beta)
        let reno = packets * (1 - self.beta) / step * Double(roundTrip)
        return UInt64(min(cubic, reno, 1e18))
    }

    mutating func restart(afterIdle idle: UInt64) {
        // RFC 9438 §5.8: time away is not time of growth.
        if self.epochAt > 0 { self.epochAt = self.epochAt.plus(idle) }
        if idle > 1_000_000_000 { self.size = min(self.size, 32 * self.packetSize) }
    }

    mutating func spuriousLoss(at now: UInt64) {
        guard self.undo.size > self.size else { return }
        (self.size, self.threshold, self.plateau) = self.undo
        self.undo.size = 0
        self.epochAt = 0
    }

    mutating func update(_ event: AckEvent) {
        self.packetSize = Double(event.packetSize)
        if event.lost > 0, event.lostSentAt >= self.recoveryAt { self.reduce(at: event.now) }
        let isLimited = Double(event.priorInFlight) >= 0.8 * self.size
        if event.acked > 0, isLimited || !event.isAppLimited {
            if self.size < self.threshold {
                self.size += Double(event.acked)
                self.watchDelay(event)
            } else {
                self.grow(event)
            }
        }
        self.size = Self.bounded(self.size, packetSize: self.packetSize)
        let round = Double(max(event.smoothedRoundTrip, 1_000)) * 1e-9
        self.pacingRate = (self.size < self.threshold ? 2 : 1.25) * self.size / round
    }

    private mutating func reduce(at now: UInt64) {
        self.undo = (self.size, self.threshold, self.plateau)
        self.recoveryAt = now
        let packets = self.size / self.packetSize
        // RFC 9438 §4.7: fast convergence.
        self.plateau = packets < self.plateau ? packets * (1 + self.beta) / 2 : packets
        self.size = max(self.size * self.beta, 2 * self.packetSize)
        self.threshold = self.size
        self.epochAt = 0
    }

    private mutating func grow(_ event: AckEvent) {
        let packets = self.size / self.packetSize
        if self.epochAt == 0 {
            self.epochAt = event.now
            self.reno = packets
            self.plateau = max(self.plateau, packets)
            self.rise = Self.cubeRoot((self.plateau - packets) / Self.growth)
        }
        let time =
            Double(event.now.less(self.epochAt).plus(event.smoothedRoundTrip)) * 1e-9 - self.rise
        let curve = self.plateau + Self.growth * time * time * time
        let goal = min(max(curve, packets), 1.5 * packets)
        let acked = Double(event.acked) / self.packetSize
        let step = 3 * (1 - self.beta) / (1 + self.beta)
        self.reno += step * acked / packets
        let next = max(packets + (goal - packets) / packets * acked, self.reno)
        self.size = next * self.packetSize
    }

    /// Leaves slow start when the least delay of a round has risen (RFC 9406 §4.2).
    private mutating func watchDelay(_ event: AckEvent) {
        if event.roundTrip > 0 { self.roundMinimum = min(self.roundMinimum, event.roundTrip) }
        guard event.priorDelivered >= self.roundEnd else { return }
        self.roundEnd = event.delivered
        if self.previousMinimum != .max, self.roundMinimum != .max {
            let step = min(max(self.previousMinimum / 8, 4_000_000), 16_000_000)
            if self.roundMinimum >= self.previousMinimum + step { self.threshold = self.size }
        }
        self.previousMinimum = self.roundMinimum
        self.roundMinimum = .max
    }

    /// Newton's method; no libm in pure code.
    static func cubeRoot(_ value: Double) -> Double {
        guard value > 0 else { return 0 }
        var root = max(value, 1)
        for _ in 0..<64 {
            let next = (2 * root + value / (root * root)) / 3
            if abs(next - root) <= root * 1e-9 { return next }
            root = next
        }
        return root
    }
}
