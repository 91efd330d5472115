/// The Castagnoli CRC of RFC 4960 appendix B, reflected, four bits at a time.
///
/// A header has some 60 bytes and the checksum is optional, so a table of 64 bytes that stays in
/// the cache does better than one of a kilobyte that has to be fetched.
struct CRC32C {
    private var state = UInt32.max

    var value: UInt32 { ~self.state }

    private static let table: [16 of UInt32] = [
        0x0000_0000, 0x105E_C76F, 0x20BD_8EDE, 0x30E3_49B1,
        0x417B_1DBC, 0x5125_DAD3, 0x61C6_9362, 0x7198_540D,
        0x82F6_3B78, 0x92A8_FC17, 0xA24B_B5A6, 0xB215_72C9,
        0xC38D_26C4, 0xD3D3_E1AB, 0xE330_A81A, 0xF36E_6F75,
    ]

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        for byte in bytes { self.update(byte) }
    }

    @inline(__always)
    private mutating func update(_ byte: UInt8) {
        var state = self.state ^ UInt32(byte)
        state = state >> 4 ^ Self.table[Int(state & 15)]
        self.state = state >> 4 ^ Self.table[Int(state & 15)]
    }

    /// Of `bytes` as if the four at `hole` were zero, which is how a header carries its own.
    static func of(_ bytes: UnsafeRawBufferPointer, zeroing hole: Int) -> UInt32 {
        var checksum = Self()
        checksum.update(UnsafeRawBufferPointer(rebasing: bytes[..<hole]))
        for _ in 0..<4 { checksum.update(0) }
        checksum.update(UnsafeRawBufferPointer(rebasing: bytes[(hole + 4)...]))
        return checksum.value
    }
}
