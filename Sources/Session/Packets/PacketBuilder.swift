import Primitives
import Recovery

/// One packet under construction: frames go into the plaintext area of the caller's buffer.
struct PacketBuilder {
    let base: UnsafeMutableRawPointer
    let number: UInt64
    let firstFrame: UInt64
    var writer: ByteWriter
    var flags: SentPacketFlags = []
    var largestAcked: UInt64 = 0
    /// Carries bytes of somebody's stream or datagram.
    var isTraffic = false

    /// - Parameter size: UDP payload of the packet at most.
    init(base: UnsafeMutableRawPointer, size: Int, number: UInt64, firstFrame: UInt64) {
        self.base = base
        self.number = number
        self.firstFrame = firstFrame
        self.writer = ByteWriter(
            base + RecordLayout.header,
            capacity: size - RecordLayout.header - RecordLayout.tag
        )
    }

    var room: Int { self.writer.room }

    /// UDP payload once it is encrypted.
    var sealedByteCount: Int { self.writer.count + RecordLayout.header + RecordLayout.tag }

    /// Where the body of a frame goes whose length is known only afterwards; see ``append(_:_:)``.
    var frameBody: ByteWriter {
        ByteWriter(
            self.writer.cursor + FrameSize.header,
            capacity: max(0, self.room - FrameSize.header)
        )
    }

    /// Adds the frame whose body was written to ``frameBody``.
    mutating func append(
        _ type: UInt8,
        _ body: ByteWriter,
        flags: SentPacketFlags = .data
    ) {
        self.flags.formUnion(flags)
        self.writer.writeFrameHeader(type, count: body.count)
        self.writer.count += body.count
    }

    /// Starts a frame that the peer acknowledges.
    mutating func begin(_ type: UInt8, count: Int) {
        self.flags.formUnion(.data)
        self.writer.writeFrameHeader(type, count: count)
    }
}

enum RecordLayout {
    static let header = 12
    static let tag = 16
}
