import CSodium

/// Where things stand in handshake packets.
///
/// All integers are little-endian.
///
/// ```
/// INITIATION  0 route index u32 | 4 sender index u32 | 8 wire version u8, 0, 0 | 11 type
///            12 e[32] | 44 static[32+16] | 92 hello[32]+padding[+16] | mac1[16] | mac2[16]
/// RESPONSE    0 receiver index u32 | 4 sender index u32 | 8 version u8, 0, 0 | 11 type
///            12 e[32] | 44 hello[32]+padding[+16] | mac1[16]
/// COOKIE      0 receiver index u32 | 4 0 u32 | 8 version u8, 0, 0 | 11 type
///            12 nonce[24] | 36 cookie[16+16]
/// ```
enum Layout {
    static let protocolName = "fairlead/1"
    static let wireVersion: UInt8 = 1

    static let receiverIndex = 0
    static let senderIndex = 4
    static let version = 8
    static let type = 11
    static let ephemeral = 12
    static let macByteCount = 16

    static let initiationByteCount = 172
    static let responseByteCount = 108
    static let cookieByteCount = 68
    /// Random zero padding inside the encrypted hello, only under a deployment secret: without one
    /// anybody who knows the format and the key can tell a handshake anyway.
    static let maximumPadding = 96

    static func writeHeader(
        _ type: RecordType,
        receiverIndex: UInt32,
        senderIndex: UInt32,
        to packet: UnsafeMutableRawPointer
    ) {
        packet.storeBytes(of: receiverIndex.littleEndian, as: UInt32.self)
        packet.storeBytes(of: senderIndex.littleEndian, toByteOffset: 4, as: UInt32.self)
        packet.storeBytes(
            of: UInt32(clamping: Self.wireVersion).littleEndian,
            toByteOffset: 8,
            as: UInt32.self
        )
        packet.storeBytes(of: type.rawValue, toByteOffset: Self.type, as: UInt8.self)
    }

    /// Version, zeros and type at once.
    static func isHeader(of type: RecordType, _ packet: UnsafeRawPointer) -> Bool {
        let word = UInt32(littleEndian: packet.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        return word == UInt32(clamping: Self.wireVersion) | UInt32(clamping: type.rawValue) << 24
    }

    /// What Noise hashes first: the protocol's name and the initiation's header, so that nobody can
    /// change an index on the way.
    static let prologueByteCount = 22

    static func writePrologue(
        for initiation: UnsafeRawPointer,
        to target: UnsafeMutableRawPointer
    ) {
        for (index, byte) in Self.protocolName.utf8.enumerated() {
            target.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
        }
        (target + 10).copyMemory(from: initiation, byteCount: RecordHeader.byteCount)
    }

    static func index(at offset: Int, of packet: UnsafeRawPointer) -> UInt32 {
        UInt32(littleEndian: packet.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    /// BLAKE2b-128 over the first `byteCount` bytes, written right behind them.
    static func writeMAC(
        after byteCount: Int,
        of packet: UnsafeMutableRawPointer,
        key: UnsafeRawPointer,
        keyByteCount: Int
    ) {
        crypto_generichash(
            (packet + byteCount).bytes,
            Self.macByteCount,
            packet.bytes,
            UInt64(byteCount),
            key.bytes,
            keyByteCount
        )
    }

    /// Compares in constant time what ``writeMAC(after:of:key:keyByteCount:)`` would write.
    static func isMACValid(
        after byteCount: Int,
        of packet: UnsafeRawPointer,
        key: UnsafeRawPointer,
        keyByteCount: Int
    ) -> Bool {
        var expected: (UInt64, UInt64) = (0, 0)
        return withUnsafeMutablePointer(to: &expected) { expected in
            crypto_generichash(
                UnsafeMutableRawPointer(expected).bytes,
                Self.macByteCount,
                packet.bytes,
                UInt64(byteCount),
                key.bytes,
                keyByteCount
            )
            return sodium_memcmp(expected, packet + byteCount, Self.macByteCount) == 0
        }
    }
}
