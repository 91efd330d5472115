/// Maglev's lookup table (Eisenbud et al., NSDI 2016, §3.4): every key has one place, each backend
/// gets its share of places, and when a backend goes the others keep nearly all of theirs.
struct Maglev {
    /// A prime, and 100 times as large as the number of backends one service can sensibly have.
    static let defaultSize = 16_381

    struct Entrant {
        /// What it is called elsewhere; 0..<65536.
        var index: Int
        /// Decides its places; the same on every server that shares the load.
        var identity: UInt64
        var weight: Int
    }

    private var places: [UInt16] = []

    /// Empty tables have no places.
    var size: Int { self.places.count }
    var isEmpty: Bool { self.places.isEmpty }

    init() {}

    /// `size` has to be a prime.
    ///
    /// O(size) on average, for weights of any ratio.
    init(_ entrants: [Entrant], size: Int = Maglev.defaultSize) {
        // Order decides who chooses first, so it must not depend on the order of configuration.
        let entrants = entrants.filter { $0.weight > 0 }.sorted {
            ($0.identity, $0.index) < ($1.identity, $1.index)
        }
        guard let heaviest = entrants.map(\.weight).max() else { return }
        let free = UInt16.max
        self.places = Array(repeating: free, count: size)
        var cursors = entrants.map { Int(Hash.mix($0.identity) % UInt64(size)) }
        let steps = entrants.map { Int(Hash.mix(~$0.identity) % UInt64(size - 1)) + 1 }
        var credits = [Int](repeating: 0, count: entrants.count)
        var filled = 0
        while true {
            for turn in entrants.indices {
                credits[turn] += entrants[turn].weight
                guard credits[turn] >= heaviest else { continue }
                credits[turn] -= heaviest
                while self.places[cursors[turn]] != free {
                    cursors[turn] = (cursors[turn] + steps[turn]) % size
                }
                self.places[cursors[turn]] = UInt16(entrants[turn].index)
                filled += 1
                if filled == size { return }
            }
        }
    }

    /// Whose place `hash` falls on.
    ///
    /// The table must not be empty.
    subscript(hash: UInt64) -> Int { Int(self.places[Int(hash % UInt64(self.places.count))]) }

    /// As above, but somebody who suits where possible.
    func pick(_ hash: UInt64, where isFit: (Int) -> Bool) -> Int {
        let start = Int(hash % UInt64(self.places.count))
        for step in 0..<self.places.count {
            let place = (start + step) % self.places.count
            if isFit(Int(self.places[place])) { return Int(self.places[place]) }
        }
        return self[hash]
    }
}
