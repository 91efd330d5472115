import KCP
import Primitives

/// The frames inside a DATA record: `type (1) | length (2) | body`.
///
/// A receiver skips types it does not know.
enum FrameType {
    static let padding: UInt8 = 0
    static let ping: UInt8 = 1
    static let ack: UInt8 = 2
    static let open: UInt8 = 3
    static let stream: UInt8 = 4
    static let close: UInt8 = 5
    static let reset: UInt8 = 6
    static let window: UInt8 = 7
    static let datagram: UInt8 = 8
    static let fragment: UInt8 = 9
    static let mtuProbe: UInt8 = 10
    static let path: UInt8 = 11
    static let closeSession: UInt8 = 12
    static let streamPart: UInt8 = 13
    static let copies: UInt8 = 14
    static let repair: UInt8 = 15
    static let rate: UInt8 = 16
    static let mayDeflate: UInt8 = 18
    static let ratchetOffer: UInt8 = 19
    static let ratchetAnswer: UInt8 = 20

    /// Frames that say nothing new need no acknowledgement; copies are told of with the next one.
    static func isAckEliciting(_ type: UInt8) -> Bool {
        type != Self.padding && type != Self.ack && type != Self.closeSession
            && type != Self.copies
    }
}

/// Whether an id in OPEN and RESET names a stream or a flow.
enum ChannelKind {
    static let stream: UInt8 = 0
    static let flow: UInt8 = 1
}

enum FrameSize {
    static let header = 3
    // conversation (4), segment number (4), offset (4)
    static let streamHeader = header + 12
    // as above, then the segment's length (2) and the first chunk (1)
    static let streamPartHeader = streamHeader + 3
    static let close = header + 8
    static let reset = header + 6
    // conversation (4), limit (8)
    static let window = header + 12
    // flow (4), number (4)
    static let datagramHeader = header + 8
    // flow (4), number (4), index (1), count (1), offset (2), total (2)
    static let fragmentHeader = header + 14
    // kind (1), id (4)
    static let mayDeflate = header + 5
    // operation (1), path id (1), token (8)
    static let path = header + 10
    // bytes a second (8)
    static let rate = header + 8
    // handshake (4), part (1)
    static let ratchetHeader = header + 5
    /// Of a request without fields.
    static let open = header + 5 + OpenRequest.encodedByteCountLimit

    static func open(_ request: OpenRequest) -> Int { Self.open + OpenFields(request).byteCount }
}

extension ByteWriter {
    /// Starts a frame whose body is `count` bytes long.
    mutating func writeFrameHeader(_ type: UInt8, count: Int) {
        self.write(type)
        self.write(UInt16(count))  // bound: a packet
    }
}

/// What a sent packet carried that has to be repeated if it is lost.
struct FrameRecord: BitwiseCopyable {
    enum Kind: UInt8 {
        case segment, open, flowOpen, close, reset, window, mtuProbe, datagram, copy
        case refusal, rate, mayDeflate, ratchet
    }

    var packet: UInt64
    /// Where the stream or flow stood in its table; of a refusal, which of the two it was.
    var slot: UInt32
    /// Its id on the wire, which is never used twice and so tells a reused slot apart; of a part of
    /// a ratchet, the handshake.
    var id: UInt32
    /// The segment number, the packet size of a probe, the reason of a refusal, or the part.
    var value: UInt32
    var kind: Kind
    /// Which chunks of the segment, if it went out in parts.
    var part: SegmentPart = .whole
}

/// The frame records of all packets whose fate is open, oldest first.
struct FrameLog: ~Copyable {
    private var ring = IndexedRing<FrameRecord>(capacity: 64)
    private(set) var head: UInt64 = 0
    private(set) var tail: UInt64 = 0

    var memoryByteCount: Int { self.ring.capacity * MemoryLayout<FrameRecord>.stride }

    /// Whether the frames of one more packet fit the memory there is, or a little.
    func hasRoom(for count: Int) -> Bool {
        Int(self.tail - self.head) + count <= max(self.ring.capacity, 8192)
    }

    mutating func append(_ record: FrameRecord) {
        let live = self.head..<self.tail
        self.ring.grow(toHold: live.count + 1, keeping: live)
        self.ring[self.tail] = record
        self.tail += 1
    }

    subscript(index: UInt64) -> FrameRecord { self.ring[index] }

    /// Forgets the frames of packets below `packet`.
    mutating func trim(below packet: UInt64) {
        while self.head < self.tail, self.ring[self.head].packet < packet { self.head += 1 }
    }
}
