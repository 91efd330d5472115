import Primitives
import Testing

@testable import Balancing

let start = Instant(nanoseconds: 1_000_000_000)

extension SeededGenerator {
    mutating func player() -> SocketAddress {
        let port = UInt16(truncatingIfNeeded: self.next())
        return SocketAddress(ipv4: UInt32(truncatingIfNeeded: self.next()), port: port)
    }
}

let anybody = SocketAddress(ipv4: 0xC000_0201, port: 5000)

func backends(
    _ policy: PickPolicy,
    weights: [Int],
    backups: Set<Int> = [],
    rules: HealthRules = HealthRules()
) -> BackendSet {
    let members = weights.indices.map {
        BackendSet.Member(
            name: "10.0.0.\($0):1",
            weight: weights[$0],
            tier: backups.contains($0) ? 1 : 0
        )
    }
    return BackendSet(members, policy: policy, rules: rules, at: start)
}

@Suite struct RoundRobinTests {
    @Test func turnsAreSpreadAsSmoothAsCanBe() {
        var turns = TurnTable([0, 1, 2], weights: [5, 1, 1])
        #expect((0..<14).map { _ in turns.next() } == [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0])
        var equal = TurnTable([3, 4, 5], weights: [7, 7, 7])
        #expect(equal.period == 3)
        #expect((0..<6).map { _ in equal.next() } == [3, 4, 5, 3, 4, 5])
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func sharesAreExactOverAPeriod(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let weights = (0..<Int(2 + generator.below(8))).map { _ in Int(1 + generator.below(40)) }
        let set = backends(.roundRobin, weights: weights)
        let total = weights.reduce(0, +)
        for _ in 0..<3 {
            var counts = [Int](repeating: 0, count: weights.count)
            for _ in 0..<total {
                guard let index = set.pick(source: anybody, at: start) else { continue }
                counts[index] += 1
                set.finished(index)
            }
            #expect(counts == weights)
        }
    }

    @Test func longPeriodsAreApproximatedAndNobodyStarves() {
        let weights = [1000, 999, 997, 1]
        let turns = TurnTable([0, 1, 2, 3], weights: weights)
        #expect(turns.period <= TurnTable.longestPeriod)
        let big = TurnTable(Array(0..<9), weights: Array(992...1000))
        #expect((4090...4100).contains(big.period))
        var counts = [Int](repeating: 0, count: 9)
        var table = big
        for _ in 0..<big.period { counts[table.next()] += 1 }
        #expect(counts.allSatisfy { (453...458).contains($0) })
        let steep = TurnTable(Array(0..<9), weights: [1] + Array(repeating: 1000, count: 8))
        var steepTable = steep
        #expect((0..<steep.period).contains { _ in steepTable.next() == 0 })
    }

    @Test func weightZeroGetsNothing() {
        let set = backends(.roundRobin, weights: [0, 1])
        for _ in 0..<10 { #expect(set.pick(source: anybody, at: start) == 1) }
        #expect(backends(.roundRobin, weights: [0]).pick(source: anybody, at: start) == nil)
        #expect(backends(.roundRobin, weights: []).pick(source: anybody, at: start) == nil)
    }

    @Test(arguments: PickPolicy.allCases)
    func whoHasJustRefusedIsAvoidedIfThereIsAnother(policy: PickPolicy) {
        var generator = SeededGenerator(seed: 3)
        let set = backends(policy, weights: [5, 1, 1])
        for _ in 0..<200 {
            let player = generator.player()
            let index = set.pick(source: player, excluding: 0, at: start)
            #expect(index != 0 && index != nil)
        }
        let one = backends(policy, weights: [1])
        #expect(one.pick(source: anybody, excluding: 0, at: start) == 0)
    }
}

@Suite struct LeastConnectionsTests {
    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func neverMoreLoadThanAnotherWouldHave(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let weights = (0..<Int(1 + generator.below(9))).map { _ in Int(1 + generator.below(5)) }
        let set = backends(.leastConnections, weights: weights)
        var open: [Int] = []
        for _ in 0..<2000 {
            if !open.isEmpty, generator.chance(9, in: 20) {
                let place = Int(generator.below(UInt64(open.count)))
                set.finished(open.remove(at: place))
                continue
            }
            let before = weights.indices.map(set.active)
            guard let index = set.pick(source: anybody, at: start) else { continue }
            open.append(index)
            for other in weights.indices {
                #expect(
                    (before[index] + 1) * weights[other] <= (before[other] + 1) * weights[index]
                )
            }
        }
        for index in weights.indices {
            #expect(set.active(index) == open.count { $0 == index })
        }
    }

    @Test func equalsTakeTurns() {
        let set = backends(.leastConnections, weights: [1, 1, 1])
        var order: [Int] = []
        for _ in 0..<9 {
            guard let index = set.pick(source: anybody, at: start) else { continue }
            order.append(index)
            set.finished(index)
        }
        #expect(Set(order.prefix(3)).count == 3)
        #expect(Array(order[3..<6]) == Array(order[..<3]))
    }

    @Test func theOneThatComesBackIsFilledUp() {
        let set = backends(.leastConnections, weights: [1, 1])
        set.follow(1, isUp: false, at: start)
        for _ in 0..<10 { #expect(set.pick(source: anybody, at: start) == 0) }
        set.follow(1, isUp: true, at: start)
        for _ in 0..<10 { #expect(set.pick(source: anybody, at: start) == 1) }
    }
}

@Suite struct SourceHashTests {
    @Test func aPlayerStaysWhateverThePort() {
        var generator = SeededGenerator(seed: 4)
        let set = backends(.sourceHash, weights: [1, 1, 1, 1])
        for _ in 0..<300 {
            let player = generator.player()
            let first = set.pick(source: player, at: start)
            #expect(set.pick(source: player.with(port: 1), at: start) == first)
        }
    }

    @Test func everyBackendGetsItsShareOfPlaces() {
        for weights in [[1, 1, 1, 1, 1], [1, 2, 3, 4], [10, 1], [1000, 500]] {
            let table = Maglev(Self.entrants(weights))
            var counts = [Int](repeating: 0, count: weights.count)
            for place in 0..<table.size { counts[table[UInt64(place)]] += 1 }
            let total = weights.reduce(0, +)
            for (count, weight) in zip(counts, weights) {
                let fair = table.size * weight / total
                #expect(abs(count - fair) <= fair / 100 + 2)
            }
        }
    }

    /// A small table, because what is tested does not depend on the size.
    @Test(arguments: 1...5 as ClosedRange<UInt64>)
    func whenOneGoesTheOthersKeepTheirPlayers(seed: UInt64) {
        let size = 2039
        let all = Self.entrants([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], salt: seed)
        let before = Maglev(all, size: size)
        for gone in [0, 4, 9] {
            let after = Maglev(all.filter { $0.index != gone }, size: size)
            var moved = 0
            for place in 0..<UInt64(size) {
                #expect(after[place] != gone)
                if before[place] != gone, before[place] != after[place] { moved += 1 }
            }
            // A tenth had to move; of the rest a few per cent do (the paper's §5.3).
            #expect(moved < size * 8 / 100)
        }
    }

    @Test func theOrderOfConfigurationDoesNotMatter() {
        let entrants = Self.entrants([1, 2, 3, 4])
        let one = Maglev(entrants, size: 503)
        let two = Maglev(entrants.reversed(), size: 503)
        #expect((0..<503).allSatisfy { one[$0] == two[$0] })
    }

    @Test func aNamesPlacesDoNotDependOnItsNeighbours() {
        let two = backends(.sourceHash, weights: [1, 1])
        let three = backends(.sourceHash, weights: [1, 1, 1])
        three.follow(2, isUp: false, at: start)
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<200 {
            let player = generator.player()
            let expected = two.pick(source: player, at: start)
            #expect(three.pick(source: player, at: start) == expected)
        }
    }

    static func entrants(_ weights: [Int], salt: UInt64 = 0) -> [Maglev.Entrant] {
        weights.indices.map {
            .init(
                index: $0,
                identity: Hash.mix(Hash.name("10.0.0.\($0):1") ^ salt),
                weight: weights[$0]
            )
        }
    }
}
