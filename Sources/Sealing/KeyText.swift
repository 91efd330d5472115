/// What a key file holds.
public enum KeyKind: Hashable, Sendable, CaseIterable {
    /// A private key, or a secret that two ends share.
    case secret, preshared

    /// What the one line begins with.
    public var label: String {
        switch self {
        case .secret: "FAIRLEAD-SECRET-KEY:"
        case .preshared: "FAIRLEAD-PRESHARED-KEY:"
        }
    }

    /// What messages to people call such a key.
    public var name: String {
        switch self {
        case .secret: "private key"
        case .preshared: "preshared key"
        }
    }
}

/// Why a text is not a key file.
///
/// Says nothing about the key's own characters: messages end up in logs.
public enum KeyFileError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Nothing but blank lines and comments.
    case noKey(KeyKind)
    /// A line that is neither blank nor a comment nor a key of this kind.
    case malformed(KeyKind, line: Int)
    /// A second key, on this line.
    case severalKeys(KeyKind, line: Int)
    /// A preshared key that means the same as none.
    case zeros(line: Int)

    public var description: String {
        switch self {
        case .noKey(let kind): "no \(kind.name) in it, expected a line \(Self.form(kind))"
        case .malformed(let kind, let line):
            "line \(line) is not a \(kind.name), expected \(Self.form(kind))"
        case .severalKeys(let kind, let line):
            "line \(line) is a second \(kind.name), expected one"
        case .zeros(let line): "line \(line) is a key of zeros, expected one that is secret"
        }
    }

    private static func form(_ kind: KeyKind) -> String {
        "\(kind.label)<44 base64 characters>"
    }
}

/// The text of a key file: blank lines, comment lines starting with `#`, and one key, labelled or
/// bare as WireGuard writes it.
enum KeyText {
    /// The 32 bytes of the one key, and the line it stands on.
    static func read(
        _ text: String,
        _ kind: KeyKind
    ) throws(KeyFileError) -> (key: GuardedMemory, line: Int) {
        var found: (key: GuardedMemory, line: Int)?
        let lines = text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (index, untrimmed) in lines.enumerated() {
            var line = Self.trimmed(untrimmed)
            if line.isEmpty || line.first == UInt8(ascii: "#") { continue }
            guard found == nil else { throw .severalKeys(kind, line: index + 1) }
            if line.starts(with: kind.label.utf8) {
                line = Self.trimmed(line.dropFirst(kind.label.utf8.count))
            }
            let key = GuardedMemory(byteCount: 32)
            let target = UnsafeMutableRawBufferPointer(start: key.base, count: 32)
            guard Base64Key.decode(line, into: target) else {
                throw .malformed(kind, line: index + 1)
            }
            found = (key, index + 1)
        }
        guard let found else { throw .noKey(kind) }
        return found
    }

    private static func trimmed(_ line: Substring.UTF8View) -> Substring.UTF8View {
        let isBlank = { (byte: UInt8) in byte == 32 || byte == 9 || byte == 13 }
        var line = line.drop(while: isBlank)
        while let last = line.last, isBlank(last) { line = line.dropLast() }
        return line
    }
}
