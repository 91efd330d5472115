import TOMLKit

/// A TOML text as a tree in which everything knows its line.
struct Node {
    indirect enum Value {
        case string(String)
        case integer(Int)
        case double(Double)
        case boolean(Bool)
        /// A date or a time; `nil` if it is not a moment that is the same everywhere.
        case moment(WallTime?)
        case list([Node])
        case table([Entry])
    }

    struct Entry {
        let key: String
        let node: Node
    }

    let value: Value
    let line: Int

    /// How a message shows the value: strings quoted and cut short, always on one line.
    var shown: String {
        switch self.value {
        case .string(let text): Complaint.quoted(text)
        case .integer(let number): "\(number)"
        case .double(let number): "\(number)"
        case .boolean(let flag): "\(flag)"
        case .moment: "a date or time"
        case .list(let nodes): nodes.isEmpty ? "an empty list" : "a list"
        case .table: "a table"
        }
    }
}

/// Reads a text into a ``Node``, or says where it is not TOML.
enum Document {
    static let maximumByteCount = 1 << 20

    static func parse(_ marked: String) throws(Complaint) -> Node {
        // A byte order mark means nothing in UTF-8, but some editors write one. All of them go: the
        // parser would step over another one, and the locator must see what the parser sees.
        let text = String(marked.unicodeScalars.drop { $0 == "\u{FEFF}" })
        if let zero = text.utf8.firstIndex(of: 0) {
            // The parser takes a C string and would read no further than this.
            throw Complaint(
                line: 1 + text.utf8[..<zero].count { $0 == 10 },
                key: "syntax",
                got: "a zero byte",
                expected: "a text in TOML"
            )
        }
        let locator = KeyLocator(text)
        if let flaw = locator.flaw {
            // If what stands before it is no TOML either, that is what to tell.
            _ = try Self.table(String(decoding: text.utf8.prefix(flaw.offset), as: UTF8.self))
            throw Complaint(
                line: flaw.line,
                key: flaw.key,
                got: flaw.got,
                expected: flaw.expected
            )
        }
        let table = try Self.table(text)
        return Self.node(.table(Self.entries(table, [], locator)), [], locator)
    }

    private static func table(_ text: String) throws(Complaint) -> TOMLTable {
        do {
            return try TOMLTable(string: text)
        } catch let error as TOMLParseError {
            throw Complaint(
                line: max(1, error.source.begin.line),
                key: "syntax",
                got: "invalid TOML (\(Complaint.oneLine(error.description)))",
                expected: "TOML 1.0"
            )
        } catch {
            throw Complaint(line: 1, key: "syntax", got: "\(error)", expected: "TOML 1.0")
        }
    }

    private static func node(
        _ value: Node.Value,
        _ path: [KeyLocator.Step],
        _ locator: KeyLocator
    ) -> Node {
        // What has no place of its own, such as a table made by a dotted key, has its parent's.
        var path = path
        while !path.isEmpty {
            if let line = locator[path] { return Node(value: value, line: line) }
            path.removeLast()
        }
        return Node(value: value, line: 1)
    }

    private static func entries(
        _ table: TOMLTable,
        _ path: [KeyLocator.Step],
        _ locator: KeyLocator
    ) -> [Node.Entry] {
        table.keys.map { key in
            // A key cut short at an escaped zero byte is not found again: unknown in any case.
            let node = table[key].map { Self.node($0, path + [.key(key)], locator) }
            return Node.Entry(key: key, node: node ?? Self.node(.moment(nil), path, locator))
        }
    }

    private static func node(
        _ value: any TOMLValueConvertible,
        _ path: [KeyLocator.Step],
        _ locator: KeyLocator
    ) -> Node {
        if let table = value.table {
            return Self.node(.table(Self.entries(table, path, locator)), path, locator)
        }
        if let array = value.array {
            let nodes = (0..<array.count).map { index in
                Self.node(array[index], path + [.index(index)], locator)
            }
            return Self.node(.list(nodes), path, locator)
        }
        return Self.node(Self.leaf(value), path, locator)
    }

    private static func leaf(_ value: any TOMLValueConvertible) -> Node.Value {
        if let text = value.string { return .string(text) }
        if let flag = value.bool { return .boolean(flag) }
        if let number = value.int { return .integer(number) }
        if let number = value.double { return .double(number) }
        return .moment(value.dateTime.flatMap { WallTime($0) })
    }
}
