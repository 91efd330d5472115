/// A raw deflate stream (RFC 1951) of nothing but zeros, about a thousandth as long as these.
enum DeflateBomb {
    /// Deflates `count` zeros with the fixed Huffman codes: a datagram's stream ends with them, a
    /// stream's is flushed.
    static func bytes(of count: Int, isFinal: Bool) -> [UInt8] {
        var bits = Bits()
        bits.append(isFinal ? 1 : 0, count: 1)
        // Fixed codes.
        bits.append(1, count: 2)
        // Literal 0.
        bits.append(code: 0b0011_0000, count: 8)
        for _ in 0..<(count / 258) {
            // Length 258 has symbol 285, distance 1 has symbol 0.
            bits.append(code: 0b1100_0101, count: 8)
            bits.append(code: 0, count: 5)
        }
        // End of block.
        bits.append(code: 0, count: 7)
        guard !isFinal else { return bits.bytes }
        // An empty stored block.
        bits.append(0, count: 3)
        bits.align()
        return bits.bytes + [0, 0, 0xFF, 0xFF]
    }

    private struct Bits {
        var bytes: [UInt8] = []
        private var used = 8

        init() {}

        mutating func append(_ value: UInt32, count: Int) {
            for place in 0..<count {
                if self.used == 8 {
                    self.bytes.append(0)
                    self.used = 0
                }
                self.bytes[self.bytes.count - 1] |= UInt8(value >> UInt32(place) & 1) << self.used
                self.used += 1
            }
        }

        /// Huffman codes stand with their highest bit first.
        mutating func append(code: UInt32, count: Int) {
            for place in (0..<count).reversed() { self.append(code >> UInt32(place), count: 1) }
        }

        mutating func align() { self.used = 8 }
    }
}
