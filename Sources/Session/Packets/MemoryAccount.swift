import KCP
import Primitives

/// Bytes of memory that one peer makes an engine hold, in all its sessions together.
///
/// Everything that grows with what a peer sends, or leaves unacknowledged, is charged here:
/// streams in both directions, datagrams and what is kept of them, decoders, encoders, inflaters,
/// datagrams in parts, and the logs of what was sent.
final class MemoryAccount {
    fileprivate(set) var byteCount = 0
}

/// What one session makes this end hold, charged to its peer's account and to the engine's.
final class MemoryCharge {
    private unowned(unsafe) let board: Switchboard
    let account: MemoryAccount
    /// Of this session alone.
    private(set) var byteCount = 0

    init(_ account: MemoryAccount, _ board: Switchboard) {
        self.account = account
        self.board = board
    }

    /// By how much memory may grow now for what the peer does.
    ///
    /// A peer has a limit of its own, and never holds more than is still free for all others: so a
    /// crowd of hostile ones leaves room for each that comes after them, and the sum is bounded.
    var allowance: MemoryAllowance {
        let limits = self.board.limits
        let free = limits.totalHeldByteLimit - self.board.heldByteCount
        let own = self.account.byteCount
        return MemoryAllowance(
            small: min(limits.smallHeldByteLimit, free) - own,
            large: min(limits.heldByteLimit, free) - own
        )
    }

    /// Whether `count` bytes more may be held for something that can be done without.
    func mayHold(_ count: Int) -> Bool { self.allowance.large >= count }

    /// Whether there is memory for what a stream needs at once; for the rest it asks later.
    func mayOpen(_ request: OpenRequest) -> Bool {
        !request.isCompressed || self.allowance.small >= StreamCompression.leastByteCount
    }

    /// Charges `count` bytes to the peer and the engine, or gives them back if negative.
    func hold(_ count: Int) {
        guard count != 0 else { return }
        self.byteCount += count
        self.account.byteCount += count
        self.board.heldByteCount += count
        precondition(self.byteCount >= 0, "more is given back than was charged")
        assert(self.account.byteCount >= self.byteCount, "a session holds more than its peer")
        assert(self.board.heldByteCount >= self.account.byteCount, "a peer more than all")
    }

    /// Charges what something has grown by since it was charged with `charged`, or gives back what
    /// it has let go.
    @inline(__always)
    func settle(_ charged: inout Int, to byteCount: Int) {
        assert(byteCount >= 0 && charged >= 0)
        self.hold(byteCount - charged)
        charged = byteCount
    }

    /// Charges what the memory of a stream has grown by, or gives back what it has let go.
    func settle(_ stream: StreamPointer) {
        self.settle(&stream.pointee.chargedByteCount, to: stream.pointee.memoryByteCount)
    }

    /// The same of a flow.
    func settle(_ flow: FlowPointer) {
        self.settle(&flow.pointee.chargedByteCount, to: flow.pointee.memoryByteCount)
    }

    /// Whether a flow's queue may grow for a datagram of `count` bytes.
    func mayQueue(_ count: Int, on flow: FlowPointer) -> Bool {
        let growth = flow.pointee.queue.growth(for: count)
        return self.allowance.permits(
            flow.pointee.queue.memoryByteCount + growth,
            growth: growth
        )
    }
}
