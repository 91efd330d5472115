import Netem
import Primitives

/// Everything about a siege that is decided before it begins, drawn from its seed.
struct SiegePlan: Sendable {
    var length: Instant.Interval
    var sessionBuffer: Int
    var honest: [HonestPeer.Plan] = []
    var honestPaths: [Impairment] = []
    var attackerPaths: [(up: Impairment, down: Impairment)] = []
    /// Whether honest paths lose packets by themselves.
    var isLossy: Bool

    static func drawn(from seed: UInt64, length: Instant.Interval) -> Self {
        var dice = SeededGenerator(seed: seed &* 0x5851_F42D &+ 77)
        var plan = Self(
            length: min(length, .seconds(10 + dice.below(30))),
            sessionBuffer: [1 << 19, 1 << 21, 1 << 24][Int(dice.below(3))],
            isLossy: dice.chance(1, in: 4)
        )
        for _ in 0...dice.below(2) { plan.drawHonest(from: &dice) }
        for _ in 0...dice.below(3) { plan.drawAttacker(from: &dice) }
        return plan
    }

    private mutating func drawHonest(from dice: inout SeededGenerator) {
        let start = Siege.epoch + .milliseconds(dice.below(4_000))
        self.honest.append(
            HonestPeer.Plan(
                start: start,
                end: Siege.epoch + self.length,
                messageInterval: .milliseconds(20 + dice.below(60)),
                messageByteCount: 1 << (2 + dice.below(8)),
                datagramInterval: .milliseconds(15 + dice.below(40)),
                datagramByteCount: [60, 300, 1_200, 4_000][Int(dice.below(4))],
                downloadByteCount: 100_000 + dice.below(2_000_000),
                isCompressed: dice.chance(1, in: 4)
            )
        )
        var path = Impairment()
        path.delay = .milliseconds(2 + dice.below(60))
        if self.isLossy { path.lossPartsPerMillion = UInt32(1 + dice.below(20_000)) }
        self.honestPaths.append(path)
    }

    private mutating func drawAttacker(from dice: inout SeededGenerator) {
        var up = Impairment()
        up.delay = .microseconds(100 << dice.below(10))
        up.bitsPerSecond = 20_000_000
        var down = up
        // Large enough for bulk, small enough for the machine that simulates it.
        down.bitsPerSecond = 1_000_000 << dice.below(5)
        if dice.chance(1, in: 4) { down.lossPartsPerMillion = UInt32(dice.below(50_000)) }
        self.attackerPaths.append((up, down))
    }
}
