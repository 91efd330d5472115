import Primitives

/// Which streams of a session have something to be done for, in the order in which it is done.
///
/// Slots of streams that ended stay in the queues, and are skipped when their turn comes.
struct StreamQueues: ~Copyable {
    /// With frames other than data to send.
    private var control = SlotQueue()
    /// With data to send.
    private var rounds = StreamRounds()
    /// Whose peer has ended, until the driver had its chance to see that.
    private var ended = SlotQueue()

    init() {}

    var hasControl: Bool { !self.control.isEmpty }
    var hasData: Bool { !self.rounds.isEmpty }
    var hasUrgentData: Bool { self.rounds.hasUrgent }
    var hasOtherData: Bool { self.rounds.hasOthers }

    // MARK: - Control frames

    var firstControl: UInt32? { self.control.first }

    mutating func appendControl(_ slot: UInt32) { self.control.append(slot) }

    mutating func removeFirstControl() {
        let first = self.control.popFirst()
        precondition(first != nil, "no stream has control frames")
    }

    // MARK: - Data

    /// The stream to serve next; without `others` only urgent ones are.
    func firstData(includingOthers others: Bool) -> (slot: UInt32, tier: StreamRounds.Tier)? {
        self.rounds.first(includingOthers: others)
    }

    mutating func appendData(_ slot: UInt32, _ tier: StreamRounds.Tier) {
        self.rounds.append(slot, tier)
    }

    mutating func removeFirstData(_ tier: StreamRounds.Tier) { self.rounds.removeFirst(tier) }

    // MARK: - Ends

    mutating func appendEnded(_ slot: UInt32) { self.ended.append(slot) }

    mutating func popEnded() -> UInt32? { self.ended.popFirst() }

    // MARK: - Bounds

    /// Whether one of them is longer than so many streams and some that ended can make it.
    ///
    /// While nothing may be sent no turn comes, and a peer that opens and resets streams would make
    /// the queues grow for ever.
    func isCrowded(streamCount: Int) -> Bool {
        let most = 2 * streamCount + 64
        return self.control.count > most || self.ended.count > most
            || self.rounds.count > 3 * most
    }

    /// Keeps the first entry of each stream that is there, and in that queue.
    mutating func keep(where stream: (UInt32) -> StreamPointer?) {
        self.control.keepFirst { stream($0)?.pointee.isInControlQueue == true }
        self.ended.keepFirst { stream($0) != nil }
        self.rounds.keepFirst { stream($0)?.pointee.turn.isQueued == true }
    }
}
