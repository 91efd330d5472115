import Primitives

/// Whose turn it is among the streams with something to send.
///
/// Urgent streams come before all others and do not wait for the pacer; of the rest, those that
/// were idle until now come before those that have had their turn (RFC 8290 §4.2, fq_codel's two
/// lists).
struct StreamRounds: ~Copyable {
    enum Tier: UInt8 { case urgent, fresh, steady }

    private var urgent = SlotQueue()
    private var fresh = SlotQueue()
    private var steady = SlotQueue()

    init() {}

    var hasUrgent: Bool { !self.urgent.isEmpty }
    var hasOthers: Bool { !self.fresh.isEmpty || !self.steady.isEmpty }
    var isEmpty: Bool { self.urgent.isEmpty && !self.hasOthers }

    var count: Int { self.urgent.count + self.fresh.count + self.steady.count }

    /// Keeps of each list the first entry of every slot for which `isWanted` holds.
    mutating func keepFirst(where isWanted: (UInt32) -> Bool) {
        self.urgent.keepFirst(where: isWanted)
        self.fresh.keepFirst(where: isWanted)
        self.steady.keepFirst(where: isWanted)
    }

    /// The stream to serve next; without `others` only urgent ones are.
    func first(includingOthers others: Bool) -> (slot: UInt32, tier: Tier)? {
        if let slot = self.urgent.first { return (slot, .urgent) }
        guard others else { return nil }
        if let slot = self.fresh.first { return (slot, .fresh) }
        if let slot = self.steady.first { return (slot, .steady) }
        return nil
    }

    mutating func append(_ slot: UInt32, _ tier: Tier) {
        switch tier {
        case .urgent: self.urgent.append(slot)
        case .fresh: self.fresh.append(slot)
        case .steady: self.steady.append(slot)
        }
    }

    mutating func removeFirst(_ tier: Tier) {
        precondition(!self.isEmpty, "nobody's turn")
        switch tier {
        case .urgent: _ = self.urgent.popFirst()
        case .fresh: _ = self.fresh.popFirst()
        case .steady: _ = self.steady.popFirst()
        }
    }
}
