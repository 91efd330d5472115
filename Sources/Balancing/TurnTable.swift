/// The order of smooth weighted round-robin, worked out ahead so that a pick is one load.
///
/// The sequence is the one in which everybody gains their weight per turn, the richest goes, and
/// pays the sum of all weights; it spreads each one's turns as evenly as can be.
struct TurnTable {
    /// Longer periods are approximated: weights are scaled down, never below one turn.
    static let longestPeriod = 4096

    private let turns: [UInt16]
    private(set) var cursor = 0

    var isEmpty: Bool { self.turns.isEmpty }
    /// After how many turns the order repeats, each backend having had exactly its share.
    var period: Int { self.turns.count }

    init() { self.turns = [] }

    /// `indices` and `weights` belong together; a weight of 0 gets no turn.
    init(_ indices: [Int], weights: [Int], from cursor: Int = 0) {
        let weights = Self.reduced(weights)
        let total = weights.reduce(0, +)
        var wealth = [Int](repeating: 0, count: indices.count)
        var turns: [UInt16] = []
        turns.reserveCapacity(total)
        for _ in 0..<total {
            var richest = 0
            for place in indices.indices {
                wealth[place] += weights[place]
                if wealth[place] > wealth[richest] { richest = place }
            }
            wealth[richest] -= total
            turns.append(UInt16(indices[richest]))
        }
        self.turns = turns
        self.cursor = turns.isEmpty ? 0 : cursor % turns.count
    }

    /// Whose turn it is.
    ///
    /// The table must not be empty.
    mutating func next() -> Int {
        let index = Int(self.turns[self.cursor])
        self.cursor = self.cursor + 1 == self.turns.count ? 0 : self.cursor + 1
        return index
    }

    private static func reduced(_ weights: [Int]) -> [Int] {
        let divisor = weights.reduce(0, Self.greatestCommonDivisor)
        guard divisor > 0 else { return weights }
        let total = weights.reduce(0, +)
        guard total / divisor > Self.longestPeriod else { return weights.map { $0 / divisor } }
        return weights.map { weight in
            weight == 0 ? 0 : max(1, (weight * Self.longestPeriod + total / 2) / total)
        }
    }

    private static func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int {
        b == 0 ? a : Self.greatestCommonDivisor(b, a % b)
    }
}
