/// Blanks out comments and string literals, so that rules about code see only code.
///
/// Every other character stays at its line and column. Understands nested comments, multi-line and
/// raw strings, and code inside interpolations, which stays blank too: it is short by nature.
struct SwiftLexer {
    private let input: [UInt8]
    private var output: [UInt8]
    private var index = 0

    /// `text` with everything that is not code replaced by spaces.
    static func code(of text: String) -> String {
        var lexer = SwiftLexer(text)
        lexer.blankCode(insideParentheses: false)
        return String(decoding: lexer.output, as: UTF8.self)
    }

    private init(_ text: String) {
        self.input = Array(text.utf8)
        self.output = self.input
    }

    private func peek(_ offset: Int = 0) -> UInt8 {
        self.index + offset < self.input.count ? self.input[self.index + offset] : 0
    }

    private func stands(_ text: StaticString) -> Bool {
        let start = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        return self.input[self.index...].starts(with: start)
    }

    private mutating func blank(_ count: Int = 1) {
        for _ in 0..<count where self.index < self.input.count {
            // Line ends and the bytes of wide characters keep their place.
            if self.input[self.index] != UInt8(ascii: "\n") {
                self.output[self.index] = UInt8(ascii: " ")
            }
            self.index += 1
        }
    }

    /// Code up to the end of input, or to the parenthesis that closes an interpolation.
    private mutating func blankCode(insideParentheses: Bool) {
        var depth = 1
        while self.index < self.input.count {
            if self.stands("//") {
                while self.index < self.input.count, self.peek() != UInt8(ascii: "\n") {
                    self.blank()
                }
            } else if self.stands("/*") {
                self.blankBlockComment()
            } else if let hashes = self.hashesBeforeQuote() {
                self.blankString(hashes: hashes)
            } else if insideParentheses {
                if self.peek() == UInt8(ascii: "(") { depth += 1 }
                if self.peek() == UInt8(ascii: ")") { depth -= 1 }
                self.blank()
                if depth == 0 { return }
            } else {
                self.index += 1
            }
        }
    }

    private mutating func blankBlockComment() {
        var depth = 0
        repeat {
            if self.stands("/*") {
                depth += 1
                self.blank(2)
            } else if self.stands("*/") {
                depth -= 1
                self.blank(2)
            } else {
                self.blank()
            }
        } while depth > 0 && self.index < self.input.count
    }

    /// How many `#` precede the quote that starts here; `nil` if none does.
    private func hashesBeforeQuote() -> Int? {
        var hashes = 0
        while self.peek(hashes) == UInt8(ascii: "#") { hashes += 1 }
        return self.peek(hashes) == UInt8(ascii: "\"") ? hashes : nil
    }

    private mutating func blankString(hashes: Int) {
        self.blank(hashes)
        let quotes = self.stands("\"\"\"") ? 3 : 1
        self.blank(quotes)
        while self.index < self.input.count {
            if self.peek() == UInt8(ascii: "\\"), self.hashes(at: 1) >= hashes {
                self.blank(1 + hashes)
                let isInterpolation = self.peek() == UInt8(ascii: "(")
                self.blank()
                if isInterpolation { self.blankCode(insideParentheses: true) }
            } else if self.endsString(quotes: quotes, hashes: hashes) {
                self.blank(quotes + hashes)
                return
            } else if quotes == 1, self.peek() == UInt8(ascii: "\n") {
                return  // Not Swift; the compiler will say so.
            } else {
                self.blank()
            }
        }
    }

    private func hashes(at offset: Int) -> Int {
        var count = 0
        while self.peek(offset + count) == UInt8(ascii: "#") { count += 1 }
        return count
    }

    private func endsString(quotes: Int, hashes: Int) -> Bool {
        (0..<quotes).allSatisfy { self.peek($0) == UInt8(ascii: "\"") }
            && self.hashes(at: quotes) >= hashes
    }
}
