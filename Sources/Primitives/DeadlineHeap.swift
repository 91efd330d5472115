/// The earliest of many deadlines, one per slot: a binary heap that knows where each slot stands,
/// so that moving one deadline is O(log n) and finding the next is O(1).
public struct DeadlineHeap {
    private var heap: [(at: Instant, slot: Int)] = []
    private var places: [Int] = []

    /// A heap in which no slot has a deadline.
    public init() {}

    /// The earliest deadline; ``Instant/never`` when none is set.
    public var next: Instant { self.heap.first?.at ?? .never }

    /// The slot whose deadline is the earliest, if that is due.
    public func due(at now: Instant) -> Int? {
        guard let first = self.heap.first, first.at <= now else { return nil }
        return first.slot
    }

    /// Sets, moves or, with ``Instant/never``, removes the deadline of `slot`.
    public mutating func set(_ slot: Int, to instant: Instant) {
        precondition(slot >= 0)
        while self.places.count <= slot { self.places.append(-1) }
        let place = self.places[slot]
        if instant == .never {
            if place >= 0 { self.remove(place) }
            return
        }
        if place < 0 {
            self.heap.append((instant, slot))
            self.places[slot] = self.heap.count - 1
            self.rise(self.heap.count - 1)
            return
        }
        let old = self.heap[place].at
        guard old != instant else { return }
        self.heap[place].at = instant
        if instant < old { self.rise(place) } else { self.sink(place) }
    }

    private mutating func remove(_ place: Int) {
        let last = self.heap.count - 1
        self.places[self.heap[place].slot] = -1
        if place != last {
            self.heap[place] = self.heap[last]
            self.places[self.heap[place].slot] = place
        }
        self.heap.removeLast()
        guard place < self.heap.count else { return }
        self.rise(place)
        self.sink(place)
    }

    private mutating func swap(_ one: Int, _ other: Int) {
        self.heap.swapAt(one, other)
        self.places[self.heap[one].slot] = one
        self.places[self.heap[other].slot] = other
    }

    private mutating func rise(_ start: Int) {
        var place = start
        while place > 0, self.heap[place].at < self.heap[(place - 1) / 2].at {
            self.swap(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
    }

    private mutating func sink(_ start: Int) {
        var place = start
        while true {
            var least = place
            let left = 2 * place + 1
            if left < self.heap.count, self.heap[left].at < self.heap[least].at { least = left }
            let right = left + 1
            if right < self.heap.count, self.heap[right].at < self.heap[least].at { least = right }
            guard least != place else { return }
            self.swap(place, least)
            place = least
        }
    }
}
