import Primitives

/// The numbers that a session's packets get: each one more than the last, but for a few that are
/// left out at random.
///
/// A peer that acknowledges what it has not received, so as to be sent more than the path carries,
/// cannot know which those are, and gives itself away (RFC 9000 §21.4). A gap costs the receiver an
/// early ACK and a range in a few more, so they become rare as the session goes on.
struct PacketNumbers {
    /// The number of the next packet.
    private(set) var next: UInt64 = 0
    /// The number to leave out next.
    private var skipped: UInt64
    /// Numbers between two that are left out, on average.
    private var spread = leastSpread
    private let entropy: EntropySource

    static let leastSpread: UInt64 = 64
    static let mostSpread: UInt64 = 4096

    init(entropy: EntropySource) {
        self.entropy = entropy
        self.skipped = 0
        self.plan()
    }

    /// Moves on behind a packet that was given ``next``.
    mutating func advance() {
        self.next += 1
        assert(self.next <= self.skipped, "the number to leave out was used")
        guard self.next == self.skipped else { return }
        self.next += 1
        self.spread = min(self.spread * 2, Self.mostSpread)
        self.plan()
    }

    /// Any number may be the one: there is no stretch where lying is safe.
    private mutating func plan() {
        assert(self.spread >= Self.leastSpread && self.spread <= Self.mostSpread)
        self.skipped = self.next + 1 + self.entropy.next(UInt64.self) % (2 * self.spread)
        assert(self.skipped > self.next)
    }
}
