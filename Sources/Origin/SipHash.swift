public import Primitives

/// A secret that decides how addresses are hashed, so that nobody outside can aim at collisions.
public struct HashKey: Hashable, Sendable {
    /// The first half of SipHash's 128-bit key.
    public var first: UInt64
    /// The second half.
    public var second: UInt64

    /// A key out of its halves; a fixed one is for tests only.
    public init(first: UInt64, second: UInt64) {
        self.first = first
        self.second = second
    }

    /// A new key, 16 bytes out of `entropy`.
    public init(_ entropy: EntropySource) {
        self.init(first: entropy.next(), second: entropy.next())
    }
}

/// SipHash-2-4 (Aumasson and Bernstein, 2012) over whole 64-bit words.
struct SipHash {
    private var v0: UInt64
    private var v1: UInt64
    private var v2: UInt64
    private var v3: UInt64
    private var byteCount: UInt64 = 0

    init(_ key: HashKey) {
        self.v0 = key.first ^ 0x736F_6D65_7073_6575
        self.v1 = key.second ^ 0x646F_7261_6E64_6F6D
        self.v2 = key.first ^ 0x6C79_6765_6E65_7261
        self.v3 = key.second ^ 0x7465_6462_7974_6573
    }

    mutating func update(_ word: UInt64) {
        self.byteCount += 8
        self.absorb(word)
    }

    consuming func finish() -> UInt64 {
        self.absorb(self.byteCount << 56)
        self.v2 ^= 0xFF
        for _ in 0..<4 { self.round() }
        return self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    private mutating func absorb(_ word: UInt64) {
        self.v3 ^= word
        self.round()
        self.round()
        self.v0 ^= word
    }

    private mutating func round() {
        self.v0 &+= self.v1
        self.v2 &+= self.v3
        self.v1 = Self.rotate(self.v1, 13) ^ self.v0
        self.v3 = Self.rotate(self.v3, 16) ^ self.v2
        self.v0 = Self.rotate(self.v0, 32)
        self.v2 &+= self.v1
        self.v0 &+= self.v3
        self.v1 = Self.rotate(self.v1, 17) ^ self.v2
        self.v3 = Self.rotate(self.v3, 21) ^ self.v0
        self.v2 = Self.rotate(self.v2, 32)
    }

    private static func rotate(_ word: UInt64, _ count: UInt64) -> UInt64 {
        word &<< count | word &>> (64 - count)
    }

    static func hash(_ address: SocketAddress, _ key: HashKey) -> UInt64 {
        var hash = Self(key)
        hash.update(address.high)
        hash.update(address.low)
        hash.update(UInt64(address.scope) << 16 | UInt64(address.port))
        return hash.finish()
    }
}
