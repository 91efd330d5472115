import Primitives

/// Asks for an acknowledgement, and says nothing else.
struct PingFrame: Frame, Equatable {
    var type: UInt8 { FrameType.ping }
    static let fieldByteCount = 0
}

extension PingFrame {
    init?(parsing reader: inout ByteReader) { self.init() }

    func encode(to writer: inout ByteWriter) {}
}

/// A token for an address to echo, or the echo.
struct PathFrame: Frame, Equatable {
    var operation: UInt8
    var token: UInt64

    var type: UInt8 { FrameType.path }
    static let fieldByteCount = 10

    static let challenge: UInt8 = 0
    static let response: UInt8 = 1
}

extension PathFrame {
    /// The byte for a path's id is for later versions.
    init?(parsing reader: inout ByteReader) {
        guard let operation: UInt8 = reader.read(), reader.read(UInt8.self) != nil,
            let token: UInt64 = reader.read()
        else { return nil }
        self.init(operation: operation, token: token)
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(self.operation)
        writer.write(UInt8(0))
        writer.write(self.token)
    }
}

/// The session is over.
struct CloseSessionFrame: Frame, Equatable {
    var reason: ResetReason

    var type: UInt8 { FrameType.closeSession }
    static let fieldByteCount = 1
}

extension CloseSessionFrame {
    /// Never `nil`: the session is over whatever the reason says.
    init?(parsing reader: inout ByteReader) {
        let reason: UInt8? = reader.read()
        self.init(reason: reason.flatMap { ResetReason(rawValue: $0) } ?? .shutdown)
    }

    func encode(to writer: inout ByteWriter) { writer.write(self.reason.rawValue) }
}

/// What the client may send.
struct RateFrame: Frame, Equatable {
    /// 0: as much as it likes.
    var bytesPerSecond: UInt64

    var type: UInt8 { FrameType.rate }
    static let fieldByteCount = 8
}

extension RateFrame {
    init?(parsing reader: inout ByteReader) {
        guard let rate: UInt64 = reader.read() else { return nil }
        self.init(bytesPerSecond: rate)
    }

    func encode(to writer: inout ByteWriter) { writer.write(self.bytesPerSecond) }
}

/// The server inflates what comes for a stream or flow, or takes back that it does.
struct MayDeflateFrame: Frame, Equatable {
    /// Its kind may also be ``withdrawal``.
    var channel: ChannelID

    var type: UInt8 { FrameType.mayDeflate }
    static let fieldByteCount = ChannelID.byteCount

    /// What stands where the kind of a channel does: nothing may be deflated any more.
    static let withdrawal: UInt8 = 2
}

extension MayDeflateFrame {
    init?(parsing reader: inout ByteReader) {
        guard let channel = ChannelID(parsing: &reader) else { return nil }
        self.init(channel: channel)
    }

    func encode(to writer: inout ByteWriter) { self.channel.encode(to: &writer) }
}

/// Whether a service has a backend for anybody new; its name follows.
struct ServiceFrame: Frame, Equatable {
    /// Another value than 0 or 1 is for later versions.
    var state: UInt8
    /// 0: TCP, 1: UDP.
    var kind: UInt8
    var nameByteCount: UInt8

    var type: UInt8 { FrameType.service }
    static let fieldByteCount = 3
}

extension ServiceFrame {
    init?(parsing reader: inout ByteReader) {
        guard let state: UInt8 = reader.read(), let kind: UInt8 = reader.read(),
            let length: UInt8 = reader.read(), length > 0,
            Int(length) <= OpenRequest.serviceByteCountLimit
        else { return nil }
        self.init(state: state, kind: kind, nameByteCount: length)
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(self.state)
        writer.write(self.kind)
        writer.write(self.nameByteCount)
    }

    /// Reads the name behind the fields; `nil` if it is none.
    func name(parsing reader: inout ByteReader) -> String? {
        guard let bytes = reader.read(count: Int(self.nameByteCount)),
            let name = String(validating: bytes, as: UTF8.self), PlainText.isPlain(name)
        else { return nil }
        return name
    }
}

/// A part of one end's message in the exchange that makes keys stronger; its bytes follow.
struct RatchetFrame: Frame, Equatable {
    /// The client's message, not the server's.
    var isOffer: Bool
    /// The server's receiver index of the handshake whose keys it makes stronger.
    var handshake: UInt32
    var part: UInt8

    var type: UInt8 { self.isOffer ? FrameType.ratchetOffer : FrameType.ratchetAnswer }
    static let fieldByteCount = 5
}

extension RatchetFrame {
    /// Whose message it is a part of, the type says: take ``isOffer`` from there.
    init?(parsing reader: inout ByteReader) {
        guard let handshake: UInt32 = reader.read(), let part: UInt8 = reader.read(),
            part < Ratchet.partCount
        else { return nil }
        self.init(isOffer: true, handshake: handshake, part: part)
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(self.handshake)
        writer.write(self.part)
    }
}
