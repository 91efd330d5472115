import Primitives
import Sealing
import Session

/// Everything that is decided before a history begins, drawn from its seed.
public struct Scenario: Sendable {
    /// What the scenario was drawn from: enough to run it again.
    public let seed: UInt64
    var clients: [ClientPlan] = []
    var streams: [StreamPlan] = []
    var flows: [FlowPlan] = []
    /// Server engines that share one address.
    var workerCount = 1
    /// When the kernel starts to give packets to other workers than before.
    var rehashes: [Instant] = []
    var serverRestart: Instant?
    var postQuantum = PostQuantumPolicy.off

    /// When applications begin their last stream, restarts aside.
    static let span = Instant.Interval.seconds(8)
    /// How long after a restart streams may still be lost to it.
    static let restartShadow = Instant.Interval.seconds(25)

    /// The history that belongs to `seed`, in weather drawn from it too.
    public static func drawn(from seed: UInt64) -> Self {
        var scenario = Self(seed: seed)
        var dice = SeededGenerator(seed: seed &* 0x9E37_79B9 &+ 1)
        for _ in 0...dice.below(3) { scenario.drawClient(from: &dice) }
        if dice.chance(1, in: 3) {
            scenario.workerCount = 2 + Int(dice.below(2))
            for _ in 0...dice.below(3) { scenario.rehashes.append(Self.moment(from: &dice)) }
        }
        if dice.chance(1, in: 5) { scenario.serverRestart = Self.moment(from: &dice) }
        for _ in 0...dice.below(10) { scenario.drawStream(from: &dice) }
        for _ in 0..<dice.below(5) { scenario.drawFlow(from: &dice) }
        scenario.drawAftermath(from: &dice)
        scenario.drawPostQuantum()
        return scenario
    }

    /// The latest disturbance that may cost a client its session, if there is one.
    func lastRestart(of client: Int) -> Instant? {
        [self.serverRestart, self.clients[client].restart].compactMap { $0 }.max()
    }

    private static func moment(from dice: inout SeededGenerator) -> Instant {
        World.epoch + Instant.Interval(nanoseconds: dice.below(Self.span.nanoseconds))
    }

    private mutating func drawClient(from dice: inout SeededGenerator) {
        var plan = ClientPlan(
            up: .drawn(from: &dice, span: Self.span),
            down: .drawn(from: &dice, span: Self.span)
        )
        if dice.chance(1, in: 3) {
            for _ in 0...dice.below(3) { plan.rebindings.append(Self.moment(from: &dice)) }
        }
        if dice.chance(1, in: 8) { plan.restart = Self.moment(from: &dice) }
        self.clients.append(plan)
    }

    private mutating func drawStream(from dice: inout SeededGenerator) {
        var plan = StreamPlan(
            number: self.streams.count,
            client: Int(dice.below(UInt64(self.clients.count))),
            start: Self.moment(from: &dice)
        )
        let limits: [UInt64] = [1, 100, 5_000, 100_000, 1_000_000]
        for side in 0..<2 {
            plan.byteCounts[side] = dice.below(1 + limits[Int(dice.below(5))])
            plan.readers[side] = Self.reader(from: &dice)
        }
        plan.chunk = 1 + dice.below([50, 2_000, 65_536][Int(dice.below(3))])
        if plan.chunk < 100 {
            plan.byteCounts = plan.byteCounts.map { min($0, 5_000) }
        }
        if dice.chance(1, in: 3) { plan.pause = .microseconds(dice.below(20_000)) }
        if plan.pause > .milliseconds(1) {
            plan.byteCounts = plan.byteCounts.map { min($0, 500 * plan.chunk) }
        }
        plan.answersAfterEnd = dice.chance(1, in: 4)
        plan.isCompressed = dice.chance(1, in: 4)
        plan.trafficClass = [.auto, .interactive, .realtime, .bulk][Int(dice.below(4))]
        plan.connectDelay = .microseconds(dice.below(2) * dice.below(50_000))
        self.drawMisfortune(of: &plan, from: &dice)
        self.streams.append(plan)
    }

    private func drawMisfortune(of plan: inout StreamPlan, from dice: inout SeededGenerator) {
        switch dice.below(12) {
        case 0:
            plan.reset = (.client, dice.below(plan.byteCounts[0] + 1), .aborted)
        case 1:
            plan.reset = (.server, dice.below(plan.byteCounts[1] + 1), .aborted)
        case 2:
            plan.reset = (.server, 0, .backendRefused)
        case 3:
            plan.service = dice.chance(1, in: 2) ? "nowhere" : World.forbiddenService
        default: break
        }
    }

    private static func reader(from dice: inout SeededGenerator) -> Reader {
        switch dice.below(12) {
        case 0: .slow(byteCount: 20_000, every: .milliseconds(1 + dice.below(50)))
        case 1: .late(until: World.epoch + .milliseconds(dice.below(15_000)))
        case 2: .stalled
        default: .eager
        }
    }

    private mutating func drawFlow(from dice: inout SeededGenerator) {
        let limits: [UInt64] = [20, 200, 1_300, 9_000, 65_508]
        let limit = limits[Int(dice.below(5))]
        self.flows.append(
            FlowPlan(
                number: self.flows.count,
                client: Int(dice.below(UInt64(self.clients.count))),
                start: Self.moment(from: &dice),
                count: UInt32(1 + dice.below(limit > 5_000 ? 20 : 200)),
                interval: .microseconds(dice.below(40_000)),
                byteCountLimit: limit,
                delivery: [.datagram, .datagram, .deadline, .reliable][Int(dice.below(4))],
                trafficClass: [.auto, .interactive, .realtime, .bulk][Int(dice.below(4))]
            )
        )
    }

    /// Policies that go together, from dice of their own: the rest of a history stays as it was.
    private mutating func drawPostQuantum() {
        var dice = SeededGenerator(seed: self.seed &* 0x9E37_79B9 &+ 2)
        self.postQuantum = PostQuantumPolicy.allCases[Int(dice.below(3))]
        for client in self.clients.indices {
            let choices = PostQuantumPolicy.allCases.filter {
                $0 == .prefer || self.postQuantum == .prefer || $0 == self.postQuantum
            }
            self.clients[client].postQuantum = choices[Int(dice.below(UInt64(choices.count)))]
        }
    }

    /// Whether a client's sessions are post-quantum from their first byte on, some time, or never.
    func postQuantum(of client: Int) -> PostQuantumPolicy {
        let both = [self.postQuantum, self.clients[client].postQuantum]
        return both.contains(.off) ? .off : both.contains(.require) ? .require : .prefer
    }

    /// After a restart each client it concerns opens another stream, which has to succeed.
    private mutating func drawAftermath(from dice: inout SeededGenerator) {
        for client in self.clients.indices {
            guard let restart = self.lastRestart(of: client) else { continue }
            var plan = StreamPlan(
                number: self.streams.count,
                client: client,
                start: restart + Self.restartShadow + .seconds(1)
            )
            plan.byteCounts = [1 + dice.below(20_000), 1 + dice.below(20_000)]
            self.streams.append(plan)
        }
    }
}
