import Netem
import Primitives

/// One direction of a path as drawn for a history.
struct Weather: Sendable {
    var impairment = Impairment()

    /// Neither loses nor slows nor reorders anything.
    var isClean: Bool {
        var plain = Impairment()
        plain.delay = self.impairment.delay
        plain.maximumPacketByteCount = self.impairment.maximumPacketByteCount
        return self.impairment == plain
    }

    /// Swarm testing (Groce et al., 2012): each kind of trouble is there or not, by a coin of its
    /// own, so that histories are of many kinds instead of all being a little of everything.
    static func drawn(from dice: inout SeededGenerator, span: Instant.Interval) -> Self {
        var weather = Self()
        weather.impairment.delay = .microseconds(dice.below(80_000))
        if dice.chance(1, in: 5) { return weather }
        if dice.chance(1, in: 3) {
            weather.impairment.jitter = .microseconds(1 + dice.below(20_000))
            weather.impairment.jitterReorders = dice.chance(1, in: 2)
        }
        weather.drawLoss(from: &dice)
        if dice.chance(1, in: 4) {
            weather.impairment.duplicationPartsPerMillion = UInt32(1 + dice.below(50_000))
        }
        if dice.chance(1, in: 4) {
            weather.impairment.reorderPartsPerMillion = UInt32(1 + dice.below(100_000))
            weather.impairment.reorderHold = .microseconds(1 + dice.below(30_000))
        }
        if dice.chance(1, in: 4) {
            weather.impairment.corruptionPartsPerMillion = UInt32(1 + dice.below(20_000))
        }
        if dice.chance(1, in: 3) {
            weather.impairment.bitsPerSecond = 2_000_000 + dice.below(40_000_000)
            weather.impairment.queueByteCount = 16_384 + dice.below(250_000)
        }
        if dice.chance(1, in: 3) {
            weather.impairment.maximumPacketByteCount = 1_200 + Int(dice.below(300))
        }
        if dice.chance(1, in: 5) {
            let start = World.epoch + Instant.Interval(nanoseconds: dice.below(span.nanoseconds))
            let length = Instant.Interval.milliseconds(50 + dice.below(2_000))
            weather.impairment.outages = [start..<start + length]
        }
        return weather
    }

    private mutating func drawLoss(from dice: inout SeededGenerator) {
        switch dice.below(5) {
        case 0: self.impairment.lossPartsPerMillion = UInt32(1 + dice.below(100_000))
        case 1:
            self.impairment.gilbertElliott = .averaging(
                lossPartsPerMillion: UInt32(1 + dice.below(80_000)),
                meanPackets: UInt32(1 + dice.below(12))
            )
        case 2:
            self.impairment.bursts = .averaging(
                lossPartsPerMillion: UInt32(1 + dice.below(60_000)),
                meanLength: .milliseconds(1 + dice.below(80))
            )
        default: break
        }
    }
}
