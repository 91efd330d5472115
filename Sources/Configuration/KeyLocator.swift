/// Where in a TOML text each key and each element of a list stands, as a line number.
///
/// The parser proper forgets lines once a document is well formed, so this walks the text beside it
/// and notes nothing but places. In a text the parser does not accept it may note nonsense, but it
/// always ends and never traps.
struct KeyLocator {
    /// One step of a path through a document.
    enum Step: Hashable, Sendable {
        case key(String)
        case index(Int)
    }

    /// Something the parser must never see, because it aborts the process or builds a tree too deep
    /// to walk.
    struct Flaw {
        let line: Int
        /// The byte at which the statement begins; everything before it is harmless.
        let offset: Int
        /// The key it is about, or `syntax`.
        var key = "syntax"
        let got: String
        var expected = "TOML 1.0"
    }

    /// The first of its kind.
    private(set) var flaw: Flaw?
    private var statement = 0
    private let bytes: [UInt8]
    private var position = 0
    private var line = 1
    private var lines: [[Step]: Int] = [:]
    /// How many elements each array of tables has so far.
    private var elementCounts: [[Step]: Int] = [:]
    /// Paths longer than this are refused, values deeper than this not followed.
    private static let deepest = 64

    init(_ text: String) {
        self.bytes = Array(text.utf8)
        self.walk()
    }

    /// The line of the key or element at `path`; `nil` if the text has no such thing.
    subscript(path: [Step]) -> Int? { self.lines[path] }

    private mutating func walk() {
        var table: [Step] = []
        while true {
            self.skipBlank(newlines: true)
            guard let byte = self.peek() else { return }
            self.statement = self.position
            if byte == UInt8(ascii: "[") {
                table = self.header()
            } else {
                self.keyAndValue(in: table, depth: 0)
            }
            self.skipLine()
        }
    }

    /// `[a.b]` or `[[a.b]]`: the path that following keys belong to.
    private mutating func header() -> [Step] {
        let start = self.line
        self.position += 1
        let isElement = self.peek() == UInt8(ascii: "[")
        if isElement { self.position += 1 }
        while self.peek() == UInt8(ascii: " ") || self.peek() == UInt8(ascii: "\t") {
            self.position += 1
        }
        // TOMLKit 0.6.0 asserts here what it should check: `[=` would end the process.
        if self.peek().map({ !Self.beginsKey($0) && $0 != UInt8(ascii: "]") }) == true {
            self.refuse("a table header without a name")
        }
        let keys = self.dottedKey()
        var path: [Step] = []
        for (index, key) in keys.enumerated() {
            path.append(.key(key))
            self.note(path, at: start)
            let isLast = index == keys.count - 1
            if isLast && isElement {
                let count = self.elementCounts[path, default: 0]
                self.elementCounts[path] = count + 1
                path.append(.index(count))
                self.note(path, at: start)
            } else if let count = self.elementCounts[path] {
                // A header below an array of tables means its latest element.
                path.append(.index(count - 1))
            }
        }
        return path
    }

    private mutating func keyAndValue(in table: [Step], depth: Int) {
        let start = self.line
        var path = table
        for key in self.dottedKey() {
            path.append(.key(key))
            self.note(path, at: start)
        }
        self.skipBlank(newlines: false)
        guard self.peek() == UInt8(ascii: "=") else { return }
        self.position += 1
        self.skipBlank(newlines: false)
        self.value(at: path, depth: depth)
    }

    private mutating func value(at path: [Step], depth: Int) {
        switch self.peek() {
        case UInt8(ascii: "\""), UInt8(ascii: "'"): _ = self.quoted()
        case UInt8(ascii: "[") where depth < Self.deepest: self.list(at: path, depth: depth)
        case UInt8(ascii: "{") where depth < Self.deepest: self.inlineTable(at: path, depth: depth)
        default: self.bareValue(at: path)
        }
    }

    /// A number or a boolean: everything else needs quotes, or brackets.
    ///
    /// TOMLKit 0.6.0 asserts on some dates and on `[}` too. No key takes a date, so that none of
    /// them needs to get there.
    private mutating func bareValue(at path: [Step]) {
        let start = self.position
        self.skipBareValue()
        let word = Self.trimmed(self.bytes[start..<self.position])
        guard !BareWord.isKnown(word), self.flaw == nil else { return }
        let key = path.reversed().lazy.compactMap { step in
            if case .key(let key) = step { key } else { nil }
        }
        let text = Complaint.oneLine(String(decoding: word.prefix(60), as: UTF8.self))
        self.flaw = Flaw(
            line: self.line,
            offset: self.statement,
            key: key.first ?? "syntax",
            got: word.isEmpty ? "nothing" : "\(text) without quotes",
            expected: "a string in quotes, a number, true, false, a list or a table"
        )
    }

    private static func trimmed(_ word: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var word = word
        while let last = word.last, last == 32 || last == 9 || last == 13 { word.removeLast() }
        return word
    }

    private mutating func list(at path: [Step], depth: Int) {
        self.position += 1
        var index = 0
        while true {
            self.skipBlank(newlines: true)
            guard let byte = self.peek() else { return }
            if byte == UInt8(ascii: "]") { break }
            let element = path + [.index(index)]
            self.note(element, at: self.line)
            let before = self.position
            self.value(at: element, depth: depth + 1)
            index += 1
            self.skipBlank(newlines: true)
            if self.peek() == UInt8(ascii: ",") {
                self.position += 1
            } else if self.position == before {
                return
            }
        }
        self.position += 1
    }

    private mutating func inlineTable(at path: [Step], depth: Int) {
        self.position += 1
        while true {
            self.skipBlank(newlines: true)
            guard let byte = self.peek() else { return }
            if byte == UInt8(ascii: "}") { break }
            let before = self.position
            self.keyAndValue(in: path, depth: depth + 1)
            self.skipBlank(newlines: true)
            if self.peek() == UInt8(ascii: ",") {
                self.position += 1
            } else if self.position == before {
                return
            }
        }
        self.position += 1
    }

    private mutating func refuse(_ got: String) {
        guard self.flaw == nil else { return }
        self.flaw = Flaw(line: self.line, offset: self.statement, got: got)
    }

    private static func beginsKey(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
            || [UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "\""), UInt8(ascii: "'")]
                .contains(byte)
    }

    private mutating func note(_ path: [Step], at line: Int) {
        if path.count > Self.deepest { return self.refuse("tables too deep in each other") }
        if self.lines[path] == nil { self.lines[path] = line }
    }
}

/// Walking over bytes.
extension KeyLocator {
    private func peek(_ offset: Int = 0) -> UInt8? {
        let index = self.position + offset
        return index < self.bytes.count ? self.bytes[index] : nil
    }

    private mutating func advance() {
        if self.peek() == UInt8(ascii: "\n") { self.line += 1 }
        self.position += 1
    }

    /// Skips spaces, tabs, carriage returns and comments; newlines where asked.
    private mutating func skipBlank(newlines: Bool) {
        while let byte = self.peek() {
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): self.position += 1
            case UInt8(ascii: "\n") where newlines: self.advance()
            case UInt8(ascii: "#") where newlines: self.skipToNewline()
            default: return
            }
        }
    }

    private mutating func skipToNewline() {
        while let byte = self.peek(), byte != UInt8(ascii: "\n") { self.position += 1 }
    }

    private mutating func skipLine() {
        self.skipToNewline()
        if self.peek() != nil { self.advance() }
    }

    private mutating func skipBareValue() {
        let ends = Array(",]}#\n".utf8)
        while let byte = self.peek(), !ends.contains(byte) { self.position += 1 }
    }

    private mutating func dottedKey() -> [String] {
        var keys: [String] = []
        while true {
            self.skipBlank(newlines: false)
            guard let key = self.simpleKey() else { return keys }
            // Enough to be refused; the rest would only take time.
            if keys.count <= Self.deepest { keys.append(key) }
            self.skipBlank(newlines: false)
            guard self.peek() == UInt8(ascii: ".") else { return keys }
            self.position += 1
        }
    }

    private mutating func simpleKey() -> String? {
        if self.peek() == UInt8(ascii: "\"") || self.peek() == UInt8(ascii: "'") {
            return self.quoted()
        }
        let start = self.position
        let ends = Array(" \t.=]\r\n#,}\"'".utf8)
        while let byte = self.peek(), !ends.contains(byte) { self.position += 1 }
        guard self.position > start else { return nil }
        return String(decoding: self.bytes[start..<self.position], as: UTF8.self)
    }

    /// A string of any of TOML's four kinds, the position left behind its closing quotes.
    private mutating func quoted() -> String {
        guard let quote = self.peek() else { return "" }
        let isLiteral = quote == UInt8(ascii: "'")
        let isLong = self.peek(1) == quote && self.peek(2) == quote
        self.position += isLong ? 3 : 1
        var text: [UInt8] = []
        while let byte = self.peek() {
            if byte == quote, !isLong {
                self.position += 1
                break
            }
            if byte == quote, self.peek(1) == quote, self.peek(2) == quote {
                self.position += 3
                // Up to two more quotes may belong to the text: """a""""" ends in two of them.
                while self.peek() == quote { self.position += 1 }
                break
            }
            if byte == UInt8(ascii: "\n"), !isLong { break }
            if byte == UInt8(ascii: "\\"), !isLiteral {
                self.position += 1
                text += self.escape()
                continue
            }
            text.append(byte)
            self.advance()
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// What follows a backslash; only keys need the result.
    private mutating func escape() -> [UInt8] {
        guard let byte = self.peek() else { return [] }
        self.advance()
        let digitCount: Int
        switch byte {
        case UInt8(ascii: "n"): return [10]
        case UInt8(ascii: "t"): return [9]
        case UInt8(ascii: "r"): return [13]
        case UInt8(ascii: "b"): return [8]
        case UInt8(ascii: "f"): return [12]
        case UInt8(ascii: "u"): digitCount = 4
        case UInt8(ascii: "U"): digitCount = 8
        default: return [byte]
        }
        let end = min(self.position + digitCount, self.bytes.count)
        let digits = String(decoding: self.bytes[self.position..<end], as: UTF8.self)
        guard let code = UInt32(digits, radix: 16), let scalar = Unicode.Scalar(code) else {
            return []
        }
        self.position = end
        return Array(String(Character(scalar)).utf8)
    }
}
