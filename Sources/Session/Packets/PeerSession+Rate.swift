import Primitives
import Recovery

/// The rate that a server grants its client: told in a RATE frame, kept to by the client, and seen
/// to by the server with some tolerance.
extension PeerSession {
    /// Server: lets the client send `rate` bytes a second from now on.
    func grantRate(_ rate: UInt64?, at now: Instant) {
        // A quarter above: the path may gather what left evenly, and ACKs are not worth a loss.
        let tolerated = rate.map { min($0, .max / 2) / 4 * 5 }
        guard tolerated != self.policer.rate else { return }
        self.policer.setRate(tolerated, at: now)
        self.grantedRate = rate
        self.isRateDue = true
    }

    func writeRate(to packet: inout PacketBuilder) {
        packet.append(RateFrame(bytesPerSecond: self.grantedRate ?? 0))
        packet.note(.rate, slot: 0, id: 0)
        self.isRateDue = false
    }

    /// Client: what the server grants; 0 is any rate.
    func receiveRate(_ rate: UInt64, at now: Instant) {
        guard self.isClient else { return self.board.drop(.protocolViolation) }
        self.shaper.setRate(rate == 0 ? nil : rate, at: now)
    }

    /// Server: whether a packet of the client may pass.
    func isWithinRate(_ byteCount: Int, at now: Instant) -> Bool {
        guard self.policer.isOpen(at: now) else { return false }
        self.policer.spend(byteCount, at: now)
        return true
    }

    /// Counts a packet that authenticated and was taken.
    func countReceived(_ byteCount: Int) {
        self.board.counters.packetsReceived &+= 1
        self.board.counters.wireBytesReceived &+= UInt64(byteCount)
        self.wireBytesReceived &+= UInt64(byteCount)
    }
}
