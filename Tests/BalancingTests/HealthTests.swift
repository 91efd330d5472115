import Primitives
import Testing

@testable import Balancing

@Suite struct HealthTests {
    static func probed(rise: Int = 2, fall: Int = 3) -> HealthRules {
        var rules = HealthRules()
        rules.isProbed = true
        rules.rise = rise
        rules.fall = fall
        return rules
    }

    /// `+` and `-` are probes; the second string says whether it is up after each.
    @Test(arguments: [
        (2, 3, "+--+---", "UUUUUUD"), (2, 3, "+---++", "UUUDDU"), (2, 3, "+---+-++", "UUUDDDDU"),
        (1, 1, "+-+-", "UDUD"), (3, 2, "+--+++", "UUDDDU"),
        // The first probe decides alone.
        (2, 3, "-++", "DDU"), (2, 3, "-+-++", "DDDDU"), (2, 3, "+", "U"),
        // Failures have to be in a row.
        (2, 3, "+--+--+--+", "UUUUUUUUUU"),
    ])
    func riseAndFall(rise: Int, fall: Int, probes: String, expected: String) {
        let rules = Self.probed(rise: rise, fall: fall)
        var health = BackendHealth()
        var seen = ""
        for probe in probes {
            health.probed(probe == "+", rules, at: start)
            seen += health.isUp ? "U" : "D"
        }
        #expect(seen == expected)
    }

    @Test func refusalsInARowTakeItDownAndProbesBringItBack() {
        let set = backends(.roundRobin, weights: [1], rules: Self.probed())
        set.connected(0, at: start)
        for round in 0..<3 {
            #expect(set.pick(source: anybody, at: start) == 0, "\(round)")
            set.refused(0, at: start)
        }
        #expect(!set.isUp(0))
        #expect(set.nextChange() == .init(index: 0, isUp: false))
        #expect(set.nextChange() == nil)
        #expect(set.pick(source: anybody, at: start) == nil)
        for isUp in [false, true] {
            let now = max(set.deadline, start)
            #expect(set.nextProbe(at: now) == 0)
            set.probed(0, isAlive: true, at: now)
            #expect(set.isUp(0) == isUp)
        }
        #expect(set.nextChange() == .init(index: 0, isUp: true))
        #expect(set.pick(source: anybody, at: start) == 0)
    }

    @Test func oneThatIsAnsweredStartsCountingAnew() {
        let set = backends(.roundRobin, weights: [1, 1])
        for _ in 0..<10 {
            set.noticedRefusal(0, at: start)
            set.noticedRefusal(0, at: start)
            set.connected(0, at: start)
        }
        #expect(set.isUp(0))
        for _ in 0..<3 { set.noticedRefusal(0, at: start) }
        #expect(!set.isUp(0))
    }

    @Test func silenceCountsOnlyWhereAnswersAreExpected() {
        var rules = HealthRules()
        let oneWay = backends(.roundRobin, weights: [1, 1], rules: rules)
        for _ in 0..<100 { oneWay.noticedSilence(0, at: start) }
        #expect(oneWay.isUp(0))
        rules.silenceLimit = 2
        let game = backends(.roundRobin, weights: [1, 1], rules: rules)
        game.noticedSilence(0, at: start)
        #expect(game.isUp(0))
        game.noticedSilence(0, at: start)
        #expect(!game.isUp(0))
    }

    @Test func withoutProbesABackendIsTriedAgainEverLater() {
        let set = backends(.roundRobin, weights: [1, 1])
        var now = start
        for _ in 0..<3 { set.noticedRefusal(0, at: now) }
        for wait in [1, 2, 4, 8, 16, 30, 30] as [UInt64] {
            #expect(set.deadline == now + .seconds(wait))
            now = now + .seconds(wait)
            set.wake(at: Instant(nanoseconds: now.nanoseconds - 1))
            #expect(!set.isUp(0))
            set.wake(at: now)
            #expect(set.isUp(0))
            // One refusal is enough this time.
            set.noticedRefusal(0, at: now)
            #expect(!set.isUp(0))
        }
        now = set.deadline
        set.wake(at: now)
        set.connected(0, at: now)
        for _ in 0..<3 { set.noticedRefusal(0, at: now) }
        #expect(set.deadline == now + .seconds(1))
    }

    @Test func aPickNoticesThatTimeHasPassed() {
        let set = backends(.roundRobin, weights: [1, 1])
        for _ in 0..<3 { set.noticedRefusal(0, at: start) }
        for _ in 0..<4 { #expect(set.pick(source: anybody, at: start) == 1) }
        let later = start + .seconds(1)
        let seen = (0..<2).map { _ in set.pick(source: anybody, at: later) }
        #expect(Set(seen) == [0, 1])
    }

    @Test func ifAllAreDownAndNobodyProbesTheyAreTriedAllTheSame() {
        let set = backends(.leastConnections, weights: [1, 1, 1], backups: [2])
        for index in 0..<3 { for _ in 0..<3 { set.noticedRefusal(index, at: start) } }
        guard let index = set.pick(source: anybody, at: start) else {
            Issue.record("nobody was tried")
            return
        }
        #expect(index < 2)
        set.connected(index, at: start)
        #expect(set.isUp(index))
        for _ in 0..<5 { #expect(set.pick(source: anybody, at: start) == index) }
    }

    @Test(arguments: PickPolicy.allCases)
    func backupsServeOnlyWhileNobodyElseIsUp(policy: PickPolicy) {
        var generator = SeededGenerator(seed: 6)
        let set = backends(policy, weights: [1, 1, 5], backups: [2], rules: Self.probed())
        let picks = { (count: Int) -> Set<Int?> in
            Set((0..<count).map { _ in set.pick(source: generator.player(), at: start) })
        }
        #expect(picks(50) == [0, 1])
        set.follow(0, isUp: false, at: start)
        #expect(picks(50) == [1])
        set.follow(1, isUp: false, at: start)
        #expect(picks(50) == [2])
        set.follow(2, isUp: false, at: start)
        #expect(picks(5) == [nil])
        set.follow(1, isUp: true, at: start)
        #expect(picks(50) == [1])
    }

    @Test func aDrainingBackendKeepsWhatItHas() {
        let set = backends(.roundRobin, weights: [1, 1])
        let first = set.pick(source: anybody, at: start)
        #expect(first == 0)
        set.setDraining(0, true)
        for _ in 0..<5 { #expect(set.pick(source: anybody, at: start) == 1) }
        #expect(set.active(0) == 1 && set.isUp(0) && set.nextChange() == nil)
        set.finished(0)
        set.setDraining(0, false)
        #expect(Set((0..<2).map { _ in set.pick(source: anybody, at: start) }) == [0, 1])
    }

    @Test(arguments: [PickPolicy.roundRobin, .leastConnections])
    func aBackendThatCameBackStartsSlowly(policy: PickPolicy) {
        var rules = Self.probed()
        rules.slowStart = .seconds(90)
        let set = backends(policy, weights: [1, 1], rules: rules)
        set.follow(0, isUp: false, at: start)
        set.follow(0, isUp: true, at: start)
        for (second, share) in [(0, 10), (20, 30), (50, 60), (90, 100)] {
            let now = start + .seconds(UInt64(second))
            var count = 0
            var tries = 0
            for _ in 0..<400 {
                guard let index = set.pick(source: anybody, at: now) else { continue }
                set.finished(index)
                tries += 1
                count += index == 0 ? 1 : 0
            }
            // Its own half of the turns, cut down to the share and shared out anew.
            let fair = tries * share / (policy == .roundRobin ? 100 + share : 200)
            #expect(abs(count - fair) <= tries / 10, "\(second) s: \(count), \(fair)")
        }
    }

    @Test func aChangeThereAndBackIsNoNews() {
        let set = backends(.roundRobin, weights: [1, 1, 1])
        set.follow(1, isUp: false, at: start)
        set.follow(1, isUp: true, at: start)
        #expect(set.nextChange() == nil)
        set.follow(2, isUp: false, at: start)
        set.follow(0, isUp: false, at: start)
        #expect(set.nextChange() == .init(index: 0, isUp: false))
        #expect(set.nextChange() == .init(index: 2, isUp: false))
        #expect(set.nextChange() == nil)
    }

    @Test func probesAreSpreadAndDueEveryInterval() {
        let set = backends(.roundRobin, weights: [1, 1, 1, 1], rules: Self.probed())
        var times: [[UInt64]] = Array(repeating: [], count: 4)
        var now = start
        while now < start + .seconds(8) {
            set.wake(at: now)
            while let index = set.nextProbe(at: now) {
                times[index].append(now.since(start).milliseconds)
                set.probed(index, isAlive: true, at: now)
            }
            #expect(set.deadline > now)
            now = set.deadline
        }
        #expect(times[0] == [0, 2000, 4000, 6000])
        #expect(times[3] == [1500, 3500, 5500, 7500])
    }

    @Test func aProbeWithoutAnswerFailsAndALateAnswerIsIgnored() {
        let set = backends(.roundRobin, weights: [1], rules: Self.probed())
        #expect(set.nextProbe(at: start) == 0)
        #expect(set.isProbing(0))
        #expect(set.deadline == start + .seconds(1))
        set.wake(at: set.deadline)
        #expect(!set.isUp(0) && !set.isProbing(0))
        set.probed(0, isAlive: true, at: start + .milliseconds(1100))
        set.probed(0, isAlive: true, at: start + .milliseconds(1200))
        #expect(!set.isUp(0))
        #expect(set.deadline == start + .seconds(3))
    }

    /// Anything may happen in any order; what must hold, holds.
    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func storms(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var rules = Self.probed()
        rules.isProbed = generator.chance(1, in: 2)
        rules.slowStart = .milliseconds(generator.below(3000))
        rules.silenceLimit = Int(generator.below(3))
        let policy = PickPolicy.allCases[Int(generator.below(3))]
        let count = Int(1 + generator.below(6))
        let set = backends(
            policy,
            weights: (0..<count).map { _ in Int(generator.below(4)) },
            backups: [count - 1],
            rules: rules
        )
        var now = start
        var open: [Int] = []
        // Rebuilding the hash table takes its time in a debug build.
        for _ in 0..<(policy == .sourceHash ? 60 : 1500) {
            now = now + .milliseconds(generator.below(300))
            let index = Int(generator.below(UInt64(count)))
            switch generator.below(10) {
            case 0...3:
                let excluded = generator.chance(1, in: 4) ? index : nil
                let picked = set.pick(source: generator.player(), excluding: excluded, at: now)
                guard let picked else { break }
                open.append(picked)
                #expect(set.member(picked).weight > 0 && !set.isDraining(picked))
                #expect(set.isUp(picked) || !rules.isProbed)
            case 4 where !open.isEmpty:
                let last = open.removeLast()
                generator.chance(1, in: 2) ? set.finished(last) : set.refused(last, at: now)
            case 5: set.connected(index, at: now)
            case 6: set.noticedSilence(index, at: now)
            case 7: set.setDraining(index, generator.chance(1, in: 3))
            case 8: set.noticedRefusal(index, at: now)
            default:
                set.wake(at: now)
                if let probe = set.nextProbe(at: now), generator.chance(2, in: 3) {
                    set.probed(probe, isAlive: generator.chance(1, in: 2), at: now)
                }
            }
        }
        for index in 0..<count { #expect(set.active(index) == open.count { $0 == index }) }
        var news = 0
        while set.nextChange() != nil { news += 1 }
        #expect(news <= count)
    }
}
