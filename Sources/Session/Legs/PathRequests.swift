import Primitives

/// A sign of life that is asked for, and the tokens that are to be echoed.
///
/// Nothing of it is repeated when it is lost: who wants to know asks again.
struct PathRequests {
    /// The next packet has to be answered.
    var isPingDue = false
    private var replies: [UInt64] = []

    private static let replyLimit = 4

    var isDue: Bool { self.isPingDue || !self.replies.isEmpty }

    /// The peer wants `token` echoed; more than a few at a time are not.
    mutating func challenged(_ token: UInt64) {
        guard self.replies.count < Self.replyLimit else { return }
        self.replies.append(token)
        assert(self.replies.count <= Self.replyLimit)
    }

    mutating func write(into packet: inout PacketBuilder) {
        if self.isPingDue, packet.room >= PingFrame.byteCount {
            packet.append(PingFrame())
            self.isPingDue = false
        }
        while let token = self.replies.last, packet.room >= PathFrame.byteCount {
            self.replies.removeLast()
            packet.append(PathFrame(operation: PathFrame.response, token: token))
        }
    }
}
