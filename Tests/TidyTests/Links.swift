import Foundation

/// Links between the documents of the tree.
enum Links {
    /// Relative links of a Markdown file that lead nowhere.
    ///
    /// `contents` answers what a path holds:
    /// its text, an empty string for a folder, `nil` for nothing.
    static func broken(_ file: SourceFile, contents: (String) -> String?) -> [String] {
        let folder = (file.path as NSString).deletingLastPathComponent
        return Self.targets(in: file.text).compactMap { target in
            if target.contains("://") || target.hasPrefix("mailto:") { return nil }
            let parts = target.split(separator: "#", omittingEmptySubsequences: false)
            let path = parts.first.map(String.init) ?? ""
            let whole = (folder as NSString).appendingPathComponent(path)
            let resolved = path.isEmpty ? file.path : Self.normalized(whole)
            guard let text = path.isEmpty ? file.text : contents(resolved) else {
                return "\(file.path): link to \(target), which does not exist"
            }
            guard parts.count > 1, resolved.hasSuffix(".md") else { return nil }
            let anchor = String(parts[1])
            if Self.anchors(in: text).contains(anchor) { return nil }
            return "\(file.path): link to \(target), which has no such heading"
        }
    }

    /// Removes `.` and `..` steps.
    private static func normalized(_ path: String) -> String {
        var steps: [Substring] = []
        for step in path.split(separator: "/") where step != "." {
            if step == "..", !steps.isEmpty { steps.removeLast() } else { steps.append(step) }
        }
        return steps.joined(separator: "/")
    }

    private static func targets(in text: String) -> [String] {
        let prose = Self.withoutFences(text)
        return Rules.matches(of: "\\]\\([^)\\s]+\\)", in: prose).map {
            String($0.text.dropFirst(2).dropLast())
        }
    }

    private static func withoutFences(_ text: String) -> String {
        var isFenced = false
        return text.split(separator: "\n", omittingEmptySubsequences: false).filter { line in
            let isFence = line.drop { $0 == " " }.hasPrefix("```")
            if isFence { isFenced.toggle() }
            return !isFenced && !isFence
        }.joined(separator: "\n")
    }

    /// Headings as GitHub names them.
    private static func anchors(in text: String) -> Set<String> {
        var names: Set<String> = []
        for line in Self.withoutFences(text).split(separator: "\n") where line.hasPrefix("#") {
            let title = line.drop { $0 == "#" }.dropFirst().lowercased()
            names.insert(
                title.filter { $0.isLetter || $0.isNumber || "-_ ".contains($0) }
                    .replacingOccurrences(of: " ", with: "-")
            )
        }
        return names
    }
}
