/// The four kinds of packets.
public enum RecordType: UInt8, Sendable, CaseIterable {
    /// INIT, from a client.
    case initiation = 1
    /// RESP, from a server.
    case response = 2
    /// COOKIE, from a server that wants an address proven.
    case cookie = 3
    /// DATA, from either end.
    case data = 4
}

/// The twelve bytes in front of every packet, once the mask is off.
///
/// In handshake packets the counter's place holds the sender's index and the wire version.
@frozen
public struct RecordHeader: Hashable, Sendable {
    /// Bytes in front of every packet (PROTOCOL.md, section 1).
    public static let byteCount = 12
    /// Bytes of the AEAD's tag at the end of a DATA packet.
    public static let tagByteCount = 16
    /// What sealing adds to a plaintext.
    public static let overhead = 28
    /// The counter has 56 bits.
    public static let maximumCounter: UInt64 = 1 << 56 - 1

    /// The number by which the receiver of the packet finds session and keys; 0 for none.
    public var receiverIndex: UInt32
    /// 56 bits of packet number, which is also the nonce.
    public var counter: UInt64
    /// The last header byte: a ``RecordType``, or a later version's, below 16.
    public var type: UInt8

    /// A header out of its fields; a counter beyond 56 bits is not checked.
    public init(receiverIndex: UInt32, counter: UInt64, type: UInt8) {
        self.receiverIndex = receiverIndex
        self.counter = counter
        self.type = type
    }

    /// `nil` for packets too short to be any record, and for unknown bits in the type's high
    /// nibble, which belong to later versions.
    public init?(unmasked packet: UnsafeRawBufferPointer) {
        guard packet.count >= Self.overhead, let base = packet.baseAddress else { return nil }
        let index = base.loadUnaligned(as: UInt32.self)
        let rest = base.loadUnaligned(fromByteOffset: 4, as: UInt64.self)
        let word = UInt64(littleEndian: rest)
        let type = UInt8(truncatingIfNeeded: word >> 56)
        guard type < 16 else { return nil }
        self.receiverIndex = UInt32(littleEndian: index)
        self.counter = word & Self.maximumCounter
        self.type = type
    }

    /// The type, `nil` for one that this version does not know: drop the packet.
    public var recordType: RecordType? { RecordType(rawValue: self.type) }

    @inline(__always)
    func write(to target: UnsafeMutableRawPointer) {
        let word = self.counter | UInt64(self.type) << 56
        target.storeBytes(of: self.receiverIndex.littleEndian, as: UInt32.self)
        target.storeBytes(of: word.littleEndian, toByteOffset: 4, as: UInt64.self)
    }
}
