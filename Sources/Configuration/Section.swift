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
///
/// What may stand in it, within which bounds, and how messages call that, comes from the entries of
/// ``KeyReference`` for its place.
struct Section {
    let place: KeyPlace
    let line: Int
    let findings: Findings
    private let entries: [Node.Entry]
    /// What stands before a key in messages: `health.` inside `health = {…}`.
    private let prefix: String

    init(
        _ entries: [Node.Entry],
        of place: KeyPlace,
        line: Int,
        prefix: String = "",
        findings: Findings
    ) {
        self.place = place
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

    /// Says that `key` is missing, unless it is there.
    func require(_ key: String) {
        guard !self.has(key) else { return }
        self.complain(key, got: "nothing", expected: self.form(of: key).element)
    }

    /// Complains about every key that has no place here, and about every one that is missing.
    func checkKeys() {
        let keys = KeyReference.keys(of: self.place)
        let known = keys.map(\.name)
        for entry in self.entries where !known.contains(entry.key) {
            let near = Spelling.nearest(to: entry.key, among: known)
            let all = known.joined(separator: ", ")
            self.complain(
                entry.key,
                got: "an unknown key",
                expected: near == nil ? "one of \(all)" : "a key of \(self.place.title)",
                suggestion: near
            )
        }
        for key in keys where key.isRequired { self.require(key.name) }
    }

    /// What may be written for `key`.
    private func form(of key: String) -> KeyValue {
        guard let entry = KeyReference.key(key, of: self.place) else {
            preconditionFailure("a reader asks for \(key), which the table of keys does not have")
        }
        return entry.value
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

    func string(_ key: String) -> String? {
        let expected = self.form(of: key).expected
        return self[key].flatMap { self.string($0, key, expected: expected) }
    }

    private func string(_ node: Node, _ key: String, expected: String) -> String? {
        if case .string(let text) = node.value { return text }
        self.complain(at: node.line, key, got: node.shown, expected: expected)
        return nil
    }

    /// Reads a string with `parse`; a `nil` of it is a complaint.
    func value<Value>(_ key: String, _ parse: (String) -> Value?) -> Value? {
        let expected = self.form(of: key).expected
        return self[key].flatMap { self.value($0, key, expected: expected, parse) }
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

    /// Reads a list of strings, or where the table allows it a lone string as a list of one.
    func values<Value>(_ key: String, _ parse: (String) -> Value?) -> [Value]? {
        let form = self.form(of: key)
        guard let node = self[key] else { return nil }
        if case .textOrList = form, case .string = node.value {
            return self.value(node, key, expected: form.element, parse).map { [$0] }
        }
        guard case .list(let nodes) = node.value else {
            self.complain(key, got: node.shown, expected: form.expected)
            return nil
        }
        let values = nodes.compactMap { self.value($0, key, expected: form.element, parse) }
        return values.count == nodes.count ? values : nil
    }

    func boolean(_ key: String) -> Bool? {
        guard let node = self[key] else { return nil }
        if case .boolean(let flag) = node.value { return flag }
        self.complain(key, got: node.shown, expected: self.form(of: key).expected)
        return nil
    }

    /// A number; `nil` for the word `auto` as well, where the table allows it.
    func integer(_ key: String) -> Int? {
        let form = self.form(of: key)
        guard let node = self[key] else { return nil }
        switch (form, node.value) {
        case (.integer(let range, _), .integer(let number)) where range.contains(number),
            (.automaticOrInteger(let range, _), .integer(let number))
        where range.contains(number):
            return number
        case (.automaticOrInteger, .string("auto")): return nil
        default:
            self.complain(key, got: node.shown, expected: form.expected)
            return nil
        }
    }

    /// One of the words that the table has for `key`, all of which `Choice` must know.
    func choice<Choice: RawRepresentable<String>>(_ key: String) -> Choice? {
        guard let text = self.string(key) else { return nil }
        let form = self.form(of: key)
        guard case .words(let words) = form else { return nil }
        let names = words.map(\.name)
        if names.contains(text) {
            let choice = Choice(rawValue: text)
            precondition(choice != nil, "\(Choice.self) does not know \(text) of the table of keys")
            return choice
        }
        self.complain(
            key,
            got: Complaint.quoted(text),
            expected: form.expected,
            suggestion: Spelling.nearest(to: text, among: names).map { "\"\($0)\"" }
        )
        return nil
    }

    func duration(_ key: String) -> Instant.Interval? {
        guard case .duration(let range) = self.form(of: key) else { return nil }
        return self.value(key) { text in
            Units.duration(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// In bits a second.
    func rate(_ key: String) -> UInt64? {
        guard case .rate(let range) = self.form(of: key) else { return nil }
        return self.value(key) { text in
            Units.rate(text).flatMap { range.contains($0) ? $0 : nil }
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
        self.complain(key, got: node.shown, expected: self.form(of: key).expected)
        return nil
    }

    /// In bytes.
    func size(_ key: String) -> Int? {
        guard case .size(let range) = self.form(of: key) else { return nil }
        return self.value(key) { text in
            Units.size(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// The table at `key`, written inline or not.
    func table(_ key: String) -> Section? {
        guard case .table(let place, let expected) = self.form(of: key), let node = self[key] else {
            return nil
        }
        return self.section(node, key, of: place, expected: expected, prefix: "\(key).")
    }

    /// The tables of `[[key]]`.
    func tables(_ key: String) -> [Section] {
        let form = self.form(of: key)
        guard case .tables(let place) = form, let node = self[key] else { return [] }
        guard case .list(let nodes) = node.value else {
            let got = if case .table = node.value { "a single table" } else { node.shown }
            self.complain(key, got: got, expected: form.expected)
            return []
        }
        return nodes.compactMap {
            self.section($0, key, of: place, expected: form.expected, prefix: "")
        }
    }

    /// The same without a word about what is no table.
    func quietTables(_ key: String) -> [Section] {
        guard case .tables(let place) = self.form(of: key),
            case .list(let nodes)? = self[key]?.value
        else { return [] }
        return nodes.compactMap { node in
            guard case .table(let entries) = node.value else { return nil }
            return Section(
                entries,
                of: place,
                line: node.line,
                prefix: self.prefix,
                findings: self.findings
            )
        }
    }

    func section(
        _ node: Node,
        _ key: String,
        of place: KeyPlace,
        expected: String,
        prefix: String
    ) -> Section? {
        guard case .table(let entries) = node.value else {
            self.complain(at: node.line, key, got: node.shown, expected: expected)
            return nil
        }
        return Section(
            entries,
            of: place,
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
