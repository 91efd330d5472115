/// JSON (RFC 8259) read into the same tree as TOML, in which everything knows its line.
///
/// Of a key that stands twice the last one counts, and `null` counts as nothing, as in Go.
/// Foundation's reader tells no lines, and no module here imports Foundation.
struct JSONDocument {
    /// Values may lie in so many others.
    private static let deepest = 64

    private let bytes: [UInt8]
    private var position = 0
    private var line = 1

    static func parse(_ text: String) throws(Complaint) -> Node {
        var document = JSONDocument(bytes: Array(text.utf8))
        guard let node = try document.value(depth: 0) else {
            throw document.complaint("null")
        }
        document.skipSpace()
        guard document.position == document.bytes.count else {
            throw document.complaint("something behind the value")
        }
        return node
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private func complaint(_ got: String) -> Complaint {
        Complaint(line: self.line, key: "syntax", got: got, expected: "JSON")
    }

    private var next: UInt8? {
        self.position < self.bytes.count ? self.bytes[self.position] : nil
    }

    private mutating func skipSpace() {
        while let byte = self.next, [0x20, 0x09, 0x0A, 0x0D].contains(byte) {
            if byte == 0x0A { self.line += 1 }
            self.position += 1
        }
    }

    /// Steps over `byte`, after any space, if it is next.
    private mutating func take(_ byte: UInt8) -> Bool {
        self.skipSpace()
        guard self.next == byte else { return false }
        self.position += 1
        return true
    }

    private mutating func take(word: String) -> Bool {
        guard self.bytes[self.position...].starts(with: word.utf8) else { return false }
        self.position += word.utf8.count
        return true
    }

    /// `nil` for `null`.
    private mutating func value(depth: Int) throws(Complaint) -> Node? {
        self.skipSpace()
        guard depth < Self.deepest else { throw self.complaint("a value in too many others") }
        let line = self.line
        let value: Node.Value
        switch self.next {
        case UInt8(ascii: "{"): value = .table(try self.members(depth: depth))
        case UInt8(ascii: "["): value = .list(try self.elements(depth: depth))
        case UInt8(ascii: "\""): value = .string(try self.string())
        case nil: throw self.complaint("the end of the file")
        default:
            if self.take(word: "null") { return nil }
            if self.take(word: "true") {
                value = .boolean(true)
            } else if self.take(word: "false") {
                value = .boolean(false)
            } else {
                value = try self.number()
            }
        }
        return Node(value: value, line: line)
    }

    private mutating func members(depth: Int) throws(Complaint) -> [Node.Entry] {
        var entries: [Node.Entry] = []
        self.position += 1
        if self.take(UInt8(ascii: "}")) { return entries }
        repeat {
            self.skipSpace()
            guard self.next == UInt8(ascii: "\"") else { throw self.complaint("no key in quotes") }
            let key = try self.string()
            guard self.take(UInt8(ascii: ":")) else { throw self.complaint("no : after a key") }
            entries.removeAll { $0.key == key }
            if let node = try self.value(depth: depth + 1) {
                entries.append(Node.Entry(key: key, node: node))
            }
        } while self.take(UInt8(ascii: ","))
        guard self.take(UInt8(ascii: "}")) else { throw self.complaint("no , or } after a value") }
        return entries
    }

    private mutating func elements(depth: Int) throws(Complaint) -> [Node] {
        var nodes: [Node] = []
        self.position += 1
        if self.take(UInt8(ascii: "]")) { return nodes }
        repeat {
            if let node = try self.value(depth: depth + 1) { nodes.append(node) }
        } while self.take(UInt8(ascii: ","))
        guard self.take(UInt8(ascii: "]")) else { throw self.complaint("no , or ] after a value") }
        return nodes
    }

    private mutating func number() throws(Complaint) -> Node.Value {
        let rest = self.bytes[self.position...]
        let digits = rest.prefix { (48...57).contains($0) || "+-.eE".utf8.contains($0) }
        let text = String(decoding: digits, as: UTF8.self)
        let isWhole = text.utf8.allSatisfy { (48...57).contains($0) || $0 == UInt8(ascii: "-") }
        self.position += digits.count
        if isWhole, let number = Int(text) { return .integer(number) }
        guard let number = Double(text), number.isFinite, text.first != "+" else {
            throw self.complaint("something that is no value")
        }
        return .double(number)
    }

    private mutating func string() throws(Complaint) -> String {
        var unit: [UInt8] = []
        self.position += 1
        while let byte = self.next {
            self.position += 1
            switch byte {
            case UInt8(ascii: "\""):
                // The text was UTF-8, and escapes add whole scalars.
                return String(decoding: unit, as: UTF8.self)
            case UInt8(ascii: "\\"): try self.escape(into: &unit)
            case 0..<0x20: throw self.complaint("a control character in a string")
            default: unit.append(byte)
            }
        }
        throw self.complaint("a string without its end")
    }

    private mutating func escape(into text: inout [UInt8]) throws(Complaint) {
        let simple: [UInt8: UInt8] = [
            0x22: 0x22, 0x5C: 0x5C, 0x2F: 0x2F, 0x62: 0x08, 0x66: 0x0C, 0x6E: 0x0A, 0x72: 0x0D,
            0x74: 0x09,
        ]
        guard let kind = self.next else { throw self.complaint("a string without its end") }
        self.position += 1
        if let byte = simple[kind] { return text.append(byte) }
        guard kind == UInt8(ascii: "u"), let first = self.codeUnit() else {
            throw self.complaint("an escape that JSON does not have")
        }
        var scalar = UInt32(first)
        if (0xD800..<0xDC00).contains(first), self.take(word: "\\u"), let second = self.codeUnit(),
            (0xDC00..<0xE000).contains(second)
        {
            scalar = 0x10000 + (UInt32(first) & 0x3FF) << 10 + UInt32(second) & 0x3FF
        }
        guard let valid = Unicode.Scalar(scalar) else {
            throw self.complaint("half of a character")
        }
        text.append(contentsOf: String(Character(valid)).utf8)
    }

    /// Four hexadecimal digits.
    private mutating func codeUnit() -> UInt16? {
        let digits = self.bytes[self.position...].prefix(4)
        guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit })
        else { return nil }
        self.position += 4
        return UInt16(String(decoding: digits, as: UTF8.self), radix: 16)
    }
}
