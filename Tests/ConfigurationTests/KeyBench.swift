@testable import Configuration

/// A file around the lines of one table, so that any key can be tried.
enum KeyBench {
    private static let usual: [KeyPlace: [String]] = [
        .server: ["listen = \"0.0.0.0:4600\"", "private_key = \"k\""],
        .client: [
            "server = \"192.0.2.1:4600\"", "server_public_key = \"\(Samples.otherKey)\"",
            "private_key = \"k\"",
        ],
        .forward: ["listen = \"0.0.0.0:25565\"", "protocol = \"tcp\"", "service = \"minecraft\""],
        .peer: ["name = \"edge\"", "public_key = \"\(Samples.otherKey)\"", "services = [\"*\"]"],
        .service: [
            "name = \"minecraft\"", "protocol = \"tcp\"", "backends = [\"192.0.2.7:25565\"]",
        ],
        .backends: ["address = \"192.0.2.7:25565\""],
        .health: ["type = \"tcp\""],
    ]

    /// What stands before `=`.
    private static func name(_ line: String) -> String { String(line.prefix { $0 != " " }) }

    /// The usual lines of `place` and `lines`, which go before them.
    private static func merged(_ place: KeyPlace, _ lines: [String]) -> [String] {
        let own = Set(lines.map(Self.name))
        return (Self.usual[place] ?? []).filter { !own.contains(Self.name($0)) } + lines
    }

    /// A file whose table `place` has `lines` and what else it requires.
    static func text(_ place: KeyPlace, _ lines: [String]) -> String {
        let tables = lines.drop { !$0.hasPrefix("[[") }
        let lines = lines.filter { !tables.contains($0) }
        let inline = Self.merged(place, lines).joined(separator: ", ")
        switch place {
        case .client, .server:
            return (Self.merged(place, lines) + tables).joined(separator: "\n")
        case .forward, .service:
            return (Self.merged(place.file, []) + [place.title] + Self.merged(place, lines))
                .joined(separator: "\n")
        case .peer:
            return Self.text(.service, []) + "\n"
                + ([place.title] + Self.merged(place, lines)).joined(separator: "\n")
        // A second backend, so that the one in question may be a backup.
        case .backends:
            return Self.text(.service, ["backends = [\"192.0.2.9:1\", { \(inline) }]"])
        case .health: return Self.text(.service, ["health = { \(inline) }"])
        }
    }

    /// The example of `key` without the key itself, and `value` in its place.
    static func text(_ key: KeyReference, _ value: String?) -> String {
        var lines = key.example.split(separator: "\n").map(String.init)
        if case .tables = key.value {
            lines = []
        } else {
            lines.removeAll { Self.name($0) == key.name }
        }
        return Self.text(key.place, lines + (value.map { ["\(key.name) = \($0)"] } ?? []))
    }

    static func example(_ key: KeyReference) -> String {
        Self.text(key.place, key.example.split(separator: "\n").map(String.init))
    }

    static func complaints(_ text: String, _ place: KeyPlace) -> [Complaint] {
        do {
            switch place.file {
            case .client: _ = try ClientConfiguration.parse(text, file: "f")
            default: _ = try ServerConfiguration.parse(text, file: "f")
            }
            return []
        } catch {
            return error.complaints
        }
    }

    /// Whether the reader refuses `value` for what it is, not for what stands beside it.
    static func refuses(_ key: KeyReference, _ value: String) -> Bool {
        Self.complaints(Self.text(key, value), key.place).contains { complaint in
            let name = complaint.key.split(separator: ".").last.map(String.init)
            return name == key.name
                && [key.value.expected, key.value.element].contains(complaint.expected)
        }
    }
}
