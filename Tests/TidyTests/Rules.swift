import Foundation

/// One file of the source tree.
struct SourceFile {
    /// Relative to the root of the package.
    let path: String
    let text: String

    var lines: [Substring] { self.text.split(separator: "\n", omittingEmptySubsequences: false) }
    var isSwift: Bool { self.path.hasSuffix(".swift") }
}

/// The rules of the house.
///
/// Each takes a file and returns what is wrong with it, one line per fault.
enum Rules {
    static let lineLimit = 100
    static let fileLimit = 500
    static let functionLimit = 60

    static func lineLength(_ file: SourceFile) -> [String] {
        file.lines.enumerated().filter { $0.element.count > Self.lineLimit }.map {
            "\(file.path):\($0.offset + 1): \($0.element.count) columns, the limit is 100"
        }
    }

    static func fileLength(_ file: SourceFile) -> [String] {
        let count = file.lines.count - 1
        return count > Self.fileLimit ? ["\(file.path): \(count) lines, the limit is 500"] : []
    }

    static func functionLength(_ file: SourceFile) -> [String] {
        FunctionFinder.bodies(in: file.text).filter { $0.lineCount > Self.functionLimit }.map {
            "\(file.path):\($0.line): \($0.lineCount) lines in one function, the limit is 60"
        }
    }

    /// Notes to oneself: the work is done or it is not.
    static func unfinishedWords(_ file: SourceFile) -> [String] {
        // In pieces, or this file would break its own rule.
        let words = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"].joined(separator: "|")
        return Self.matches(of: "\\b(\(words))\\b", in: file.text).map {
            "\(file.path):\($0.line): \($0.text)"
        }
    }

    /// Traps without a reason: `try!`, `as!`, `value!`, implicitly unwrapped types, `fatalError`.
    static func bareTraps(_ file: SourceFile) -> [String] {
        let code = SwiftLexer.code(of: file.text)
        let pattern = "[\\w)\\]?>]!(?!=)|\\bfatal" + "Error\\b"
        return Self.matches(of: pattern, in: code).map {
            "\(file.path):\($0.line): `\($0.text)`: handle it, or state why it holds (precondition)"
        }
    }

    /// Modules whose sums a peer has a hand in: it chooses times, sizes, and what it acknowledges.
    private static let exposedModules = ["Recovery", "Session", "KCP", "Erasure", "Sealing"]

    /// What narrows or sums up times there without a stated bound, and what wraps in Recovery.
    ///
    /// A difference that wraps is a sum that traps later. `Instant`, `less`, `plus`, `clamping:`
    /// and `exactly:` end at a bound; where none of them is needed a comment at the end of the line
    /// says why: `// bound: …`. Outside of Recovery what wraps is a serial number, which is to.
    static func uncheckedArithmetic(_ file: SourceFile) -> [String] {
        guard
            let module = Self.exposedModules.first(where: {
                file.path.hasPrefix("Sources/\($0)/")
            })
        else { return [] }
        let code = SwiftLexer.code(of: file.text)
        let lines = file.lines
        let checked =
            "clamping:|exactly:|truncatingIfNeeded:|bitPattern:|(big|little)Endian:|ascii:"
        let narrows = "\\bU?Int(8|16|32)\\((?!\\s*(\(checked)|[0-9]|\\)))"
        let time = "(nano|micro|milli)seconds\\b"
        let sums = "\(time) [-+*] |[-+*] [\\w.]*\\.\(time)(?!\\()"
        let wraps = module == "Recovery" ? "|&[-+*]|&<<" : ""
        return Self.matches(of: "\(narrows)|\(sums)\(wraps)", in: code).filter { match in
            let line = lines[match.line - 1]
            return line.range(of: "// bound: [^ ]", options: .regularExpression) == nil
        }.map { "\(file.path):\($0.line): `\($0.text)` has no stated bound" }
    }

    static func privateKeys(_ file: SourceFile) -> [String] {
        let patterns = [
            "FAIRLEAD-SECRET-KEY:\\s*[A-Za-z0-9+/]{43}=", "BEGIN [A-Z ]*PRIVATE KEY-",
            "PrivateKey\\s*=\\s*[A-Za-z0-9+/]{43}=",
        ]
        return Self.matches(of: patterns.joined(separator: "|"), in: file.text).map {
            "\(file.path):\($0.line): a private key"
        }
    }

    static func matches(of pattern: String, in text: String) -> [(line: Int, text: String)] {
        guard let expression = try? NSRegularExpression(pattern: pattern) else { return [] }
        let whole = NSRange(text.startIndex..., in: text)
        return expression.matches(in: text, range: whole).compactMap { match in
            guard let range = Range(match.range, in: text) else { return nil }
            let line = text[..<range.lowerBound].utf8.count { $0 == UInt8(ascii: "\n") } + 1
            return (line, String(text[range]))
        }
    }
}

/// Finds the bodies of functions, initialisers, subscripts and computed properties.
enum FunctionFinder {
    struct Body {
        let line: Int
        let lineCount: Int
    }

    static func bodies(in text: String) -> [Body] {
        let code = Array(SwiftLexer.code(of: text).utf8)
        let lines = Self.lineNumbers(of: code)
        return Self.declarations(in: code).compactMap { start in
            guard let open = Self.openingBrace(of: code, after: start),
                let close = Self.closingBrace(of: code, from: open)
            else { return nil }
            return Body(line: lines[start], lineCount: lines[close] - lines[start] + 1)
        }
    }

    private static func lineNumbers(of code: [UInt8]) -> [Int] {
        var line = 1
        return code.map { byte in
            defer { line += byte == UInt8(ascii: "\n") ? 1 : 0 }
            return line
        }
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "_") || (byte | 0x20 >= 97 && byte | 0x20 <= 122)
            || (byte >= 48 && byte <= 57) || byte >= 128
    }

    /// Where a declaration that can have a body of statements begins.
    private static func declarations(in code: [UInt8]) -> [Int] {
        let keywords = ["func", "init", "deinit", "subscript", "var"].map { Array($0.utf8) }
        var found: [Int] = []
        for index in code.indices where index == 0 || !Self.isWord(code[index - 1]) {
            // `self.init(…)` and `.init(…)` are calls.
            if index > 0, code[index - 1] == UInt8(ascii: ".") { continue }
            for word in keywords where code[index...].starts(with: word) {
                let end = index + word.count
                if end < code.count, !Self.isWord(code[end]) { found.append(index) }
            }
        }
        return found
    }

    /// The brace that opens the body; `nil` for a requirement or a stored property.
    private static func openingBrace(of code: [UInt8], after start: Int) -> Int? {
        var depth = 0
        for index in start..<code.count {
            switch code[index] {
            case UInt8(ascii: "("), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: ")"), UInt8(ascii: "]"): depth -= 1
            case UInt8(ascii: "{") where depth == 0: return index
            case UInt8(ascii: "}"), UInt8(ascii: "="), UInt8(ascii: ";"):
                let isComparison = index + 1 < code.count && code[index + 1] == UInt8(ascii: "=")
                let wasComparison = index > 0 && code[index - 1] == UInt8(ascii: "=")
                if depth == 0, !isComparison, !wasComparison { return nil }
            case UInt8(ascii: "\n") where depth == 0:
                guard Self.continues(code, after: index) else { return nil }
            default: break
            }
            if depth < 0 { return nil }
        }
        return nil
    }

    /// Whether the declaration goes on in the next line.
    private static func continues(_ code: [UInt8], after newline: Int) -> Bool {
        let rest = code[newline...].drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
        return ["{", "->", "where", "throws", "async", "rethrows"].contains {
            rest.starts(with: Array($0.utf8))
        }
    }

    private static func closingBrace(of code: [UInt8], from open: Int) -> Int? {
        var depth = 0
        for index in open..<code.count {
            if code[index] == UInt8(ascii: "{") { depth += 1 }
            if code[index] == UInt8(ascii: "}") { depth -= 1 }
            if depth == 0 { return index }
        }
        return nil
    }
}
