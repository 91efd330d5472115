import KCP
import Primitives
import Recovery

/// One packet under construction: frames go into the plaintext area of the caller's buffer.
struct PacketBuilder {
    let base: UnsafeMutableRawPointer
    let number: UInt64
    let firstFrame: UInt64
    /// Where what it carries is noted; the session's, which outlives it.
    unowned(unsafe) let log: FrameLog
    var writer: ByteWriter
    var flags: SentPacketFlags = []
    var largestAcked: UInt64 = 0
    /// Carries bytes of somebody's stream or datagram.
    var isTraffic = false

    /// - Parameter size: UDP payload of the packet at most.
    init(base: UnsafeMutableRawPointer, size: Int, number: UInt64, log: FrameLog) {
        precondition(size > RecordLayout.header + RecordLayout.tag, "no packet is that small")
        self.base = base
        self.number = number
        self.firstFrame = log.tail
        self.log = log
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
            self.writer.cursor + FrameHeader.byteCount,
            capacity: max(0, self.room - FrameHeader.byteCount)
        )
    }

    /// Adds the frame whose body was written to ``frameBody``.
    mutating func append(
        _ type: UInt8,
        _ body: ByteWriter,
        flags: SentPacketFlags = .data
    ) {
        precondition(self.room >= FrameHeader.byteCount + body.count, "a frame beyond its packet")
        self.flags.formUnion(flags)
        self.writer.writeFrameHeader(type, count: body.count)
        self.writer.count += body.count
    }

    /// Adds a frame that the peer acknowledges, up to where the `rest` bytes behind its fields go.
    ///
    /// Those are the caller's to write.
    mutating func append<Kind: Frame>(_ frame: Kind, rest count: Int = 0) {
        precondition(self.room >= Kind.byteCount + count, "a frame beyond its packet")
        let before = self.writer.count
        self.flags.formUnion(.data)
        self.writer.writeFrameHeader(frame.type, count: Kind.fieldByteCount + count)
        frame.encode(to: &self.writer)
        assert(self.writer.count - before == Kind.byteCount, "not as long as it says")
    }

    /// Notes what has to be repeated, or settled otherwise, when the fate of this packet is known.
    func note(
        _ kind: FrameRecord.Kind,
        slot: UInt32,
        id: UInt32,
        value: UInt32 = 0,
        part: SegmentPart = .whole
    ) {
        self.log.append(
            FrameRecord(
                packet: self.number,
                slot: slot,
                id: id,
                value: value,
                kind: kind,
                part: part
            )
        )
    }
}

enum RecordLayout {
    static let header = 12
    static let tag = 16
}
