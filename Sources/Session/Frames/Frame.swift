import Primitives

/// One kind of frame inside a DATA record: `type (1) | length (2) | fields | rest`.
///
/// The layouts are those of docs/PROTOCOL.md, "Frames". What follows the fields is the caller's:
/// the bytes of a segment, a datagram, a repair. A receiver skips types it does not know.
protocol Frame {
    /// See ``FrameType``.
    var type: UInt8 { get }
    /// Bytes of the fields.
    static var fieldByteCount: Int { get }

    /// Reads the fields, and nothing of what follows them; `nil` if the body is too short for them
    /// or they say what cannot be.
    init?(parsing reader: inout ByteReader)

    /// Writes the fields: ``fieldByteCount`` bytes.
    func encode(to writer: inout ByteWriter)
}

extension Frame {
    /// Bytes of a frame whose fields nothing follows.
    static var byteCount: Int { FrameHeader.byteCount + Self.fieldByteCount }
}

enum FrameHeader {
    /// Type and length.
    static let byteCount = 3
}

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
    static let service: UInt8 = 21

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

/// The id of a stream or flow, with the kind of which it is; other kinds are for later versions.
struct ChannelID: Equatable {
    var kind: UInt8
    var id: UInt32

    static let byteCount = 5

    init(_ kind: UInt8, _ id: UInt32) {
        self.kind = kind
        self.id = id
    }

    init?(parsing reader: inout ByteReader) {
        guard let kind: UInt8 = reader.read(), let id: UInt32 = reader.read() else { return nil }
        self.init(kind, id)
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(self.kind)
        writer.write(self.id)
    }
}

extension ByteWriter {
    /// Starts a frame whose body is `count` bytes long.
    mutating func writeFrameHeader(_ type: UInt8, count: Int) {
        self.write(type)
        self.write(UInt16(count))  // bound: a packet
    }
}
