/// A first-in, first-out queue of slot numbers that doubles when it must and never shrinks.
public struct SlotQueue: ~Copyable {
    private var ring = IndexedRing<UInt32>(capacity: 16)
    private var head: UInt64 = 0
    private var tail: UInt64 = 0

    public init() {}

    public var isEmpty: Bool { self.head == self.tail }
    public var count: Int { Int(self.tail - self.head) }
    public var first: UInt32? { self.isEmpty ? nil : self.ring[self.head] }

    public mutating func append(_ slot: UInt32) {
        let live = self.head..<self.tail
        self.ring.grow(toHold: live.count + 1, keeping: live)
        self.ring[self.tail] = slot
        self.tail += 1
    }

    public mutating func popFirst() -> UInt32? {
        guard !self.isEmpty else { return nil }
        defer { self.head += 1 }
        return self.ring[self.head]
    }

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
