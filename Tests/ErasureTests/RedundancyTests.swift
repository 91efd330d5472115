import Erasure
import Primitives
import Testing

/// A flow and the reports about it, second by second.
struct ControlledFlow {
    var controller: RedundancyController
    var traffic = FlowTraffic()
    var meter = LossMeter()
    var counters = LossCounters()
    var now = Instant(nanoseconds: 1)
    var plans: [RedundancyPlan] = []
    private var owed = 0.0

    init(
        _ kind: RedundancyClass = .interactive,
        level: RedundancyLevel = .auto,
        budget: UInt64 = 1_000_000,
        hasRetransmission: Bool = false
    ) {
        self.controller = RedundancyController(
            kind: kind,
            level: level,
            budget: budget,
            hasRetransmission: hasRetransmission
        )
    }

    /// Traffic and reports for a while: ten reports a second, losses spread evenly.
    mutating func run(
        seconds: Double,
        loss: Double,
        rate: UInt64 = 60,
        size: Int = 100,
        roundTrip: UInt64 = 60
    ) {
        for _ in 0..<Int(seconds * 10) {
            for _ in 0..<max(1, rate / 10) {
                self.now = self.now + Instant.Interval.seconds(1) / rate
                self.traffic.sent(byteCount: size, at: self.now)
            }
            let packets = max(1, rate / 10)
            self.counters.expected += packets
            self.owed += Double(packets) * loss
            self.counters.missing += UInt64(self.owed)
            self.owed -= self.owed.rounded(.down)
            self.meter.received(self.counters, at: self.now)
            let isChanged = self.controller.update(
                self.meter.report,
                traffic: self.traffic,
                roundTrip: .milliseconds(roundTrip),
                at: self.now
            )
            if isChanged { self.plans.append(self.controller.plan) }
        }
    }

    mutating func loseOne() { self.counters.missing += 1 }
}

@Suite struct RedundancyTests {
    @Test(arguments: RedundancyLevel.allCases, RedundancyClass.allCases)
    func aCleanPathCostsNothing(level: RedundancyLevel, kind: RedundancyClass) {
        var flow = ControlledFlow(kind, level: level)
        flow.run(seconds: 30, loss: 0)
        flow.run(seconds: 10, loss: 0, rate: 500, size: 1200)
        #expect(flow.plans.isEmpty)
    }

    @Test(arguments: [(RedundancyClass.bulk, RedundancyLevel.high), (.interactive, .off)])
    func bulkAndOffNeverGetAny(kind: RedundancyClass, level: RedundancyLevel) {
        var flow = ControlledFlow(kind, level: level)
        flow.run(seconds: 20, loss: 0.05)
        #expect(flow.plans.isEmpty)
    }

    @Test func theFirstLossStartsCopiesForTenSeconds() {
        var flow = ControlledFlow()
        flow.run(seconds: 20, loss: 0)
        flow.loseOne()
        flow.run(seconds: 0.1, loss: 0)
        #expect(flow.plans.count == 1 && flow.controller.plan != .off)
        flow.run(seconds: 9.5, loss: 0)
        #expect(flow.controller.plan != .off)
        // One loss in a minute is 0.03 %: after a while, nothing again.
        flow.run(seconds: 300, loss: 0)
        #expect(flow.controller.plan == .off)
        #expect(flow.plans.count <= 3)
    }

    private func copies(_ flow: ControlledFlow) -> CopyPlan? {
        guard case .copies(let plan) = flow.controller.plan else {
            Issue.record("no copies")
            return nil
        }
        return plan
    }

    @Test func copiesFollowTheMeasuredLoss() {
        var flow = ControlledFlow()
        flow.run(seconds: 40, loss: 0.01, roundTrip: 30)
        let light = self.copies(flow)
        #expect(light?.copies == 1)
        #expect(light.map { $0.latest(0) <= .milliseconds(8) } == true)
        flow.run(seconds: 3, loss: 0.15, roundTrip: 30)
        #expect(self.copies(flow)?.copies == 2)
    }

    /// Where the next message comes soon enough, its packet carries the copy.
    @Test func copiesRideWhereThereIsTime() {
        var flow = ControlledFlow()
        flow.run(seconds: 60, loss: 0.05, roundTrip: 150)
        let plan = self.copies(flow)
        #expect(plan?.copies == 1)
        let gap = Instant.Interval.microseconds(16_667)
        #expect(plan.map { $0.earliest(0) < gap && gap < $0.latest(0) } == true)
    }

    @Test func longBurstsStretchTheCopies() {
        var flow = ControlledFlow()
        flow.counters.burstMilliseconds = 8
        flow.run(seconds: 40, loss: 0.03)
        let single = self.copies(flow)
        #expect(single?.copies == 1)
        #expect(single.map { $0.latest(0) >= .milliseconds(17) } == true)
        flow.counters.burstMilliseconds = 40
        flow.run(seconds: 1, loss: 0.03)
        let spread = self.copies(flow)
        #expect(spread?.copies == 3)
        #expect(spread.map { $0.latest(2) >= .milliseconds(70) } == true)
    }

    @Test func whatCannotComeAgainIsCopiedMore() {
        var datagrams = ControlledFlow()
        var stream = ControlledFlow()
        stream.controller = RedundancyController(
            kind: .interactive,
            budget: 1_000_000,
            hasRetransmission: true,
            isOrdered: true
        )
        var short = ControlledFlow()
        short.controller = RedundancyController(
            kind: .interactive,
            budget: 1_000_000,
            hasRetransmission: true,
            maximumAge: .milliseconds(300)
        )
        datagrams.run(seconds: 40, loss: 0.05, roundTrip: 150)
        stream.run(seconds: 40, loss: 0.05, roundTrip: 150)
        short.run(seconds: 40, loss: 0.05, roundTrip: 150)
        #expect(self.copies(datagrams)?.copies == 1)
        #expect(self.copies(stream)?.copies == 2)
        #expect(self.copies(short)?.copies == 2)
        short.run(seconds: 40, loss: 0.05, roundTrip: 100)
        #expect(self.copies(short)?.copies == 1)
    }

    @Test func lossesThatComeBackEndCopies() {
        var flow = ControlledFlow()
        flow.run(seconds: 20, loss: 0)
        flow.loseOne()
        flow.run(seconds: 0.1, loss: 0)
        #expect(flow.meter.report.lossCount == 1)
        flow.counters.missing = 0
        flow.run(seconds: 0.1, loss: 0)
        #expect(flow.meter.report.lossCount == 0)
    }

    @Test func steadyLossDoesNotFlap() {
        for loss in [0.004, 0.01, 0.019, 0.021, 0.03, 0.049, 0.051, 0.1] {
            var flow = ControlledFlow()
            flow.run(seconds: 120, loss: loss)
            #expect(flow.plans.count <= 5, "\(loss): \(flow.plans.count) changes")
        }
    }

    @Test func shortRoundTripsLeaveItToRetransmission() {
        var flow = ControlledFlow(hasRetransmission: true)
        flow.run(seconds: 20, loss: 0.03, roundTrip: 11)
        #expect(flow.plans.isEmpty)
        flow.run(seconds: 20, loss: 0.03, roundTrip: 13)
        #expect(flow.controller.plan != .off)
        var datagrams = ControlledFlow()
        datagrams.run(seconds: 20, loss: 0.03, roundTrip: 1)
        #expect(datagrams.controller.plan != .off)
    }

    @Test func lowStaysBelowThreeTimesTheBytes() {
        var flow = ControlledFlow(level: .low)
        flow.run(seconds: 20, loss: 0.05)
        guard case .copies(let plan) = flow.controller.plan else {
            Issue.record("no copies")
            return
        }
        let channel = GameChannel(lossShare: 0.05, burst: 0, seed: 5)
        let copied = CopiedFlow(plan: plan, channel: channel, messages: 3000)
        #expect(copied.expansion > 1.5 && copied.expansion < 2)
    }

    @Test(arguments: [30_000, 90_000, 130_000, 200_000, 300_000] as [UInt64])
    func plansStayWithinTheBudget(budget: UInt64) {
        var flow = ControlledFlow(level: .high, budget: budget)
        flow.run(seconds: 30, loss: 0.05)
        let cost = flow.controller.plan.bitsPerSecond(of: flow.traffic)
        #expect(cost <= Double(budget))
        #expect((cost == 0) == (budget < 80_000))
        var video = ControlledFlow(.realtime, budget: budget)
        video.run(seconds: 30, loss: 0.05, rate: 300, size: 1000)
        #expect(video.controller.plan.bitsPerSecond(of: video.traffic) <= Double(budget))
    }

    @Test func realTimeFlowsGetRepairs() {
        var flow = ControlledFlow(.realtime, budget: 100_000_000)
        flow.run(seconds: 20, loss: 0.001, rate: 1000, size: 1200)
        #expect(flow.controller.plan == .off)
        flow.counters.highBurstPackets = 4
        flow.run(seconds: 20, loss: 0.03, rate: 1000, size: 1200)
        guard case .repairs(let plan) = flow.controller.plan else {
            Issue.record("no repairs")
            return
        }
        #expect(plan.interval >= 12 && plan.interval <= 16)
        #expect(plan.window == 128)
        flow.run(seconds: 3, loss: 0.2, rate: 1000, size: 1200)
        #expect(flow.controller.plan == .repairs(RepairPlan(interval: 3, window: 30)))
    }

    @Test func largeGameMessagesGetARepairEach() {
        var flow = ControlledFlow()
        flow.run(seconds: 20, loss: 0.03, rate: 30, size: 900)
        #expect(flow.controller.plan == .repairs(RepairPlan(interval: 1, window: 6)))
    }

    /// The peer's figures are the peer's: nothing it says may trap.
    @Test func nonsenseInReportsIsHarmless() {
        let figures = [Double.nan, .infinity, -.infinity, -1, 0, 1e300, .leastNonzeroMagnitude]
        var generator = SeededGenerator(seed: 1)
        var flow = ControlledFlow(.realtime, budget: .max)
        for _ in 0..<2000 {
            flow.counters.burstMilliseconds = figures[Int(generator.below(7))]
            flow.counters.highBurstPackets = figures[Int(generator.below(7))]
            flow.counters.expected = generator.next() >> generator.below(64)
            flow.counters.missing = generator.next() >> generator.below(64)
            let size = generator.chance(1, in: 2) ? 100 : 1200
            flow.run(seconds: 0.1, loss: 0, rate: 1 + generator.below(500), size: size)
            flow.counters = LossCounters()
        }
        #expect(flow.plans.count >= 0)
    }

    @Test func repairsComeAfterEveryIntervalAndAfterSilence() {
        var schedule = RepairSchedule()
        schedule.sent(at: Instant(nanoseconds: 0))
        #expect(schedule.deadline == .never)
        schedule.repaired()
        schedule.plan = RepairPlan(interval: 3, window: 16)
        var now = Instant(nanoseconds: 0)
        for _ in 0..<2 {
            now = now + .milliseconds(2)
            schedule.sent(at: now)
            #expect(!schedule.isDue(at: now))
        }
        #expect(schedule.deadline == now + .milliseconds(4))
        #expect(schedule.isDue(at: now + .milliseconds(4)))
        schedule.sent(at: now + .milliseconds(2))
        #expect(schedule.isDue(at: now + .milliseconds(2)))
        schedule.repaired()
        #expect(schedule.deadline == .never)
    }

    @Test func aBudgetIsSpentAndRefilled() {
        var now = Instant(nanoseconds: 5)
        var budget = ByteBudget(bitsPerSecond: 80_000, at: now)
        var spent = 0
        for _ in 0..<100 {
            now = now + .milliseconds(100)
            while budget.take(100, at: now) { spent += 100 }
        }
        #expect(spent >= 100_000 && spent <= 103_000)
        let hasAny = budget.take(2400, at: now)
        #expect(!hasAny)
        budget.giveBack(5000)
        let isRefilled = budget.take(2400, at: now)
        #expect(isRefilled)
    }
}
