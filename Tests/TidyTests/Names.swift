import Foundation

/// Rules about names: each is used, and each that a page mentions exists.
enum Names {
    /// Words of `text` that could be names, with repetition.
    static func words(of text: String) -> [Substring] {
        // Bytes, because characters of millions of them take a debug build half a minute.
        text.utf8.split { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                false
            default: true
            }
        }.map { Substring($0) }
    }

    /// `text` without what follows `//`: a comment does not use what it mentions.
    private static func withoutComments(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false)
            .map { line in line.range(of: "//").map { line[..<$0.lowerBound] } ?? line }
            .joined(separator: "\n")
    }

    /// Declarations of `sources` whose name stands nowhere else, neither there nor in `others`.
    ///
    /// It looks at words only: a name that two things share is used if one of them is.
    static func unused(in sources: [SourceFile], besides others: [SourceFile]) -> [String] {
        var uses: [Substring: Int] = [:]
        let texts = (sources + others).map { Self.withoutComments($0.text) }
        for text in texts { for word in Self.words(of: text) { uses[word, default: 0] += 1 } }
        let keywords = "func|var|let|struct|enum|class|protocol|typealias|actor"
        return sources.flatMap { file in
            let code = SwiftLexer.code(of: file.text)
            // What the system starts needs no caller.
            let isProgram = code.contains("@main")
            return Rules.matches(of: "\\b(\(keywords))\\s+\\w+", in: code).compactMap {
                (match) -> String? in
                guard let name = Self.words(of: match.text).last, uses[name] == 1 else {
                    return nil
                }
                let isType = !["func", "var", "let"].contains { match.text.hasPrefix($0) }
                return isProgram && isType ? nil : "\(file.path):\(match.line): \(match.text)"
            }
        }
    }

    /// What a page sets in code, with a capital and no spaces, like ``SourceFile/isSwift``.
    private static let symbol =
        "`([A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*)((\\.[a-z]\\w*)*)(\\([^`]*\\))?`"

    /// Symbols that `page` mentions and `known` does not have.
    static func missing(in page: SourceFile, known: Set<Substring>) -> [String] {
        Rules.matches(of: Self.symbol, in: page.text).compactMap { match in
            let path = match.text.dropFirst().prefix { $0 != "(" && $0 != "`" }
            let lost = path.split(separator: ".").filter { !known.contains($0) }
            return lost.isEmpty ? nil : "\(page.path):\(match.line): \(lost.joined(separator: "."))"
        }
    }
}
