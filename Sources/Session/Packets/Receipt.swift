/// What became of a frame, where that concerns more than who took it.
enum Receipt {
    case taken
    /// It names what is not here, and the peer is to be told why.
    case unknown(ChannelID, ResetReason)
    /// There was no memory for it: the peer has to send its packet again.
    case noMemory
    /// The peer forgot the flow, this end did not: it is opened anew.
    case reopen(FlowPointer)
}
