/// After BBR version 1 (draft-cardwell-iccrg-bbr-congestion-control-00): loss-blind, with the
/// classic gain cycle.
///
/// For comparison, and for paths whose delay is too noisy to guard.
struct BottleneckModel: Sendable {
    enum Phase: Sendable { case startup, drain, probeBandwidth, probeRTT }

    private static let highGain = 2.885

    private(set) var phase = Phase.startup
    private(set) var window: Int
    private(set) var pacingRate: Double
    private var packetSize: Int
    private var filter = MaximumFilter()
    private var minimum: UInt64 = 0
    private var minimumAt: UInt64
    private var round = 0
    private var roundEnd: UInt64 = 0
    private var full = 0.0
    private var fullRounds = 0
    private var slot = 2
    private var slotStartedAt: UInt64 = 0
    private var probeEndsAt: UInt64 = 0
    private var isRestarting = false

    init(packetSize: Int, at now: UInt64) {
        self.packetSize = packetSize
        self.window = packetSize * 32
        self.pacingRate = Double(packetSize) * 32 / 0.02
        self.minimumAt = now
    }

    private var product: Double { self.filter.value * Double(self.minimum) * 1e-9 }

    /// Goes on from what somebody else learned of the path.
    mutating func resume(bandwidth: Double, minimum: UInt64, at now: UInt64) {
        self.filter.reset(to: bandwidth, round: self.round)
        self.minimum = minimum
        self.minimumAt = now
        self.phase = .probeBandwidth
        self.slotStartedAt = now
    }

    mutating func restart(at now: UInt64) {
        self.minimumAt = max(self.minimumAt, now > 5_000_000_000 ? now - 5_000_000_000 : 0)
    }

    mutating func update(_ event: AckEvent) {
        self.packetSize = event.packetSize
        let isRoundStart = event.priorDelivered >= self.roundEnd
        if isRoundStart {
            self.round += 1
            self.roundEnd = event.delivered
        }
        if event.bandwidth > 0, !event.isAppLimited || event.bandwidth >= self.filter.value {
            self.filter.update(event.bandwidth, round: self.round, window: 10)
        }
        self.updateMinimum(event)
        guard self.filter.value > 0, self.minimum > 0 else { return }
        if isRoundStart, self.phase == .startup, !event.isAppLimited { self.checkFull() }
        self.step(event)
        let gain = self.gain
        self.pacingRate = max(gain * self.filter.value, Double(self.packetSize) * 10)
        if self.phase == .startup {
            let first = Double(32 * self.packetSize) * 1e9 / Double(max(self.minimum, 1_000_000))
            self.pacingRate = max(self.pacingRate, first)
        }
        let windowGain = self.phase == .startup || self.phase == .drain ? Self.highGain : 2
        let slack = self.filter.value * 0.005 + Double(3 * self.packetSize)
        let target = windowGain * self.product + slack
        let floor = self.minimum < 1_000_000 ? 64 : 4
        self.window =
            self.phase == .probeRTT
            ? 4 * self.packetSize
            : max(Int(min(target, 1e9)), floor * self.packetSize)
    }

    private var gain: Double {
        switch self.phase {
        case .startup: Self.highGain
        case .drain: 1 / Self.highGain
        case .probeBandwidth: self.slot == 0 ? 1.25 : self.slot == 1 ? 0.75 : 1
        case .probeRTT: 1
        }
    }

    private mutating func updateMinimum(_ event: AckEvent) {
        guard event.roundTrip > 0 else { return }
        let isExpired = event.now > self.minimumAt.plus(10_000_000_000)
        if self.minimum == 0 || event.roundTrip <= self.minimum || isExpired {
            self.minimum = event.roundTrip
            self.minimumAt = event.now
        }
        if isExpired, self.phase == .probeBandwidth {
            self.phase = .probeRTT
            self.probeEndsAt = event.now.plus(200_000_000)
        }
    }

    private mutating func checkFull() {
        if self.filter.value >= 1.25 * self.full {
            self.full = self.filter.value
            self.fullRounds = 0
            return
        }
        self.fullRounds += 1
        if self.fullRounds >= 3 { self.phase = .drain }
    }

    private mutating func step(_ event: AckEvent) {
        switch self.phase {
        case .startup: break
        case .drain:
            if Double(event.inFlight) <= self.product { self.enterProbing(event.now) }
        case .probeRTT:
            if event.now > self.probeEndsAt { self.enterProbing(event.now) }
        case .probeBandwidth:
            let elapsed = event.now.less(self.slotStartedAt) > max(self.minimum, 1_000_000)
            let isFull =
                self.slot != 0 || event.lost > 0
                || Double(event.priorInFlight) >= 1.25 * self.product
            let isDrained = self.slot == 1 && Double(event.inFlight) <= self.product
            if (elapsed && isFull) || isDrained {
                self.slot = (self.slot + 1) & 7
                self.slotStartedAt = event.now
            }
        }
    }

    private mutating func enterProbing(_ now: UInt64) {
        self.phase = .probeBandwidth
        self.slot = 2 + Int(now >> 20 & 3)
        self.slotStartedAt = now
    }
}
