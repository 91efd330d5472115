/// A public key as people write it: 44 characters of base64 that hold 32 bytes.
public struct PublicKeyText: Hashable, Sendable, CustomStringConvertible {
    public static let byteCount = 32

    /// The 32 bytes.
    public let bytes: [UInt8]

    public var description: String { Base64.text(self.bytes) }

    /// `nil` unless `text` is exactly 44 characters of canonical base64.
    public init?(_ text: String) {
        guard text.utf8.count == 44, let bytes = Base64.bytes(text), bytes.count == Self.byteCount
        else { return nil }
        self.bytes = bytes
    }
}

/// RFC 4648 §4, strict: padding required, no spaces, unused bits zero.
enum Base64 {
    static func text(_ bytes: [UInt8]) -> String {
        var text = ""
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let chunk = bytes[start..<min(start + 3, bytes.count)]
            var bits = chunk.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            bits <<= UInt32(8 * (3 - chunk.count))
            for index in 0..<4 {
                let symbol = Self.alphabet[Int(bits >> UInt32(18 - 6 * index) & 63)]
                text.unicodeScalars.append(index <= chunk.count ? Unicode.Scalar(symbol) : "=")
            }
        }
        return text
    }

    static func bytes(_ text: String) -> [UInt8]? {
        let symbols = Array(text.utf8)
        guard symbols.count % 4 == 0 else { return nil }
        let padding = symbols.reversed().prefix { $0 == 61 }.count
        guard padding <= 2 else { return nil }
        var bytes: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for symbol in symbols.dropLast(padding) {
            guard let value = Self.alphabet.firstIndex(of: symbol) else { return nil }
            bits = bits << 6 | UInt32(value)
            count += 6
            guard count >= 8 else { continue }
            count -= 8
            bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            bits &= (1 << UInt32(count)) - 1
        }
        return bits == 0 ? bytes : nil
    }

    private static let alphabet = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8
    )
}
