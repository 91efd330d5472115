import Primitives
import Recovery

/// The rates of a session: what is sent is held to one, and what arrives to the other.
///
/// A server grants its client a rate, tells it in a RATE frame, and sees to it with some tolerance.
struct RateLimits: ~Copyable {
    /// Holds what is sent to the rate that was set for this direction.
    private var shaper: RateShaper
    /// Server: holds what arrives to the rate that the client has been told.
    private var policer: RateShaper
    /// Server: bytes a second that the client may send, and whether it has to be told.
    private var granted: UInt64?
    private(set) var isDue = false
    /// Server: when to look again how many sessions share the peer's rates.
    var reviewAt = Instant.never

    init(at now: Instant) {
        self.shaper = .smooth(at: now)
        self.policer = .tolerant(at: now)
    }

    // MARK: - What this end sends

    /// Whether a packet with data may go now.
    mutating func isOpen(at now: Instant) -> Bool { self.shaper.isOpen(at: now) }

    /// When the next may; ``Instant/never`` while nothing holds them.
    var deadline: Instant { self.shaper.deadline }

    /// A packet of so many bytes left.
    mutating func spend(_ byteCount: Int, at now: Instant) {
        precondition(byteCount >= 0)
        self.shaper.spend(byteCount, at: now)
    }

    /// Sends no more than `rate` bytes a second from now on; `nil` is any rate.
    mutating func limit(to rate: UInt64?, at now: Instant) { self.shaper.setRate(rate, at: now) }

    // MARK: - What the peer sends

    /// Server: lets the client send `rate` bytes a second from now on.
    mutating func grant(_ rate: UInt64?, at now: Instant) {
        // A quarter above: the path may gather what left evenly, and ACKs are not worth a loss.
        let tolerated = rate.map { min($0, .max / 2) / 4 * 5 }
        guard tolerated != self.policer.rate else { return }
        self.policer.setRate(tolerated, at: now)
        self.granted = rate
        self.isDue = true
    }

    /// Server: lets a packet of the client pass, or not.
    mutating func admit(_ byteCount: Int, at now: Instant) -> Bool {
        guard self.policer.isOpen(at: now) else { return false }
        self.policer.spend(byteCount, at: now)
        return true
    }

    /// Tells the client, if it has to be told and there is room.
    mutating func write(into packet: inout PacketBuilder) {
        guard self.isDue, packet.room >= RateFrame.byteCount else { return }
        assert(self.granted != 0, "no rate at all would be any")
        packet.append(RateFrame(bytesPerSecond: self.granted ?? 0))
        packet.note(.rate, slot: 0, id: 0)
        self.isDue = false
    }

    /// A packet with the rate is lost.
    mutating func lost() { self.isDue = true }

    /// Client: what the server grants.
    mutating func receive(_ frame: RateFrame, at now: Instant) {
        self.limit(to: frame.bytesPerSecond == 0 ? nil : frame.bytesPerSecond, at: now)
    }
}
