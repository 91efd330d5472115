import Primitives
import Testing

@testable import Netem

/// What is random, held against what it should be on average, for several seeds.
@Suite struct ChanceTests {
    @Test(arguments: [1, 2, 3] as [UInt64])
    func randomLossMatchesItsRate(seed: UInt64) {
        var impairment = Impairment()
        impairment.lossPartsPerMillion = 30_000
        var rig = Rig(impairment, seed: seed)
        rig.stream(count: 50_000, spacing: .microseconds(100))
        // Binomial: mean 1,500, deviation 38.
        #expect((1_320...1_680).contains(rig.link.counters.lostRandomly))
        #expect(UInt64(rig.arrivals.count) + rig.link.counters.lostRandomly == 50_000)
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func theChainLosesInRunsOfPackets(seed: UInt64) {
        var impairment = Impairment()
        impairment.gilbertElliott = .averaging(lossPartsPerMillion: 50_000, meanPackets: 5)
        var rig = Rig(impairment, seed: seed)
        rig.stream(count: 100_000, spacing: .microseconds(100))
        let runs = Self.lossRuns(rig, count: 100_000)
        #expect((4_200...5_800).contains(rig.link.counters.lostByChain))
        #expect((42...58).contains(runs.reduce(0, +) * 10 / UInt32(runs.count)))
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func burstsLoseInRunsOfTime(seed: UInt64) {
        var impairment = Impairment()
        impairment.bursts = .averaging(lossPartsPerMillion: 30_000, meanLength: .milliseconds(40))
        var rig = Rig(impairment, seed: seed)
        // 400 seconds: about 300 bursts of about 40 packets each.
        rig.stream(count: 400_000, spacing: .milliseconds(1))
        let runs = Self.lossRuns(rig, count: 400_000)
        #expect((9_000...15_000).contains(rig.link.counters.lostInBursts))
        #expect((33...49).contains(runs.reduce(0, +) / UInt32(runs.count)))
    }

    @Test func aLongSilenceDoesNotFreezeTheBurst() {
        var impairment = Impairment()
        impairment.bursts = .init(meanGap: .milliseconds(10), meanLength: .milliseconds(10))
        var rig = Rig(impairment)
        rig.stream(count: 1_000, spacing: .seconds(1))
        #expect((400...600).contains(rig.arrivals.count))
    }

    @Test func duplicatesAndReorderingsAreCounted() {
        var impairment = Impairment()
        impairment.delay = .milliseconds(10)
        impairment.duplicationPartsPerMillion = 100_000
        impairment.reorderPartsPerMillion = 50_000
        impairment.reorderHold = .milliseconds(3)
        var rig = Rig(impairment)
        rig.stream(count: 20_000, spacing: .milliseconds(1))
        let counters = rig.link.counters
        #expect((1_800...2_200).contains(counters.duplicated))
        #expect((900...1_300).contains(counters.reordered))
        #expect(UInt64(rig.arrivals.count) == 20_000 + counters.duplicated)
        #expect(Set(rig.arrivals.map(\.serial)).count == 20_000)
        let held = rig.arrivals.filter { $0.at == UInt64($0.serial) * 1_000_000 + 13_000_000 }
        #expect(UInt64(held.count) == counters.reordered)
    }

    @Test func corruptionFlipsOneOrThreeBits() {
        var impairment = Impairment()
        impairment.corruptionPartsPerMillion = 500_000
        let link = Link(impairment: impairment, seed: 9)
        let original = [UInt8](repeating: 0xA5, count: 50)
        var damaged: UInt64 = 0
        for _ in 0..<2_000 {
            original.withUnsafeBytes { link.send($0, at: Instant(nanoseconds: 0)) }
            guard let bytes = link.nextDelivery(at: Instant(nanoseconds: 0))?.bytes else {
                continue
            }
            let flips = zip(bytes, original).reduce(0) { $0 + ($1.0 ^ $1.1).nonzeroBitCount }
            #expect([0, 1, 3].contains(flips))
            damaged += flips == 0 ? 0 : 1
        }
        #expect(damaged == link.counters.corrupted)
        #expect((900...1_100).contains(damaged))
    }

    @Test func exponentialDrawsHaveTheirMeanAndTail() {
        var random = SeededGenerator(seed: 4)
        let draws = (0..<100_000).map { _ in random.exponential(mean: 1_000_000) }
        let mean = draws.reduce(0, +) / 100_000
        #expect((985_000...1_015_000).contains(mean))
        // P(X > mean) = e⁻¹ = 0.368, P(X > 3 · mean) = e⁻³ = 0.050.
        #expect((36_200...37_400).contains(draws.count { $0 > 1_000_000 }))
        #expect((4_700...5_300).contains(draws.count { $0 > 3_000_000 }))
    }

    /// Lengths of the runs of serials that never arrived.
    static func lossRuns(_ rig: Rig, count: UInt32) -> [UInt32] {
        var runs: [UInt32] = []
        var next: UInt32 = 0
        for arrival in rig.arrivals {
            if arrival.serial > next { runs.append(arrival.serial - next) }
            next = arrival.serial + 1
        }
        if next < count { runs.append(count - next) }
        return runs
    }
}

/// Whatever is drawn, a history is repeated by its seed, and every packet is accounted for.
@Suite struct HistoryTests {
    @Test(arguments: 0..<40 as Range<UInt64>)
    func isReproducibleOrderedAndConserved(seed: UInt64) {
        let first = Self.history(seed: seed)
        let second = Self.history(seed: seed)
        #expect(first.arrivals.map(\.serial) == second.arrivals.map(\.serial))
        #expect(first.arrivals.map(\.at) == second.arrivals.map(\.at))
        #expect(first.link.counters == second.link.counters)
        let counters = first.link.counters
        #expect(counters.sent + counters.duplicated == counters.delivered + counters.lost)
        #expect(first.link.inFlightCount == 0)
        #expect(zip(first.arrivals, first.arrivals.dropFirst()).allSatisfy { $0.at <= $1.at })
    }

    @Test func differentSeedsDiffer() {
        let all = (0..<40 as Range<UInt64>).map { Self.history(seed: $0).link.counters }
        #expect(Set(all).count > 30)
    }

    /// A history under an impairment drawn from its seed.
    static func history(seed: UInt64) -> Rig {
        var dice = SeededGenerator(seed: seed &* 7_919)
        var impairment = Impairment()
        impairment.delay = .microseconds(dice.below(50_000))
        impairment.jitter = .microseconds(dice.below(2) * dice.below(20_000))
        impairment.jitterReorders = dice.chance(1, in: 2)
        impairment.lossPartsPerMillion = UInt32(dice.below(2) * dice.below(300_000))
        if dice.chance(1, in: 2) {
            impairment.gilbertElliott = .averaging(
                lossPartsPerMillion: UInt32(dice.below(200_000)),
                meanPackets: 1 + UInt32(dice.below(20))
            )
        }
        impairment.duplicationPartsPerMillion = UInt32(dice.below(2) * dice.below(100_000))
        impairment.reorderPartsPerMillion = UInt32(dice.below(2) * dice.below(100_000))
        impairment.corruptionPartsPerMillion = UInt32(dice.below(2) * dice.below(100_000))
        impairment.bitsPerSecond = dice.below(2) * dice.below(20_000_000)
        var rig = Rig(impairment, seed: seed, capacity: 64)
        var now = Instant(nanoseconds: 0)
        for serial in 0..<500 as Range<UInt32> {
            now = now + .microseconds(dice.below(2_000))
            rig.send(serial, byteCount: Int(dice.below(1_400)), at: now)
            if dice.chance(1, in: 3) { rig.collect(until: now) }
        }
        rig.collect()
        return rig
    }
}
