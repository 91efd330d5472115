import Glibc
import Netem
import Primitives
import Recovery
import Session
import Testing

@testable import Trials

/// The bars of a bad network, in virtual time.
///
/// A few of them, shortened, always; all, with `FAIRLEAD_TRIALS_SEEDS` seeds each, where that is
/// set (`testkit trials` does the same in a release build and prints the figures).
@Suite struct BarTests {
    static let seeds =
        getenv("FAIRLEAD_TRIALS_SEEDS").flatMap { UInt64(String(cString: $0)) } ?? 0

    /// Names of those that always run, and how many seconds of each are measured.
    static let always: [(name: String, seconds: UInt64)] = [
        ("video auto", 12), ("video messages", 12), ("echo beside 20 10 ms", 3),
        ("policer 20 40 ms", 3), ("bulk 50 20 ms 3 %", 2), ("cubic second 20 60 ms 1 BDP", 8),
    ]

    static let bars: [Bar] = {
        if Self.seeds > 0 { return Bar.all }
        return Self.always.compactMap { name, seconds in
            guard var bar = Bar.all.first(where: { $0.trial.name == name }) else { return nil }
            bar.trial.duration = .seconds(seconds)
            return bar
        }
    }()

    @Test func knowsItsOwnNames() {
        #expect(Self.seeds > 0 || Self.bars.count == Self.always.count)
    }

    @Test(arguments: Self.bars)
    func isKept(bar: Bar) {
        let outcomes = (0..<max(Self.seeds, 1)).map { Course(bar.trial, seed: 1 + $0).run() }
        for check in bar.checks {
            let values = outcomes.map(check.figure).sorted()
            let median = values[values.count / 2]
            #expect(
                check.isKept(by: median),
                "\(bar.trial.name): \(check.label) is \(median), bound \(check.bound)"
            )
        }
    }

    @Test func oneSeedIsOneHistory() throws {
        var bar = try #require(Bar.all.first { $0.group == "lossy" })
        bar.trial.path.bitsPerSecond = 5_000_000
        bar.trial.duration = .seconds(2)
        let first = Course(bar.trial, seed: 3).run()
        let second = Course(bar.trial, seed: 3).run()
        #expect(first.tallies[0][1].latencies == second.tallies[0][1].latencies)
        #expect(first.wireBytes == second.wireBytes)
        #expect(first.tallies[0][0].byteCount > 0)
    }

    /// 144 s of messages beside a lossy download: none may be seconds late.
    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func messagesKeepTheirPaceBesideALossyDownload(seed: UInt64) {
        let loads: [Trial.Load] = [.download, .game(over: nil)]
        var trial = Trial(
            "messages beside a download",
            path: .link(megabits: 2, roundTrip: 60, lossPerMille: 30),
            tunnels: [.init(.auto, loads)]
        )
        trial.warmUp = .seconds(1)
        trial.duration = .seconds(12)
        let outcome = Course(trial, seed: seed).run()
        #expect(outcome.tallies[0][1].quantile(1) < 500)
        #expect(outcome.tallies[0][1].undelivered == 0)
    }

    /// A link that becomes three times slower while an echo runs beside a download.
    ///
    /// What is on its way when that happens has to wait: three round trips' worth, nearly.
    @Test(arguments: [20, 60] as [UInt64])
    func aSlowerLinkIsNoticedBeforeTheQueueIs(roundTrip: UInt64) {
        var trial = Trial(
            "slower",
            path: .link(megabits: 20, roundTrip: roundTrip, queue: 400),
            tunnels: [.init(.auto, [.download, .game(over: nil), .game(over: .datagram)])]
        )
        trial.warmUp = .seconds(1)
        trial.duration = .seconds(5)
        trial.steps = [.init(at: .seconds(3), megabits: 6)]
        let outcome = Course(trial, seed: 1).run()
        #expect(outcome.tallies[0][1].quantile(1) < Double(roundTrip) + 280)
        #expect(outcome.tallies[0][2].quantile(1) < Double(roundTrip) + 280)
        #expect(outcome.share() > 0.8)
    }

    @Test func startingADownloadHardlyDelaysAnEcho() {
        var download = Trial.Load.download
        download.startsAt = .seconds(1)
        var trial = Trial(
            "start",
            path: .link(megabits: 20, roundTrip: 60, queue: 300),
            tunnels: [.init(.auto, [download, .game(over: .datagram)])]
        )
        trial.warmUp = .milliseconds(900)
        trial.duration = .seconds(3)
        let outcome = Course(trial, seed: 1).run()
        #expect(outcome.greatestQueue[1] < 90)
        #expect(outcome.tallies[0][1].quantile(0.9) < 80)
    }

    @Test(arguments: [10, 150] as [UInt64])
    func everythingGoesOnWhenThePathNarrows(roundTrip: UInt64) throws {
        let name = "narrowing \(roundTrip) ms"
        var bar = try #require(Bar.all.first { $0.trial.name == name })
        bar.trial.path.bitsPerSecond = 5_000_000
        bar.trial.path.queueByteCount = 60_000
        bar.trial.warmUp = .seconds(2)
        bar.trial.duration = .seconds(4)
        bar.trial.narrowing = (.seconds(3), 1_252)
        let outcome = Course(bar.trial, seed: 1).run()
        for tally in outcome.tallies[0] {
            #expect(tally.longestGap < 3_000)
            #expect(tally.byteCount > 0 || !tally.latencies.isEmpty)
        }
    }
}
