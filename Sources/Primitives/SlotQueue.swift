/// A first-in, first-out queue of slot numbers that doubles when it must and never shrinks.
public struct SlotQueue: ~Copyable {
    private var ring = IndexedRing<UInt32>(capacity: 16)
    private var head: UInt64 = 0
    private var tail: UInt64 = 0

    /// An empty queue with room for 16 slots.
    public init() {}

    /// Whether there is no slot to take.
    public var isEmpty: Bool { self.head == self.tail }
    /// How many slots wait; a slot counts as often as it was appended.
    public var count: Int { Int(self.tail - self.head) }
    /// The slot that has waited for longest, left in place; `nil` from an empty queue.
    public var first: UInt32? { self.isEmpty ? nil : self.ring[self.head] }

    /// Adds `slot` at the end, in O(1) but for a doubling; duplicates are not looked for.
    public mutating func append(_ slot: UInt32) {
        let live = self.head..<self.tail
        self.ring.grow(toHold: live.count + 1, keeping: live)
        self.ring[self.tail] = slot
        self.tail += 1
    }

    /// Takes the slot that has waited for longest; `nil` from an empty queue.
    public mutating func popFirst() -> UInt32? {
        guard !self.isEmpty else { return nil }
        defer { self.head += 1 }
        return self.ring[self.head]
    }

    /// Empties the queue and keeps its memory.
    public mutating func removeAll() { self.head = self.tail }

    /// Keeps the first entry of every slot for which `isWanted` holds, in order.
    public mutating func keepFirst(where isWanted: (UInt32) -> Bool) {
        var seen: Set<UInt32> = []
        for _ in 0..<self.count {
            guard let slot = self.popFirst() else { return }
            if isWanted(slot), seen.insert(slot).inserted { self.append(slot) }
        }
    }
}
