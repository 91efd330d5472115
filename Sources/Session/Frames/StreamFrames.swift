import Primitives

/// A whole segment of a conversation; its bytes follow.
struct StreamFrame: Frame, Equatable {
    var conversation: UInt32
    /// The number of the segment.
    var number: UInt32
    /// Where its first byte stands in the stream, the lowest 32 bits.
    var offset: UInt32

    var type: UInt8 { FrameType.stream }
    static let fieldByteCount = 12
}

extension StreamFrame {
    init?(parsing reader: inout ByteReader) {
        guard let conversation: UInt32 = reader.read(), let number: UInt32 = reader.read(),
            let offset: UInt32 = reader.read()
        else { return nil }
        self.init(conversation: conversation, number: number, offset: offset)
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(self.conversation)
        writer.write(self.number)
        writer.write(self.offset)
    }
}

/// Some chunks of a segment that is sent again to a path that has become too small for it.
struct StreamPartFrame: Frame, Equatable {
    /// Of the whole segment.
    var segment: StreamFrame
    var segmentByteCount: UInt16
    var firstChunk: UInt8

    var type: UInt8 { FrameType.streamPart }
    static let fieldByteCount = StreamFrame.fieldByteCount + 3
}

extension StreamPartFrame {
    init?(parsing reader: inout ByteReader) {
        guard let segment = StreamFrame(parsing: &reader), let count: UInt16 = reader.read(),
            let firstChunk: UInt8 = reader.read()
        else { return nil }
        self.init(segment: segment, segmentByteCount: count, firstChunk: firstChunk)
    }

    func encode(to writer: inout ByteWriter) {
        self.segment.encode(to: &writer)
        writer.write(self.segmentByteCount)
        writer.write(self.firstChunk)
    }
}

/// The sender's direction of a conversation ends behind so many segments.
struct CloseFrame: Frame, Equatable {
    var conversation: UInt32
    var segmentCount: UInt32

    var type: UInt8 { FrameType.close }
    static let fieldByteCount = 8
}

extension CloseFrame {
    init?(parsing reader: inout ByteReader) {
        guard let conversation: UInt32 = reader.read(), let count: UInt32 = reader.read() else {
            return nil
        }
        self.init(conversation: conversation, segmentCount: count)
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(self.conversation)
        writer.write(self.segmentCount)
    }
}

/// A stream or flow is over before its time, or an id means nothing.
struct ResetFrame: Frame, Equatable {
    var channel: ChannelID
    var reason: ResetReason

    var type: UInt8 { FrameType.reset }
    static let fieldByteCount = ChannelID.byteCount + 1
}

extension ResetFrame {
    /// A reason of a later version is `aborted` here.
    init?(parsing reader: inout ByteReader) {
        guard let channel = ChannelID(parsing: &reader), let reason: UInt8 = reader.read() else {
            return nil
        }
        self.init(channel: channel, reason: ResetReason(rawValue: reason) ?? .aborted)
    }

    func encode(to writer: inout ByteWriter) {
        self.channel.encode(to: &writer)
        writer.write(self.reason.rawValue)
    }
}

/// How far the peer may send in a conversation.
struct WindowFrame: Frame, Equatable {
    var conversation: UInt32
    /// Bytes from the start of the stream.
    var limit: UInt64

    var type: UInt8 { FrameType.window }
    static let fieldByteCount = 12
}

extension WindowFrame {
    init?(parsing reader: inout ByteReader) {
        guard let conversation: UInt32 = reader.read(), let limit: UInt64 = reader.read() else {
            return nil
        }
        self.init(conversation: conversation, limit: limit)
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(self.conversation)
        writer.write(self.limit)
    }
}
