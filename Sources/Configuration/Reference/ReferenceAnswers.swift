import Primitives

/// What `fairlead help config` prints.
public enum ReferenceAnswers {
    private static let width = 80

    /// Every key by place, one line of help each.
    public static func overview() -> String {
        let blocks = KeyPlace.allCases.map { Self.list(of: $0) }
        let end = "`fairlead help config KEY` tells everything about one, such as peer.max_streams."
        return (blocks + [Self.plain(end)]).joined(separator: "\n\n")
    }

    /// Everything about a key, a key of one table (`peer.max_streams`) or all keys of a table.
    ///
    /// `nil` where there is none.
    public static func answer(to word: String) -> String? {
        var blocks = Self.keys(named: word).map { Self.entry($0) }
        if let place = Self.place(named: word) { blocks.append(Self.list(of: place)) }
        return blocks.isEmpty ? nil : blocks.joined(separator: "\n\n")
    }

    /// What was probably meant by a word that has no answer.
    public static func suggestion(for word: String) -> String? {
        let (place, name) = Self.parts(of: word)
        if let place {
            let names = KeyReference.keys(of: place).map(\.name)
            if let near = Spelling.nearest(to: name, among: names) {
                return "\(place.rawValue).\(near)"
            }
        }
        let names = KeyReference.all.map(\.name) + KeyPlace.allCases.map(\.rawValue)
        return Spelling.nearest(to: word, among: names)
            ?? Spelling.nearest(to: word, among: KeyReference.all.map(\.path))
    }

    private static func keys(named word: String) -> [KeyReference] {
        let (place, name) = Self.parts(of: word)
        guard word.contains(".") else { return KeyReference.all.filter { $0.name == name } }
        return place.flatMap { KeyReference.key(name, of: $0) }.map { [$0] } ?? []
    }

    /// Takes the last two steps of `service.health.interval`.
    private static func parts(of word: String) -> (place: KeyPlace?, name: String) {
        let steps = word.split(separator: ".").map(String.init)
        guard let name = steps.last else { return (nil, word) }
        return (steps.count > 1 ? Self.place(named: steps[steps.count - 2]) : nil, name)
    }

    private static func place(named word: String) -> KeyPlace? {
        let name = word.filter { !"[]".contains($0) }
        return KeyPlace(rawValue: name == "backend" ? "backends" : name)
    }

    // MARK: Text

    private static func list(of place: KeyPlace) -> String {
        let lines = KeyReference.keys(of: place).map { key in
            let padding = String(repeating: " ", count: max(0, 18 - key.name.count))
            return Paragraph.wrapped(
                Self.plain(key.help),
                width: Self.width,
                first: "  \(key.name)\(padding) ",
                rest: String(repeating: " ", count: 21)
            )
        }
        return (["Keys of \(place.title):", ""] + lines).joined(separator: "\n")
    }

    private static func entry(_ key: KeyReference) -> String {
        var lines = [
            Self.wrapped("\(key.path): \(key.help)"), "",
            Self.row("where", key.place.whereabouts),
            Self.row("value", key.range),
        ]
        lines += key.words.map { Self.row("", "\"\($0.name)\": \($0.meaning)") }
        lines.append(Self.row("default", key.standardText))
        lines.append(Self.row("reload", key.reload.meaning))
        lines.append(Self.row("since", key.since))
        if !key.details.isEmpty { lines += ["", Self.wrapped(key.details)] }
        lines += ["", "Example:", ""]
        lines += key.exampleText.split(separator: "\n").map { "  \($0)" }
        return lines.joined(separator: "\n")
    }

    private static func row(_ title: String, _ text: String) -> String {
        let padding = String(repeating: " ", count: 9 - title.count)
        return Paragraph.wrapped(
            Self.plain(text),
            width: Self.width,
            first: "  \(title)\(padding)",
            rest: String(repeating: " ", count: 11)
        )
    }

    private static func wrapped(_ text: String) -> String {
        Paragraph.wrapped(Self.plain(text), width: Self.width)
    }

    /// Without the marks of Markdown.
    private static func plain(_ text: String) -> String { text.filter { $0 != "`" && $0 != "*" } }
}
