/// A fingerprint of a history: FNV-1a over everything that was delivered, and when.
public struct Digest: Hashable, Sendable {
    /// The 64 bits so far; FNV's offset basis for an empty history.
    public private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

    /// The digest of an empty history.
    public init() {}

    mutating func add(_ number: UInt64) {
        for shift in stride(from: 0, to: 64, by: 8) {
            self.add(byte: UInt8(truncatingIfNeeded: number >> UInt64(shift)))
        }
    }

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        self.add(UInt64(bytes.count))
        for byte in bytes { self.add(byte: byte) }
    }

    private mutating func add(byte: UInt8) {
        self.value = (self.value ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
    }
}
