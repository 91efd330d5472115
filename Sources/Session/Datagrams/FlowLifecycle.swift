/// Where a flow's datagrams go.
///
/// On a client a flow outlives sessions; on a server it ends with its own.
enum FlowLifecycle: Equatable {
    /// Client: there is no session. What is sent waits.
    case waiting
    /// They travel under an id of the session.
    case attached(SessionHandle)
    /// They are messages of the stream in that slot.
    case carried(SessionHandle, by: UInt32)
    /// No stream was left to carry them: what is sent is dropped until the next session.
    case stranded(SessionHandle)

    enum Event: Equatable {
        case attached(SessionHandle)
        case carried(SessionHandle, by: UInt32)
        case stranded(SessionHandle)
        /// The peer has reset it.
        case resetByPeer(ResetReason)
        /// The stream that carried it is over.
        case carrierEnded(ResetReason?)
        case sessionOver(ResetReason)
        /// The driver ends it, and knows.
        case closed
    }

    enum Action: Equatable {
        case nothing
        /// It waits for the next session.
        case wait
        /// The server forgot it, the player did not: it is opened anew.
        case reopen
        /// The driver is told, and the slot is free.
        case end(ResetReason)
        /// The slot is free.
        case release
    }

    /// The session it belongs to.
    var owner: SessionHandle? {
        switch self {
        case .waiting: nil
        case .attached(let owner), .carried(let owner, by: _), .stranded(let owner): owner
        }
    }

    /// The slot of the stream that carries it.
    var carrier: UInt32? {
        if case .carried(_, by: let slot) = self { slot } else { nil }
    }

    /// Goes on to the next state; what has to be done now.
    mutating func on(_ event: Event, isClient: Bool) -> Action {
        switch event {
        case .attached(let owner):
            precondition(self == .waiting, "the flow has a session")
            self = .attached(owner)
            return .nothing
        case .carried(let owner, by: let slot):
            precondition(self == .waiting, "the flow has a session")
            self = .carried(owner, by: slot)
            return .nothing
        case .stranded(let owner):
            precondition(self == .waiting, "the flow has a session")
            self = .stranded(owner)
            return .nothing
        case .resetByPeer(let reason):
            self = .waiting
            // It was silent for long, or the server was started anew.
            return isClient && (reason == .flowUnknown || reason == .idle) ? .reopen : .end(reason)
        case .carrierEnded(let reason):
            self = .waiting
            return isClient && reason == .sessionLost ? .wait : .end(reason ?? .aborted)
        case .sessionOver(let reason):
            self = .waiting
            return isClient ? .wait : .end(reason)
        case .closed:
            self = .waiting
            return .release
        }
    }
}
