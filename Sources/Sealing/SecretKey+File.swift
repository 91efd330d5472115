/// Why a text is not a private key file.
///
/// Says nothing about the key's own characters: messages end up in logs.
public enum KeyFileError: Error, Hashable, Sendable, CustomStringConvertible {
    case noKey
    case malformed(line: Int)
    case severalKeys(line: Int)

    private static let expected = "\(SecretKey.fileLabel)<44 base64 characters>"

    public var description: String {
        switch self {
        case .noKey:
            "no private key in it, expected a line \(Self.expected)"
        case .malformed(let line):
            "line \(line) is not a private key, expected \(Self.expected)"
        case .severalKeys(let line):
            "line \(line) is a second private key, expected one"
        }
    }
}

extension SecretKey {
    static let fileLabel = "FAIRLEAD-SECRET-KEY:"

    /// Reads a key file: blank lines, comment lines starting with `#`, and one key, either labelled
    /// `FAIRLEAD-SECRET-KEY:` or a bare WireGuard key.
    public convenience init(keyFileText: String) throws(KeyFileError) {
        var memory: GuardedMemory?
        let lines = keyFileText.utf8.split(
            separator: UInt8(ascii: "\n"),
            omittingEmptySubsequences: false
        )
        for (index, untrimmed) in lines.enumerated() {
            var line = Self.trimmed(untrimmed)
            if line.isEmpty || line.first == UInt8(ascii: "#") { continue }
            guard memory == nil else { throw .severalKeys(line: index + 1) }
            if line.starts(with: Self.fileLabel.utf8) {
                line = Self.trimmed(line.dropFirst(Self.fileLabel.utf8.count))
            }
            let key = GuardedMemory(byteCount: Self.byteCount)
            let target = UnsafeMutableRawBufferPointer(start: key.base, count: Self.byteCount)
            guard Base64Key.decode(line, into: target) else { throw .malformed(line: index + 1) }
            memory = key
        }
        guard let memory else { throw .noKey }
        self.init(owning: memory)
    }

    /// The text of a new key file.
    ///
    /// `created` is a date for human eyes.
    ///
    /// The result is an ordinary string, which nobody wipes: for `keygen` only.
    public func keyFileText(created: String) -> String {
        let key = Base64Key.encode(UnsafeRawBufferPointer(start: self.base, count: Self.byteCount))
        return """
            # created: \(created)
            # public key: \(self.publicKey)
            \(Self.fileLabel)\(key)

            """
    }

    private static func trimmed(_ line: Substring.UTF8View) -> Substring.UTF8View {
        let isBlank = { (byte: UInt8) in byte == 32 || byte == 9 || byte == 13 }
        var line = line.drop(while: isBlank)
        while let last = line.last, isBlank(last) { line = line.dropLast() }
        return line
    }
}
