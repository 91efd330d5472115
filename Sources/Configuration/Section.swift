import Primitives

/// Collects complaints while a document is read, so that all of them are told at once.
final class Findings {
    private(set) var complaints: [Complaint] = []

    func add(_ complaint: Complaint) { self.complaints.append(complaint) }

    /// Forgets all others, which follow from this one.
    func replace(with complaint: Complaint) { self.complaints = [complaint] }

    /// In the order of the file; complaints about one line in the order they were found.
    var sorted: [Complaint] {
        self.complaints.enumerated()
            .sorted { ($0.element.line, $0.offset) < ($1.element.line, $1.offset) }
            .map(\.element)
    }
}

/// One table of a document, read key by key.
///
/// Every reader answers `nil` both for an absent key and for a wrong value; a wrong value has been
/// complained about by then.
struct Section {
    let line: Int
    let findings: Findings
    private let entries: [Node.Entry]
    /// What stands before a key in messages: `health.` inside `health = {…}`.
    private let prefix: String

    init(_ entries: [Node.Entry], line: Int, prefix: String = "", findings: Findings) {
        self.entries = entries
        self.line = line
        self.prefix = prefix
        self.findings = findings
    }

    // MARK: complaints

    /// Says that `key` is wrong, at its own line or, where it is absent, at the table's.
    func complain(_ key: String, got: String, expected: String, suggestion: String? = nil) {
        self.complain(
            at: self[key]?.line ?? self.line,
            key,
            got: got,
            expected: expected,
            suggestion: suggestion
        )
    }

    func complain(
        at line: Int,
        _ key: String,
        got: String,
        expected: String,
        suggestion: String? = nil
    ) {
        self.findings.add(
            Complaint(
                line: line,
                key: self.prefix + key,
                got: got,
                expected: expected,
                suggestion: suggestion
            )
        )
    }

    func complainMissing(_ key: String, expected: String) {
        self.complain(key, got: "nothing", expected: expected)
    }

    /// Complains about every key that is none of `known`.
    func refuseUnknown(_ known: [String], in place: String) {
        for entry in self.entries where !known.contains(entry.key) {
            let near = Spelling.nearest(to: entry.key, among: known)
            let all = known.joined(separator: ", ")
            self.complain(
                entry.key,
                got: "an unknown key",
                expected: near == nil ? "one of \(all)" : "a key of \(place)",
                suggestion: near
            )
        }
    }

    // MARK: reading

    subscript(key: String) -> Node? { self.entries.first { $0.key == key }?.node }

    /// That this is the other end's file, where it is.
    func otherKind(than kind: FileKind) -> Complaint? {
        guard let found = FileKind(keys: self.entries.map(\.key)), found != kind else { return nil }
        return Complaint(
            line: 1,
            key: "file",
            got: "a \(found.rawValue)'s file",
            expected: "a \(kind.rawValue)'s; this one is for fairlead-\(found.rawValue)"
        )
    }

    func has(_ key: String) -> Bool { self[key] != nil }

    func string(_ key: String, expected: String) -> String? {
        self[key].flatMap { self.string($0, key, expected: expected) }
    }

    private func string(_ node: Node, _ key: String, expected: String) -> String? {
        if case .string(let text) = node.value { return text }
        self.complain(at: node.line, key, got: node.shown, expected: expected)
        return nil
    }

    /// Reads a string with `parse`; a `nil` of it is a complaint.
    func value<Value>(_ key: String, expected: String, _ parse: (String) -> Value?) -> Value? {
        self[key].flatMap { self.value($0, key, expected: expected, parse) }
    }

    private func value<Value>(
        _ node: Node,
        _ key: String,
        expected: String,
        _ parse: (String) -> Value?
    ) -> Value? {
        guard let text = self.string(node, key, expected: expected) else { return nil }
        if let value = parse(text) { return value }
        self.complain(at: node.line, key, got: node.shown, expected: expected)
        return nil
    }

    /// Reads a list of strings, or where `single` a lone string as a list of one.
    func values<Value>(
        _ key: String,
        expected: String,
        single: Bool = false,
        _ parse: (String) -> Value?
    ) -> [Value]? {
        guard let node = self[key] else { return nil }
        if single, case .string = node.value {
            return self.value(node, key, expected: expected, parse).map { [$0] }
        }
        guard case .list(let nodes) = node.value else {
            let expected = single ? "\(expected), or a list of such" : "a list, each \(expected)"
            self.complain(key, got: node.shown, expected: expected)
            return nil
        }
        let values = nodes.compactMap { self.value($0, key, expected: expected, parse) }
        return values.count == nodes.count ? values : nil
    }

    func boolean(_ key: String) -> Bool? {
        guard let node = self[key] else { return nil }
        if case .boolean(let flag) = node.value { return flag }
        self.complain(key, got: node.shown, expected: "true or false")
        return nil
    }

    func integer(_ key: String, in range: ClosedRange<Int>) -> Int? {
        guard let node = self[key] else { return nil }
        if case .integer(let number) = node.value, range.contains(number) { return number }
        let expected = "an integer from \(range.lowerBound) to \(range.upperBound)"
        self.complain(key, got: node.shown, expected: expected)
        return nil
    }

    func choice<Choice>(
        _ key: String,
        _ choices: [Choice] = Array(Choice.allCases)
    ) -> Choice? where Choice: RawRepresentable<String> & CaseIterable {
        let names = choices.map(\.rawValue)
        let expected = Self.either(names)
        guard let text = self.string(key, expected: expected) else { return nil }
        if let choice = choices.first(where: { $0.rawValue == text }) { return choice }
        self.complain(
            key,
            got: Complaint.quoted(text),
            expected: expected,
            suggestion: Spelling.nearest(to: text, among: names).map { "\"\($0)\"" }
        )
        return nil
    }

    func duration(
        _ key: String,
        in range: ClosedRange<Instant.Interval>
    ) -> Instant.Interval? {
        let expected =
            "a duration from \(Units.text(range.lowerBound)) to \(Units.text(range.upperBound))"
            + " (integer and ms, s, m or h)"
        return self.value(key, expected: expected) { text in
            Units.duration(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// An RFC 3339 date-time, as TOML's own or in a string.
    func moment(_ key: String) -> WallTime? {
        guard let node = self[key] else { return nil }
        switch node.value {
        case .moment(let time?): return time
        case .string(let text):
            if let time = WallTime(text) { return time }
        default: break
        }
        self.complain(
            key,
            got: node.shown,
            expected: "a date and time with its offset, such as 2027-01-31T18:00:00Z"
        )
        return nil
    }

    func size(_ key: String, in range: ClosedRange<Int>) -> Int? {
        let least = Units.text(byteCount: range.lowerBound)
        let bounds = "\(least) to \(Units.text(byteCount: range.upperBound))"
        let expected = "a size from \(bounds) (number and KiB, MiB, GiB, kB, MB or GB)"
        return self.value(key, expected: expected) { text in
            Units.size(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// The table at `key`, written inline or not.
    func table(_ key: String, expected: String) -> Section? {
        self[key].flatMap { self.section($0, key, expected: expected, prefix: "\(key).") }
    }

    /// The tables of `[[key]]`.
    func tables(_ key: String) -> [Section] {
        guard let node = self[key] else { return [] }
        guard case .list(let nodes) = node.value else {
            let got = if case .table = node.value { "a single table" } else { node.shown }
            self.complain(key, got: got, expected: "tables, each under [[\(key)]]")
            return []
        }
        return nodes.compactMap {
            self.section($0, key, expected: "tables, each under [[\(key)]]", prefix: "")
        }
    }

    /// The same without a word about what is no table.
    func quietTables(_ key: String) -> [Section] {
        guard case .list(let nodes)? = self[key]?.value else { return [] }
        return nodes.compactMap { node in
            guard case .table(let entries) = node.value else { return nil }
            return Section(
                entries,
                line: node.line,
                prefix: self.prefix,
                findings: self.findings
            )
        }
    }

    func section(_ node: Node, _ key: String, expected: String, prefix: String) -> Section? {
        guard case .table(let entries) = node.value else {
            self.complain(at: node.line, key, got: node.shown, expected: expected)
            return nil
        }
        return Section(
            entries,
            line: node.line,
            prefix: self.prefix + prefix,
            findings: self.findings
        )
    }

    /// `"a", "b" or "c"`.
    static func either(_ names: [String]) -> String {
        let quoted = names.map { "\"\($0)\"" }
        guard let last = quoted.last, quoted.count > 1 else { return quoted.first ?? "nothing" }
        return quoted.dropLast().joined(separator: ", ") + " or " + last
    }
}
