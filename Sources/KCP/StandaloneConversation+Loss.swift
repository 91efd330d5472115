extension StandaloneConversation {
    /// The lists of segments in flight that hold something, as numbers of timeouts.
    private var occupiedLists: UInt64 {
        self.sending.occupied & (1 << UInt64(StandaloneSendBuffer.lostList) - 1)
    }

    /// When the first segment in flight times out, in ms.
    var earliestTimeout: UInt64? {
        var earliest: UInt64?
        var lists = self.occupiedLists
        while lists != 0 {
            let list = UInt8(clamping: lists.trailingZeroBitCount)
            lists &= lists - 1
            guard let front = self.sending.front(of: list) else { continue }
            let due = self.sending[front].sentAt + self.timing.timeout(after: Int(list))
            earliest = min(earliest ?? .max, due)
        }
        return earliest
    }

    /// Gives up on the segments whose timeout has passed.
    func expire(at time: UInt64) {
        var lists = self.occupiedLists
        while lists != 0 {
            let list = UInt8(clamping: lists.trailingZeroBitCount)
            lists &= lists - 1
            let timeout = self.timing.timeout(after: Int(list))
            while let front = self.sending.front(of: list),
                self.sending[front].sentAt + timeout <= time
            {
                self.statistics.timeouts += 1
                self.congestion.timedOut(self.sending.serial(at: front), next: self.sending.next)
                let timeouts = Int(self.sending[front].timeouts) + 1
                self.sending[front].timeouts = UInt8(
                    clamping:
                        min(timeouts, StandaloneSendBuffer.mostTimeouts)
                )
                self.sending.unlink(front)
                self.sending.link(front, to: StandaloneSendBuffer.lostList)
            }
        }
    }

    /// Gives up on the segments that were overtaken often enough.
    func detectOvertaken() {
        let boundary = self.evidence.boundary
        guard boundary > 0 else { return }
        var lists = self.occupiedLists
        while lists != 0 {
            let list = UInt8(clamping: lists.trailingZeroBitCount)
            lists &= lists - 1
            while let front = self.sending.front(of: list),
                self.sending[front].transmission < boundary
            {
                self.statistics.fastResends += 1
                self.congestion.lost(
                    self.sending.serial(at: front),
                    inFlight: self.sending.inFlight,
                    next: self.sending.next
                )
                self.sending.unlink(front)
                self.sending.link(front, to: StandaloneSendBuffer.lostList)
            }
        }
    }

    /// Follows the end of the peer's window, and lets go what had to wait for it.
    ///
    /// A segment beyond it would only be dropped: this happens when everybody assumes 128 segments
    /// at first (`IKCP_WND_RCV`) and the peer has fewer.
    func moveWindowEnd() {
        let una = self.sending.unacknowledged
        let end = una &+ UInt32(clamping: self.remoteWindow)
        let before = max(0, Int32(bitPattern: self.windowEnd &- una))
        let after = min(self.remoteWindow, self.sending.inFlight)
        if after > before {
            self.sending.unpark(UInt32(clamping: before)..<UInt32(clamping: after), from: una)
        }
        self.windowEnd = end
    }

    /// Whether data waits behind a window that the peer has closed.
    var needsProbe: Bool {
        self.remoteWindow == 0
            && (self.sending.unsent > 0
                || self.sending.front(of: StandaloneSendBuffer.parkedList) != nil)
    }

    /// Asks a peer with a closed window, first after 500 ms as kcp-go, then ever more rarely.
    func probe(at time: UInt64) {
        guard self.needsProbe else {
            self.probeAt = nil
            self.probePause = 0
            return
        }
        guard let due = self.probeAt else {
            self.probePause = 500
            self.probeAt = time + self.probePause
            return
        }
        guard time >= due else { return }
        self.asksWindow = true
        self.probePause = min(self.probePause + self.probePause / 2, 120_000)
        self.probeAt = time + self.probePause
    }
}
