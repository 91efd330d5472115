/// Which public declarations no docstring explains.
///
/// The cases of a public enumeration and the requirements of a public protocol are as public as
/// their owner. The formatter indents by four, so they stand four columns further in than it does.
enum Docstrings {
    private struct Owner {
        var indent: Int
        /// How a line begins that declares a member.
        var member: String
    }

    private static let declaration =
        "^ *(@\\w+(\\([^)]*\\))? +)*public (?!import |extension )"
        + ".*\\b(func|var|let|struct|enum|class|actor|protocol|init|subscript|typealias)\\b"
    /// What the protocols of the standard library say already.
    private static let exempt = "\\b(func == |func hash\\(into|var description\\b)"

    static func missing(_ file: SourceFile) -> [String] {
        guard file.path.hasPrefix("Sources/") else { return [] }
        let lines = file.lines
        let code = SwiftLexer.code(of: file.text)
            .split(separator: "\n", omittingEmptySubsequences: false)
        var owners: [Owner] = []
        var faults: [String] = []
        for (index, line) in code.enumerated() {
            let words = line.drop { $0 == " " }
            guard !words.isEmpty else { continue }
            let indent = line.count - words.count
            if words.hasPrefix("}"), owners.last?.indent == indent { owners.removeLast() }
            let isDeclared =
                line.contains("public ") && Self.has(line, Self.declaration)
                && !Self.has(line, Self.exempt)
            let isMember = owners.contains { $0.indent + 4 == indent && Self.has(line, $0.member) }
            if isDeclared || isMember, !Self.isExplained(lines, index) {
                faults.append("\(file.path):\(index + 1): no docstring: \(words)")
            }
            if isDeclared, let member = Self.members(ofOwnerIn: line) {
                owners.append(Owner(indent: indent, member: member))
            }
        }
        return faults
    }

    /// How members begin of what `line` opens; `nil` where they are public only if they say so.
    private static func members(ofOwnerIn line: Substring) -> String? {
        guard !line.contains("}") else { return nil }
        if Self.has(line, "public (indirect )?enum ") { return "^ *(indirect )?case " }
        guard Self.has(line, "public protocol ") else { return nil }
        return "^ *(@\\w+ +)*(static |mutating )*(func|var|init|subscript|associatedtype)\\b"
    }

    /// Whether a docstring ends above the line, or above its attributes and conditions.
    private static func isExplained(_ lines: [Substring], _ index: Int) -> Bool {
        let above = lines[..<index].last { line in
            let first = line.first { $0 != " " }
            return first != "@" && first != "#"
        }
        return above?.drop { $0 == " " }.hasPrefix("///") ?? false
    }

    private static func has(_ line: Substring, _ pattern: String) -> Bool {
        !Rules.matches(of: pattern, in: String(line)).isEmpty
    }
}
