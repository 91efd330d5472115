/// What a poller's event is about, in 64 bits: generation, kind and slot.
///
/// The generation tells an event for something that ended earlier in the same batch from one for
/// what took its slot.
struct Token {
    enum Kind: UInt64 {
        case mailbox, tunnel, streamListener, flowListener, stream, flow, header
    }

    private static let slotBits: UInt64 = 28

    let rawValue: UInt64

    init(rawValue: UInt64) { self.rawValue = rawValue }

    init(_ kind: Kind, slot: Int, generation: UInt32 = 0) {
        let place = UInt64(slot) & ((1 << Self.slotBits) - 1)
        self.rawValue = UInt64(generation) << 32 | kind.rawValue << Self.slotBits | place
    }

    var kind: Kind? { Kind(rawValue: self.rawValue >> Self.slotBits & 0xF) }
    var slot: Int { Int(self.rawValue & ((1 << Self.slotBits) - 1)) }
    var generation: UInt32 { UInt32(truncatingIfNeeded: self.rawValue >> 32) }
}
