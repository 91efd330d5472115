import Foundation

/// How many properties the types of a file store.
enum StoredProperties {
    struct Count {
        let type: String
        let path: String
        var count = 0
    }

    static let limit = 20

    /// Types that store more, and how many at most: the list is not to grow.
    static let exceptions = [
        // Loss, round trip, timers, delivery rate and pacing share what every packet changes.
        "LossRecovery": 46,
        // A simulated internet and all that is checked of it.
        "World": 25,
    ]

    private static let declaration = try? NSRegularExpression(
        pattern: "\\b(?:struct|class|enum|actor)\\s+(\\w+)"
    )
    private static let stored = try? NSRegularExpression(
        pattern: "^\\s*(?:@\\w+(?:\\([^)]*\\))?\\s+)*"
            + "(?:(?:\(Self.modifiers))(?:\\([a-z]+\\))?\\s+)*(let|var)\\s+\\w+"
    )
    private static let modifiers =
        "public|private|fileprivate|internal|package|open|final|lazy|unowned|weak|nonisolated"

    /// One for each type that a file declares, inner ones first; extensions store nothing.
    static func counts(in file: SourceFile) -> [Count] {
        var found: [Count] = []
        var open: [(depth: Int, count: Count)] = []
        var depth = 0
        for line in SwiftLexer.code(of: file.text).components(separatedBy: "\n") {
            if let last = open.indices.last, open[last].depth == depth, Self.stores(line) {
                open[last].count.count += 1
            }
            var name = Self.declared(in: line)
            for character in line {
                if character == "{" {
                    depth += 1
                    if let type = name { open.append((depth, Count(type: type, path: file.path))) }
                    name = nil
                } else if character == "}" {
                    if let last = open.last, last.depth == depth {
                        found.append(open.removeLast().count)
                    }
                    depth -= 1
                }
            }
        }
        return found
    }

    private static func declared(in line: String) -> String? {
        let whole = NSRange(line.startIndex..., in: line)
        guard let match = Self.declaration?.firstMatch(in: line, range: whole),
            let range = Range(match.range(at: 1), in: line)
        else { return nil }
        return String(line[range])
    }

    /// Whether a line begins a property that takes memory: a `let`, or a `var` without a body.
    private static func stores(_ line: String) -> Bool {
        let whole = NSRange(line.startIndex..., in: line)
        guard let match = Self.stored?.firstMatch(in: line, range: whole),
            let kind = Range(match.range(at: 1), in: line), let all = Range(match.range, in: line)
        else { return false }
        let rest = line[all.upperBound...]
        guard line[kind] == "var", let brace = rest.firstIndex(of: "{") else { return true }
        return rest.firstIndex(of: "=").map { $0 < brace } ?? false
    }
}
