import KCP
import Primitives
import Recovery

/// What the peer makes this end hold, and what it may.
extension PeerSession {
    /// By how much memory may grow now for what the peer does.
    ///
    /// A peer has a limit of its own, and never holds more than is still free for all others: so a
    /// crowd of hostile ones leaves room for each that comes after them, and the sum is bounded.
    var allowance: MemoryAllowance {
        let limits = self.board.limits
        let free = limits.totalHeldByteLimit - self.board.heldByteCount
        let own = self.memory.byteCount
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
        self.heldByteCount += count
        self.memory.byteCount += count
        self.board.heldByteCount += count
    }

    /// Charges what the memory of a stream has grown by, or gives back what it has let go.
    func settleMemory(of stream: StreamPointer) {
        let now = stream.pointee.memoryByteCount
        self.hold(now - stream.pointee.chargedByteCount)
        stream.pointee.chargedByteCount = now
    }

    /// The same of a flow.
    func settleMemory(of flow: FlowPointer) {
        let now = flow.pointee.memoryByteCount
        self.hold(now - flow.pointee.chargedByteCount)
        flow.pointee.chargedByteCount = now
    }

    /// Whether a flow's queue may grow for a datagram of `count` bytes.
    func mayQueue(_ count: Int, on flow: FlowPointer) -> Bool {
        let growth = flow.pointee.queue.growth(for: count)
        return self.allowance.permits(
            flow.pointee.queue.memoryByteCount + growth,
            growth: growth
        )
    }

    /// Charges what the logs of what was sent have grown by, and says whether they may grow more.
    func settleLogs() {
        let now = self.recovery.memoryByteCount + self.log.memoryByteCount
        self.hold(now - self.chargedLogByteCount)
        self.chargedLogByteCount = now
        self.recovery.mayHoldMore = self.mayHold(self.recovery.memoryByteCount)
    }

    /// Whether the logs have room for another packet with data.
    ///
    /// Without, that waits for ACKs, as it does for the congestion window.
    var hasLogRoom: Bool {
        let most = self.packetSize / StreamFrame.byteCount
        return self.log.hasRoom(for: most) && self.recovery.hasLogRoom
            || self.mayHold(self.recovery.memoryByteCount + self.log.memoryByteCount)
    }

    /// Lets go of memory that streams had and do not need now, a few streams at a time; true if
    /// there was some.
    ///
    /// Asked where memory is short: whoever was busy once and is idle now does not keep others
    /// small. Each call looks at the next streams, so that its cost does not depend on how many
    /// there are.
    func relieve() -> Bool {
        let before = self.heldByteCount
        let count = self.board.streams.slots.upperBound
        for _ in 0..<min(Self.reliefSample, count) {
            let hand = self.board.reliefHand + 1 < count ? self.board.reliefHand + 1 : 0
            self.board.reliefHand = hand
            guard let stream = self.board.streams.live(hand),
                self.owns(stream)
            else { continue }
            stream.pointee.receiver.releaseIdle()
            stream.pointee.sender.releaseIdle()
            self.settleMemory(of: stream)
        }
        return self.heldByteCount < before
    }

    /// The session is over, and with it what was charged to it and to nothing in it.
    func releaseMemory() {
        self.hold(-self.chargedLogByteCount - self.chargedPlaceByteCount)
        self.chargedLogByteCount = 0
        self.chargedPlaceByteCount = 0
    }

    /// By how much the session's memory, counted anew, differs from what it was charged for.
    ///
    /// For tests and simulations: it looks at every stream and flow.
    var unaccountedByteCount: Int {
        var count = self.reassembly.memoryByteCount + self.recovery.memoryByteCount
        count += self.log.memoryByteCount + self.decoderCount * Self.decoderByteCount
        count += self.ratchet?.memoryByteCount ?? 0
        for slot in self.board.streams.slots {
            guard let stream = self.board.streams.live(slot),
                self.owns(stream)
            else { continue }
            count += stream.pointee.memoryByteCount
        }
        for slot in self.board.flows.slots {
            guard let flow = self.board.flows.live(slot), flow.pointee.channel == nil,
                self.owns(flow)
            else { continue }
            count += flow.pointee.memoryByteCount
        }
        return count - self.heldByteCount
    }

    private static let reliefSample: UInt32 = 32
}
