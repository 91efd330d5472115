/// How far a stream has got, seen from this end.
///
/// Whatever happens to a stream is an event, and each event asks for one action. What the peer has
/// sent is the receiver's to know; here its end only shows in ``Event/settled``.
enum StreamLifecycle: Equatable {
    /// The local side may write.
    case open
    /// The local side has ended; bytes of it are still to be cut into segments, or CLOSE to be
    /// written.
    case finishing
    /// CLOSE is on its way.
    case closing
    /// The peer has CLOSE.
    case closed
    /// The driver's handle is dead; the slot waits until the peer has RESET.
    case reset(ResetReason)

    enum Event: Equatable {
        /// The local side has ended.
        case finished
        case closeWritten, closeLost, closeAcknowledged
        /// All bytes of both directions have arrived, as far as is known.
        case settled
        /// The driver ends it at once, and knows.
        case aborted(ResetReason)
        /// This end cannot go on with it: the peer is told one reason, the driver another.
        case failed(ResetReason, telling: ResetReason)
        /// It is over at once, for both ends: the peer's RESET, its place, its session.
        case cut(ResetReason)
        case resetLost, resetAcknowledged
    }

    enum Action: Equatable {
        case nothing
        /// CLOSE, as soon as no byte is left to be cut.
        case writeClose
        /// CLOSE once more.
        case repeatClose
        /// RESET, and nothing else any more.
        case writeReset
        /// The same, and the driver is told.
        case fail(ResetReason)
        case repeatReset
        /// The driver is told, and the slot is free; without a reason all went well.
        case end(ResetReason?)
        /// The slot is free.
        case release
        /// Whether it has ended may show now.
        case look
    }

    var isReset: Bool {
        if case .reset = self { true } else { false }
    }

    /// Whether CLOSE is to be written, or has been and may have been lost.
    var owesClose: Bool { self == .finishing || self == .closing }

    /// Goes on to the next state; what has to be done now.
    mutating func on(_ event: Event) -> Action {
        switch (self, event) {
        case (.reset(let reason), _): return self.afterReset(event, reason)
        case (_, .aborted(let reason)):
            self = .reset(reason)
            return .writeReset
        case (_, .failed(let reason, let told)):
            self = .reset(reason)
            return .fail(told)
        case (_, .cut(let reason)): return .end(reason)
        case (.open, .finished):
            self = .finishing
            return .writeClose
        case (.finishing, .closeWritten), (.closing, .closeWritten):
            self = .closing
            return .nothing
        case (.closing, .closeLost): return .repeatClose
        case (.closing, .closeAcknowledged), (.closed, .closeAcknowledged):
            self = .closed
            return .look
        case (.closed, .settled): return .end(nil)
        default: return .nothing
        }
    }

    private func afterReset(_ event: Event, _ reason: ResetReason) -> Action {
        switch event {
        case .resetLost: .repeatReset
        // The peer's own RESET crossed ours, or nobody is left to wait for.
        case .resetAcknowledged, .cut: .release
        default: .nothing
        }
    }
}
