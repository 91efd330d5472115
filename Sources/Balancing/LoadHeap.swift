/// Backends in order of connections per weight: the least loaded in O(1), a change in O(log n).
///
/// Among equals the one that has waited longest goes first.
struct LoadHeap {
    private struct Seat {
        var index: Int
        var weight: Int
        var active: Int
        var lastTurn: UInt64
    }

    private var seats: [Seat] = []
    /// Where a backend sits, by its index; -1: not at all.
    private var positions: [Int]
    private var turn: UInt64 = 0

    init(capacity: Int) { self.positions = Array(repeating: -1, count: capacity) }

    var isEmpty: Bool { self.seats.isEmpty }
    var count: Int { self.seats.count }

    /// The least loaded of those that suit; O(n).
    func least(where isFit: (Int) -> Bool) -> Int? {
        var best: Int?
        for place in self.seats.indices where isFit(self.seats[place].index) {
            if best.map({ self.precedes(place, $0) }) ?? true { best = place }
        }
        return best.map { self.seats[$0].index }
    }

    /// Makes room for indices below `capacity`.
    mutating func grow(to capacity: Int) {
        guard capacity > self.positions.count else { return }
        let more = capacity - self.positions.count
        self.positions += Array(repeating: -1, count: more)
    }

    /// Keeps nobody's place from before, but the order among equals.
    mutating func replace(with indices: [Int], weight: (Int) -> Int, active: (Int) -> Int) {
        let before = self.positions.map { $0 < 0 ? 0 : self.seats[$0].lastTurn }
        self.seats = []
        for index in self.positions.indices { self.positions[index] = -1 }
        for index in indices where weight(index) > 0 {
            self.positions[index] = self.seats.count
            self.seats.append(
                Seat(
                    index: index,
                    weight: weight(index),
                    active: active(index),
                    lastTurn: before[index]
                )
            )
            self.rise(self.seats.count - 1)
        }
    }

    /// The least loaded.
    ///
    /// The heap must not be empty.
    var first: Int { self.seats[0].index }

    /// The second least loaded, which is one of the two right below the first.
    var second: Int? {
        guard self.seats.count > 1 else { return nil }
        let isRight = self.seats.count > 2 && self.precedes(2, 1)
        return self.seats[isRight ? 2 : 1].index
    }

    /// Says how many connections a backend has now; one that does not sit here is ignored.
    mutating func update(_ index: Int, active: Int) {
        let position = self.positions[index]
        guard position >= 0 else { return }
        let isMore = active > self.seats[position].active
        self.seats[position].active = active
        if isMore {
            self.turn += 1
            self.seats[position].lastTurn = self.turn
            self.sink(position)
        } else {
            self.rise(position)
        }
    }

    private func precedes(_ a: Int, _ b: Int) -> Bool {
        let one = self.seats[a]
        let two = self.seats[b]
        // Loads as they will be with one more, so that weights count from the first connection.
        let loadOfOne = (one.active + 1) * two.weight
        let loadOfTwo = (two.active + 1) * one.weight
        if loadOfOne != loadOfTwo { return loadOfOne < loadOfTwo }
        return (one.lastTurn, one.index) < (two.lastTurn, two.index)
    }

    private mutating func swap(_ a: Int, _ b: Int) {
        self.seats.swapAt(a, b)
        self.positions[self.seats[a].index] = a
        self.positions[self.seats[b].index] = b
    }

    private mutating func rise(_ start: Int) {
        var position = start
        while position > 0, self.precedes(position, (position - 1) / 2) {
            self.swap(position, (position - 1) / 2)
            position = (position - 1) / 2
        }
    }

    private mutating func sink(_ start: Int) {
        var position = start
        while true {
            var first = position
            for child in [2 * position + 1, 2 * position + 2]
            where child < self.seats.count && self.precedes(child, first) {
                first = child
            }
            guard first != position else { return }
            self.swap(position, first)
            position = first
        }
    }
}
