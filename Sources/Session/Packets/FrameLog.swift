import KCP
import Primitives

/// What a sent packet carried that has to be repeated if it is lost.
struct FrameRecord: BitwiseCopyable {
    enum Kind: UInt8 {
        case segment, open, flowOpen, close, reset, window, mtuProbe, datagram, copy
        case refusal, rate, mayDeflate, service, ratchet

        /// Who is told of its fate.
        enum Owner { case streams, flows, control, services, rates, keys, leg }

        var owner: Owner {
            switch self {
            case .segment, .open, .close, .reset, .window: .streams
            case .flowOpen, .datagram, .copy: .flows
            case .refusal, .mayDeflate: .control
            case .service: .services
            case .rate: .rates
            case .ratchet: .keys
            case .mtuProbe: .leg
            }
        }
    }

    var packet: UInt64
    /// Where the stream or flow stood in its table; of a refusal, which of the two it was.
    var slot: UInt32
    /// Its id on the wire, which is never used twice and so tells a reused slot apart; of a part of
    /// a ratchet, the handshake.
    var id: UInt32
    /// The segment number, the packet size of a probe, the reason of a refusal, the place of a
    /// word about a service, or the part.
    var value: UInt32
    var kind: Kind
    /// Which chunks of the segment, if it went out in parts.
    var part: SegmentPart = .whole
}

/// The frame records of all packets whose fate is open, oldest first.
final class FrameLog {
    private var ring = IndexedRing<FrameRecord>(capacity: 64)
    private(set) var head: UInt64 = 0
    private(set) var tail: UInt64 = 0

    var memoryByteCount: Int { self.ring.capacity * MemoryLayout<FrameRecord>.stride }

    /// Whether the frames of one more packet fit the memory there is, or a little.
    func hasRoom(for count: Int) -> Bool {
        Int(self.tail - self.head) + count <= max(self.ring.capacity, 8192)
    }

    func append(_ record: FrameRecord) {
        let live = self.head..<self.tail
        self.ring.grow(toHold: live.count + 1, keeping: live)
        assert(
            self.head == self.tail || self.ring[self.tail - 1].packet <= record.packet,
            "packets out of order"
        )
        self.ring[self.tail] = record
        self.tail += 1
        assert(self.tail - self.head <= UInt64(self.ring.capacity))
    }

    subscript(index: UInt64) -> FrameRecord {
        assert(index >= self.head && index < self.tail, "a record that is not here")
        return self.ring[index]
    }

    /// Forgets the frames of packets below `packet`.
    func trim(below packet: UInt64) {
        while self.head < self.tail, self.ring[self.head].packet < packet { self.head += 1 }
    }
}
