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
