import Primitives

/// Which streams of a session have something to be done for, in the order in which it is done.
///
/// Slots of streams that ended stay in the queues, and are skipped when their turn comes.
struct StreamQueues: ~Copyable {
    /// With frames other than data to send.
    var control = SlotQueue()
    /// With data to send.
    var rounds = StreamRounds()
    /// Whose peer has ended, until the driver had its chance to see that.
    var ended = SlotQueue()

    init() {}

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
