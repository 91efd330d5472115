import Testing

@testable import Configuration

/// JSON as other programs' files have it.
@Suite struct JSONDocumentTests {
    private func entry(_ text: String) throws -> Node {
        guard case .table(let entries) = try JSONDocument.parse(text).value else {
            throw Complaint(line: 1, key: "", got: "no object", expected: "one")
        }
        return try #require(entries.last?.node)
    }

    private func told(_ value: String) throws -> String {
        switch try self.entry("{\"k\": \(value)}").value {
        case .string(let text): "string \(text)"
        case .integer(let number): "integer \(number)"
        case .double(let number): "double \(number)"
        case .boolean(let flag): "boolean \(flag)"
        case .list(let nodes): "list of \(nodes.count)"
        case .table(let entries): "table of \(entries.count)"
        case .moment: "moment"
        }
    }

    @Test func readsEveryKindOfValue() throws {
        let text = #""a\"\\/\b\f\n\r\t\u00e9\ud83d\ude00""#
        #expect(try self.told(text) == "string a\"\\/\u{8}\u{C}\n\r\t\u{e9}\u{1F600}")
        #expect(try self.told("-12") == "integer -12")
        #expect(try self.told("5e-1") == "double 0.5")
        #expect(try self.told("true") == "boolean true")
        #expect(try self.told("false") == "boolean false")
        #expect(try self.told("[1, null, {}, []]") == "list of 3")
        #expect(try self.told("{\"a\": 1, \"b\": {}}") == "table of 2")
    }

    @Test func knowsLinesAndTakesTheLastOfAKey() throws {
        let node = try self.entry("{\n \"a\": 1,\n \"b\": null,\n\n \"a\": 2\n}\n")
        #expect(node.line == 5)
        #expect(node.shown == "2")
    }

    @Test(arguments: [
        ("", 1), ("{", 1), ("{\"a\":1", 1), ("{\"a\" 1}", 1), ("{a:1}", 1), ("[1,]", 1),
        ("{\"a\":1,}", 1), ("\n\n{} x", 3), ("\"\\ud800\"", 1), ("\"\\x\"", 1), ("\"a", 1),
        ("\"\u{1}\"", 1), ("nul", 1), ("null", 1), ("+1", 1), ("1e999", 1), ("{\n// no\n}", 2),
        (String(repeating: "[", count: 100_000), 1),
    ])
    func refusesWhatIsNoJSON(text: String, line: Int) {
        #expect {
            try JSONDocument.parse(text)
        } throws: { error in
            (error as? Complaint)?.line == line && (error as? Complaint)?.key == "syntax"
        }
    }

    /// Every prefix of a text ends with a complaint, and none with a trap.
    @Test func endsWhereTheTextEnds() {
        let text = Array(#"{"a": ["\u00e9\ud83d\ude00\n", -1.5e3, true, false, null]}"#.utf8)
        for count in 0..<text.count {
            #expect(throws: Complaint.self) {
                try JSONDocument.parse(String(decoding: text[..<count], as: UTF8.self))
            }
        }
    }
}
