import Primitives
import Testing

@testable import Balancing

@Suite struct MembersTests {
    private let start = Instant(nanoseconds: 1)
    private let anybody = SocketAddress(ipv4: 1, port: 1)

    private func set(_ names: [String], probed: Bool = false) -> BackendSet {
        var rules = HealthRules()
        rules.isProbed = probed
        return BackendSet(
            names.map { .init(name: $0) },
            policy: .roundRobin,
            rules: rules,
            at: self.start
        )
    }

    @Test func whoStaysKeepsIndexHealthAndPlaces() {
        let set = self.set(["a", "b", "c"])
        for _ in 0..<3 { set.noticedRefusal(1, at: self.start) }
        #expect(set.pick(source: self.anybody, at: self.start) == 0)
        set.adopt([.init(name: "b"), .init(name: "a", weight: 5)], at: self.start)
        #expect(set.member(0).weight == 5)
        #expect(!set.isUp(1) && set.active(0) == 1 && set.isGone(2))
        for _ in 0..<4 { #expect(set.pick(source: self.anybody, at: self.start) == 0) }
    }

    @Test func tiersFollowOneAnother() {
        let set = BackendSet(
            [.init(name: "z", tier: 65_536), .init(name: "b", tier: 1), .init(name: "a")],
            policy: .leastConnections,
            at: self.start
        )
        for expected in [2, 1, 0] {
            #expect(set.pick(source: self.anybody, at: self.start) == expected)
            set.setDraining(expected, true)
        }
        #expect(set.pick(source: self.anybody, at: self.start) == nil)
    }

    @Test func aNewBackendIsProbedAtOnceAndOneThatLeftNoMore() {
        let set = self.set(["a"], probed: true)
        #expect(set.nextProbe(at: self.start) == 0)
        set.probed(0, isAlive: true, at: self.start)
        let later = self.start + .milliseconds(100)
        set.adopt([.init(name: "b")], at: later)
        // Nobody has a place at the old one: the new one has its index.
        #expect(set.member(0).name == "b")
        #expect(set.nextProbe(at: later) == 0)
        set.probed(0, isAlive: false, at: later)
        #expect(set.nextChange() == BackendSet.Change(index: 0, isUp: false))
        set.adopt([], at: later)
        #expect(set.nextProbe(at: later + .seconds(60)) == nil)
        #expect(set.deadline == .never)
    }

    @Test(arguments: PickPolicy.allCases)
    func comingAndGoingForeverTakesNoMoreRoomThanPlayersDo(policy: PickPolicy) {
        var generator = SeededGenerator(seed: 3)
        let set = BackendSet([], policy: policy, at: self.start)
        var players: [Int] = []
        var now = self.start
        for round in 0..<2_000 {
            now = now + .milliseconds(100)
            let names = (0..<generator.next() % 6).map { _ in "m\(generator.next() % 40)" }
            set.adopt(Array(Set(names)).map { .init(name: $0) }, at: now)
            if names.isEmpty {
                #expect(set.pick(source: self.anybody, at: now) == nil)
            } else if let index = set.pick(source: self.anybody, at: now) {
                #expect(names.contains(set.member(index).name), "round \(round)")
                players.append(index)
                if generator.next() % 3 == 0 { set.noticedRefusal(index, at: now) }
            } else {
                Issue.record("nobody of \(names)")
            }
            while players.count > 5 {
                set.finished(players.remove(at: Int(generator.next() % UInt64(players.count))))
            }
            while set.nextChange() != nil {}
            set.wake(at: now)
        }
        #expect(set.count <= 5 + 6 + 6)
    }
}
