import Testing

@testable import Recovery

/// Whose queue it is, asked and answered; times in nanoseconds.
@Suite struct CompetitionGuardTests {
    private static let millisecond: UInt64 = 1_000_000

    /// A guard on a path of 40 ms and 1 MB/s, told of one round trip every 10 ms.
    private struct Bench {
        var competition = CompetitionGuard(packetSize: 1_200, at: 1_000_000_000)
        var path = PathModel(at: 1_000_000_000)
        var now: UInt64 = 1_000_000_000
        var inFlight = 40_000

        init() {
            self.path.sample(roundTrip: 40 * CompetitionGuardTests.millisecond, at: self.now)
            _ = self.path.sample(bandwidth: 1e6, isAppLimited: false)
        }

        /// Passes `milliseconds` behind a queue of so many; says whether competing ended.
        mutating func pass(
            _ milliseconds: UInt64,
            queue: UInt64,
            lost: Int = 0,
            isCruising: Bool = true
        ) -> Bool {
            var hasEnded = false
            for _ in 0..<milliseconds / 10 {
                self.now += 10 * CompetitionGuardTests.millisecond
                var event = AckEvent()
                event.now = self.now
                event.roundTrip = (40 + queue) * CompetitionGuardTests.millisecond
                event.smoothedRoundTrip = event.roundTrip
                event.acked = 10_000
                event.lost = lost
                event.lostSentAt = self.now
                event.inFlight = self.inFlight
                event.priorInFlight = self.inFlight
                self.competition.sample(roundTrip: event.roundTrip, self.path, at: self.now)
                let round = RoundSums(at: self.now)
                if self.competition.update(event, self.path, round, isCruising: isCruising) {
                    hasEnded = true
                }
            }
            return hasEnded
        }

        /// A queue stays, and what is in flight drains once the guard yields.
        mutating func meetRival() {
            _ = self.pass(400, queue: 60)
            self.inFlight = 20_000
            _ = self.pass(300, queue: 60)
        }
    }

    @Test func aShortQueueIsNoRival() {
        var bench = Bench()
        let hasEnded = bench.pass(10_000, queue: 4)
        #expect(!hasEnded)
        #expect(!bench.competition.isCompeting)
    }

    @Test func onlyCruisingAsks() {
        var bench = Bench()
        _ = bench.pass(5_000, queue: 60, isCruising: false)
        #expect(!bench.competition.isCompeting)
        _ = bench.pass(10, queue: 60)
        #expect(bench.competition.isCompeting)
    }

    @Test func asksFirst() {
        var bench = Bench()
        _ = bench.pass(300, queue: 60)
        #expect(!bench.competition.isCompeting)
        _ = bench.pass(20, queue: 60)
        #expect(bench.competition.isCompeting && bench.competition.isYielding)
    }

    @Test func aQueueOfItsOwnEndsIt() {
        var bench = Bench()
        _ = bench.pass(400, queue: 60)
        #expect(bench.competition.isYielding)
        let hasEnded = bench.pass(10, queue: 5)
        #expect(hasEnded)
        #expect(!bench.competition.isCompeting && !bench.competition.isYielding)
    }

    @Test func aQueueThatStaysIsFought() {
        var bench = Bench()
        bench.meetRival()
        #expect(bench.competition.isCompeting && !bench.competition.isYielding)
        // CUBIC, with what the path gave before: 1 MB/s times the round trip, and growing.
        #expect(bench.competition.window >= 90_000)
        let window = bench.competition.window
        _ = bench.pass(200, queue: 60)
        #expect(bench.competition.window > window)
        // Two seconds after the question it asks again.
        _ = bench.pass(1_450, queue: 60)
        #expect(bench.competition.isYielding)
    }

    @Test func aKnownRivalIsNotAskedAgain() {
        var bench = Bench()
        bench.meetRival()
        _ = bench.pass(8_500, queue: 60)
        // It goes for a moment, which the next question finds.
        while bench.competition.isCompeting {
            _ = bench.pass(10, queue: bench.competition.isYielding ? 2 : 60)
        }
        _ = bench.pass(310, queue: 60)
        #expect(bench.competition.isCompeting && !bench.competition.isYielding)
    }

    @Test func whoMindsNoLossIsMetAsBBRWould() {
        var bench = Bench()
        bench.meetRival()
        #expect(!bench.competition.isBlind)
        for _ in 0..<8 {
            _ = bench.pass(10, queue: 60, lost: 12_000)
            _ = bench.pass(150, queue: 60)
        }
        #expect(bench.competition.isBlind)
        #expect(bench.competition.pacingRate > 0.7e6)
    }
}
