import Testing

@testable import Recovery

/// What the default controller believes of its path; times in nanoseconds.
@Suite struct PathModelTests {
    private static let second: UInt64 = 1_000_000_000
    private static let millisecond: UInt64 = 1_000_000

    /// A path of 40 ms whose bandwidth is 1 MB/s.
    private static func model() -> PathModel {
        var path = PathModel(at: self.second)
        path.sample(roundTrip: 40 * self.millisecond, at: self.second)
        let isTaken = path.sample(bandwidth: 1e6, isAppLimited: false)
        #expect(isTaken)
        return path
    }

    /// A round with so many bytes and such a least round trip.
    private static func round(
        acked: Int,
        lost: Int,
        minimum: UInt64,
        isAppLimited: Bool = false
    ) -> RoundSums {
        var round = RoundSums(at: self.second)
        var event = AckEvent()
        event.acked = acked
        event.lost = lost
        event.isAppLimited = isAppLimited
        round.add(event)
        round.sample(roundTrip: minimum)
        return round
    }

    @Test func theMinimumFallsAtOnceAndIsProbedWhenItIsOld() {
        var path = Self.model()
        path.sample(roundTrip: 39 * Self.millisecond, at: 2 * Self.second)
        #expect(path.minimum == 39 * Self.millisecond)
        // Within 5 %: seen again. Beyond: not.
        path.sample(roundTrip: 40 * Self.millisecond, at: 5 * Self.second)
        path.sample(roundTrip: 60 * Self.millisecond, at: 14 * Self.second)
        #expect(path.minimum == 39 * Self.millisecond)
        let isEarly = path.mustProbe(at: 15 * Self.second)
        #expect(!isEarly)
        let isDue = path.mustProbe(at: 15 * Self.second + 1)
        #expect(isDue)
        path.adopt(minimum: 55 * Self.millisecond, at: 16 * Self.second)
        let isDueAfterProbe = path.mustProbe(at: 26 * Self.second)
        #expect(!isDueAfterProbe)
        // Time in which nothing was sent does not make it older.
        path.rested(for: 5 * Self.second, at: 30 * Self.second)
        let isDueAfterRest = path.mustProbe(at: 31 * Self.second)
        #expect(!isDueAfterRest)
    }

    @Test func aVeryShortMinimumDriftsInsteadOfBeingProbed() {
        var path = PathModel(at: Self.second)
        path.sample(roundTrip: 100_000, at: Self.second)
        path.endRound(
            Self.round(acked: 1, lost: 0, minimum: 300_000),
            in: .cruise,
            AckEvent()
        )
        #expect(path.queue == 200_000)
        let isDue = path.mustProbe(at: 20 * Self.second)
        #expect(!isDue)
        #expect(path.minimum == 300_000)
    }

    @Test func onlyLossThatGentlePacketsShareIsThePaths() {
        var path = Self.model()
        for _ in 0..<100 { path.learnBase(acked: 90, lost: 10) }
        #expect(path.base == 0, "all together lost nothing")
        for _ in 0..<100 {
            path.endRound(
                Self.round(acked: 94_000, lost: 6_000, minimum: 41 * Self.millisecond),
                in: .cruise,
                AckEvent()
            )
        }
        #expect(abs(path.base - 0.06) < 0.002)
        #expect(path.sending > 1.05e6)
        #expect(path.cap == .infinity, "no queue, no congestion")
    }

    @Test func lossBehindAQueueIsCongestion() {
        var path = Self.model()
        let crowded = Self.round(acked: 90_000, lost: 10_000, minimum: 60 * Self.millisecond)
        path.endRound(crowded, in: .startup, AckEvent())
        #expect(path.bandwidth == 1e6, "a start is ended otherwise")
        path.endRound(crowded, in: .cruise, AckEvent())
        #expect(abs(path.bandwidth - 0.85e6) < 1)
        for _ in 0..<10 { path.endRound(crowded, in: .cruise, AckEvent()) }
        #expect(abs(path.bandwidth - 0.5e6) < 1, "never below half of what arrives")
        let clean = Self.round(acked: 90_000, lost: 0, minimum: 41 * Self.millisecond)
        path.endRound(clean, in: .cruise, AckEvent())
        #expect(abs(path.bandwidth - 0.525e6) < 1)
        for _ in 0..<20 { path.endRound(clean, in: .cruise, AckEvent()) }
        #expect(path.cap == .infinity)
    }

    @Test func aPolicerIsFoundWithoutAQueue() {
        var path = Self.model()
        let policed = Self.round(acked: 90_000, lost: 10_000, minimum: 40 * Self.millisecond)
        path.endRound(policed, in: .cruise, AckEvent())
        #expect(path.cap == .infinity)
        path.endRound(policed, in: .up, AckEvent())
        #expect(abs(path.bandwidth - 0.95e6) < 1)
    }

    @Test func whatTheApplicationLimitedDoesNotAgeTheBandwidth() {
        var path = Self.model()
        for _ in 0..<50 {
            let isTaken = path.sample(bandwidth: 1e5, isAppLimited: true)
            #expect(!isTaken)
            path.endRound(
                Self.round(acked: 1, lost: 0, minimum: 1, isAppLimited: true),
                in: .cruise,
                AckEvent()
            )
        }
        #expect(path.bandwidth == 1e6)
        let isMoreTaken = path.sample(bandwidth: 2e6, isAppLimited: true)
        #expect(isMoreTaken, "more than that it may say")
        #expect(path.bandwidth == 2e6)
    }

    /// 400 kB/s arrive behind a queue of 60 ms, where 1 MB/s is believed.
    @Test(arguments: [true, false])
    func aSlowerPathIsSeenInThreeSpans(isGuarded: Bool) {
        var path = Self.model()
        var event = AckEvent()
        event.roundTrip = 100 * Self.millisecond
        event.acked = 8_000
        // The first span is as long as the path's life, and says nothing.
        for step in 0..<4 as Range<UInt64> {
            #expect(path.bandwidth == 1e6)
            event.now = 2 * Self.second + step * 20 * Self.millisecond
            path.watchRate(event, isGuarded: isGuarded)
        }
        #expect(abs(path.bandwidth - (isGuarded ? 4e5 : 1e6)) < 1)
    }
}
