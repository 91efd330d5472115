/// The frames of one packet as PROTOCOL.md lays them out, written by hand: whoever attacks does not
/// use the engine's own writer, which writes nothing wrong.
struct FrameBytes {
    private(set) var bytes: [UInt8] = []

    mutating func append<Field: FixedWidthInteger>(_ field: Field) {
        withUnsafeBytes(of: field.littleEndian) { self.bytes.append(contentsOf: $0) }
    }

    mutating func append(_ more: some Collection<UInt8>) { self.bytes.append(contentsOf: more) }

    /// An integer of RFC 9000 §16 in its longest form.
    mutating func appendVariable(_ value: UInt64) {
        let limited = min(value, 1 << 62 - 1) | 3 << 62
        withUnsafeBytes(of: limited.bigEndian) { self.bytes.append(contentsOf: $0) }
    }

    /// A whole frame: type, length, body.
    mutating func append(frame type: UInt8, _ write: (inout Self) -> Void) {
        var body = Self()
        write(&body)
        self.append(type)
        self.append(UInt16(truncatingIfNeeded: body.bytes.count))
        self.append(body.bytes)
    }

    mutating func flip(bit: Int) { self.bytes[bit / 8] ^= 1 << UInt8(bit % 8) }
}

/// The types of frames, by PROTOCOL.md §6.
enum WireFrame {
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
    static let `repair`: UInt8 = 15
    static let rate: UInt8 = 16
    static let mayDeflate: UInt8 = 18
}
