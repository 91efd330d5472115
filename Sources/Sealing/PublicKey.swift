import CSodium

/// A Curve25519 public key: who somebody is.
///
/// Written as WireGuard writes it, 44 characters of standard base64.
public struct PublicKey: Hashable, Sendable, CustomStringConvertible {
    /// Bytes of a public key (RFC 7748 §5).
    public static let byteCount = 32

    private var words: (UInt64, UInt64, UInt64, UInt64)

    /// Takes exactly 32 bytes.
    public init(bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count == Self.byteCount)
        self.words = (
            bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self),
            bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
            bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self),
            bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
        )
    }

    /// Reads 44 characters of canonical base64 (RFC 4648 §4 and §3.5); `nil` for anything else.
    public init?(base64: String) {
        var bytes: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        let isKey = withUnsafeMutableBytes(of: &bytes) { target in
            Base64Key.decode(base64.utf8, into: target)
        }
        guard isKey else { return nil }
        self.words = bytes
    }

    /// Lends the 32 bytes, which are valid until `body` returns.
    public func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        var copy = self.words
        do {
            return try withUnsafeBytes(of: &copy) { try body($0) }
        } catch let error as Failure {
            throw error
        } catch {
            preconditionFailure("only the body throws")
        }
    }

    public var description: String { self.withBytes { Base64Key.encode($0) } }

    public static func == (a: Self, b: Self) -> Bool {
        a.words.0 == b.words.0 && a.words.1 == b.words.1 && a.words.2 == b.words.2
            && a.words.3 == b.words.3
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(self.words.0)
        hasher.combine(self.words.1)
        hasher.combine(self.words.2)
        hasher.combine(self.words.3)
    }
}

/// Base64 of exactly 32 bytes, without branches on the bytes themselves.
enum Base64Key {
    static let characterCount = 44

    static func decode(
        _ text: some Collection<UInt8>,
        into target: UnsafeMutableRawBufferPointer
    ) -> Bool {
        precondition(target.count == 32)
        guard text.count == Self.characterCount, let start = target.baseAddress else {
            return false
        }
        var decodedByteCount = 0
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: Self.characterCount) {
            characters in
            defer { sodium_memzero(characters.baseAddress, characters.count) }
            for (index, byte) in text.enumerated() { characters[index] = CChar(bitPattern: byte) }
            guard let source = characters.baseAddress else { return false }
            // Rejects a stray character, missing padding and leftover bits.
            let status = sodium_base642bin(
                start.bytes,
                target.count,
                source,
                characters.count,
                nil,
                &decodedByteCount,
                nil,
                sodium_base64_VARIANT_ORIGINAL
            )
            return status == 0 && decodedByteCount == 32
        }
    }

    static func encode(_ bytes: UnsafeRawBufferPointer) -> String {
        precondition(bytes.count == 32)
        return String(unsafeUninitializedCapacity: Self.characterCount + 1) { text in
            text.withMemoryRebound(to: CChar.self) { characters in
                guard let target = characters.baseAddress else { return }
                _ = sodium_bin2base64(
                    target,
                    Self.characterCount + 1,
                    bytes.baseAddress?.bytes,
                    bytes.count,
                    sodium_base64_VARIANT_ORIGINAL
                )
            }
            return Self.characterCount
        }
    }
}
