import Primitives

/// `docs/CONFIGURATION.md`, made from the table of keys.
public enum ReferencePage {
    private static let width = 120

    /// The whole page, as `fairlead help config --markdown` prints it.
    public static let markdown: String = {
        let parts = [Self.head, Self.values, Self.reload] + KeyPlace.allCases.map(Self.place)
        return parts.joined(separator: "\n\n") + "\n"
    }()

    private static let head = [
        "# Configuration",
        Self.wrapped(
            "`make docs` writes this page from the table of keys in"
                + " `Sources/Configuration/Reference`. `fairlead help config KEY` shows the same"
                + " on a terminal."
        ),
        Self.wrapped(
            "Both files are TOML 1.0. Reading is strict: an unknown key, a value outside its range"
                + " and a combination that makes no sense are errors. `--check` tells all of them"
                + " at once, as `FILE:LINE: KEY: got X, expected Y`, and opens no socket."
        ),
    ].joined(separator: "\n\n")

    private static let values = [
        "## How values are written",
        "| value | written as | examples |\n|---|---|---|\n"
            + "| duration | an integer and `ms`, `s`, `m` or `h`, in a string |"
            + " `\"150ms\"` `\"2 m\"` |\n"
            + "| rate | a number and `kbps`, `mbps` or `gbps` (10³ bit/s), in a string |"
            + " `\"50 mbps\"` `\"1.5gbps\"` |\n"
            + "| size | a number and `KiB`, `MiB`, `GiB`, `kB`, `MB` or `GB`, in a string |"
            + " `\"4 MiB\"` |\n"
            + "| address | an IPv4 address, an IPv6 address in brackets or a name, and a port |"
            + " `\"192.0.2.1:80\"` `\"[2001:db8::1]:80\"` `\"host.example:80\"` |\n"
            + "| network | an address and a prefix length; no bits beyond the prefix |"
            + " `\"192.0.2.0/24\"` `\"2001:db8::/32\"` |\n"
            + "| public key | 44 characters of base64 | `\"\(KeyReference.exampleKey)\"` |\n"
            + "| time | RFC 3339 with its offset, as a string or as TOML's own |"
            + " `2027-01-31T18:00:00Z` |",
    ].joined(separator: "\n\n")

    private static let reload = [
        "## What a reload does",
        Self.wrapped(
            "SIGHUP makes a process read its file again. A file with a mistake changes nothing: the"
                + " log says `reload-refused` and why. Each key below says what happens to a new"
                + " value:"
        ),
        KeyReference.Reload.allCases.map {
            Self.item("**\($0.label)**: \($0.meaning)")
        }.joined(separator: "\n"),
    ].joined(separator: "\n\n")

    private static func place(_ place: KeyPlace) -> String {
        let keys = KeyReference.keys(of: place)
        let rows = keys.map { key in
            "| [`\(key.name)`](#\(Self.anchor(key))) | \(Self.shortStandard(key))"
                + " | \(key.reload.label) | \(key.help) |"
        }
        let table = ["| key | default | reload | |", "|---|---|---|---|"] + rows
        let head = ["## \(place.heading)", Self.wrapped(place.summary)]
        return (head + [table.joined(separator: "\n")] + keys.map(Self.entry))
            .joined(separator: "\n\n")
    }

    private static func shortStandard(_ key: KeyReference) -> String {
        switch key.standard {
        case .required: "**required**"
        case .written(let text): "`\(text)`"
        case .absent(let meaning): meaning
        }
    }

    private static func entry(_ key: KeyReference) -> String {
        var facts = [Self.item("value: \(Self.value(key))")]
        facts += key.words.map { word in
            Paragraph.wrapped(
                "`\"\(word.name)\"`: \(word.meaning)",
                width: Self.width,
                first: "  * ",
                rest: "    "
            )
        }
        facts.append(Self.item("default: \(Self.standard(key))"))
        facts.append(Self.item("reload: \(key.reload.label)"))
        facts.append(Self.item("since \(key.since)"))
        var parts = ["### `\(key.path)`", Self.wrapped(key.help)]
        if !key.details.isEmpty { parts.append(Self.wrapped(key.details)) }
        parts.append(facts.joined(separator: "\n"))
        parts.append("```toml\n\(key.exampleText)\n```")
        return parts.joined(separator: "\n\n")
    }

    private static func value(_ key: KeyReference) -> String {
        key.words.isEmpty ? key.range : "one of these words"
    }

    private static func standard(_ key: KeyReference) -> String {
        if case .written(let text) = key.standard { "`\(text)`" } else { key.standardText }
    }

    /// As GitHub names the heading of a key.
    private static func anchor(_ key: KeyReference) -> String { key.path.filter { $0 != "." } }

    private static func item(_ text: String) -> String {
        Paragraph.wrapped(text, width: Self.width, first: "* ", rest: "  ")
    }

    private static func wrapped(_ text: String) -> String {
        Paragraph.wrapped(text, width: Self.width)
    }
}
