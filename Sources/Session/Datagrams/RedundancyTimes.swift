import Primitives

/// When copies and repairs of which flow are due, by the flow's slot.
struct RedundancyTimes: ~Copyable {
    private var due = DeadlineHeap()
    private var riders = DeadlineHeap()

    init() {}

    /// When something is due next.
    var deadline: Instant { self.due.next }

    /// Something of a flow is due at `deadline`, and from `earliest` on may ride along in a packet
    /// that leaves anyway.
    mutating func set(_ slot: UInt32, due deadline: Instant, ridingFrom earliest: Instant) {
        self.due.set(Int(slot), to: deadline)
        self.riders.set(Int(slot), to: earliest)
    }

    /// Nothing of a flow is to be sent.
    mutating func cancel(_ slot: UInt32) { self.set(slot, due: .never, ridingFrom: .never) }

    /// A flow of which something is due.
    func firstDue(at now: Instant) -> UInt32? {
        self.due.due(at: now).map { UInt32(clamping: $0) }
    }

    /// A flow of which something may ride along.
    func firstRider(at now: Instant) -> UInt32? {
        self.riders.due(at: now).map { UInt32(clamping: $0) }
    }
}
