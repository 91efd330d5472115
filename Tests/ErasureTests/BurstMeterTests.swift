import Erasure
import Primitives
import Testing

@Suite struct BurstMeterTests {
    /// Sixty messages a second, each followed by a copy, and what the meter makes of their fates.
    private func measured(
        lossShare: Double,
        burst: Double,
        seed: UInt64,
        copyAfter delay: UInt64 = 8
    ) -> (length: Double, rate: Double) {
        var channel = GameChannel(lossShare: lossShare, burst: burst, seed: seed)
        var meter = BurstMeter()
        var now = Instant(nanoseconds: 7_000_000_000)
        for number in 0..<3600 {
            for pause in [
                Instant.Interval.milliseconds(delay), .microseconds(16_667 - delay * 1000),
            ] {
                if channel.passes(at: now) {
                    meter.arrived(sentAt: now)
                } else {
                    meter.lost(sentAt: now)
                }
                now = now + pause
            }
            if number % 6 == 0 {
                meter.settle(before: Instant(nanoseconds: now.nanoseconds - 300_000_000))
            }
        }
        let length = meter.burstMilliseconds
        let rate = Double(meter.missing) / Double(meter.expected)
        return (length, rate)
    }

    @Test(arguments: 1...5 as ClosedRange<UInt64>)
    func lonelyLossesAreNoBursts(seed: UInt64) {
        let (length, rate) = self.measured(lossShare: 0.05, burst: 0, seed: seed)
        #expect(length <= 2)
        #expect(rate > 0.04 && rate < 0.06)
    }

    @Test(arguments: [8.0, 20, 50], 1...4 as ClosedRange<UInt64>)
    func burstsAreMeasuredInTime(mean: Double, seed: UInt64) {
        let (length, _) = self.measured(lossShare: 0.03, burst: mean, seed: seed)
        #expect(length >= mean * 0.45 && length <= mean * 1.7, "\(mean): \(length)")
    }

    @Test func whatComesBackWasNeverLost() {
        var meter = BurstMeter()
        var now = Instant(nanoseconds: 1_000_000_000)
        for _ in 0..<100 {
            meter.lost(sentAt: now)
            meter.cameBack(sentAt: now)
            now = now + .milliseconds(10)
        }
        meter.settle(before: now)
        let (expected, missing) = (meter.expected, meter.missing)
        #expect(expected == 100 && missing == 0)
        // Even after it was settled.
        meter.lost(sentAt: Instant(nanoseconds: 1_000_000_000))
        let before = meter.missing
        meter.cameBack(sentAt: Instant(nanoseconds: 1_000_000_000))
        let after = meter.missing
        #expect(before == 1 && after == 0)
    }

    /// Times that jump, floods within a millisecond and fates nobody asked for are harmless.
    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func nothingTraps(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var meter = BurstMeter()
        var now: UInt64 = 0
        for _ in 0..<3000 {
            now += generator.below(5) == 0 ? generator.below(5_000_000_000) : 100_000
            let back = min(now, generator.below(3_000_000_000))
            let time = Instant(nanoseconds: generator.chance(1, in: 3) ? now - back : now)
            switch generator.below(4) {
            case 0: meter.arrived(sentAt: time)
            case 1: meter.lost(sentAt: time)
            case 2: meter.cameBack(sentAt: time)
            default: meter.settle(before: time)
            }
        }
        let (expected, missing) = (meter.expected, meter.missing)
        #expect(missing <= expected)
        let length = meter.burstMilliseconds
        #expect(length >= 0 && length <= 80)
    }

    @Test func theExponentialIsCloseEnough() {
        #expect(BurstMeter.decay(0, 8) == 1 && BurstMeter.decay(3, 0) == 0)
        #expect(abs(BurstMeter.decay(8, 8) - 0.367879) < 1e-4)
        #expect(abs(BurstMeter.decay(80, 8) - 0.0000454) < 1e-5)
        #expect(BurstMeter.decay(1e9, 1) == 0)
    }
}
