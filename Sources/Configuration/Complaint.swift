import Primitives

/// One thing wrong with a configuration.
///
/// Reads `FILE:LINE: KEY: got X, expected Y` and, for a name, `, did you mean Z?`. Always one line,
/// whatever the file contains.
public struct Complaint: Error, Hashable, Sendable {
    public var line: Int
    public var key: String
    public var got: String
    public var expected: String
    /// The name that was probably meant.
    public var suggestion: String?

    public init(line: Int, key: String, got: String, expected: String, suggestion: String? = nil) {
        self.line = line
        self.key = key
        self.got = got
        self.expected = expected
        self.suggestion = suggestion
    }

    public func text(file: String) -> String {
        let hint = self.suggestion.map { ", did you mean \($0)?" } ?? ""
        let key = Self.oneLine(self.key)
        return "\(file):\(self.line): \(key): got \(self.got), expected \(self.expected)\(hint)"
    }

    /// `text` in quotes, cut after 60 characters, control characters made visible.
    static func quoted(_ text: String) -> String {
        let short = text.count > 60 ? text.prefix(57) + "..." : text[...]
        return "\"\(Self.oneLine(String(short)))\""
    }

    /// `text` without control characters, which could forge or hide lines of a log.
    static func oneLine(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            if PlainText.isPlain(scalar) {
                result.unicodeScalars.append(scalar)
            } else {
                result += scalar == "\n" ? "\\n" : "\\u{\(String(scalar.value, radix: 16))}"
            }
        }
        return result
    }
}

/// Everything wrong with a configuration, in the order of its lines; never empty.
public struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    public let file: String
    public let complaints: [Complaint]

    /// One complete message for each complaint.
    public var lines: [String] { self.complaints.map { $0.text(file: self.file) } }

    public var description: String { self.lines.joined(separator: "\n") }

    public init(file: String, complaints: [Complaint]) {
        precondition(!complaints.isEmpty, "an error without a complaint")
        self.file = Complaint.oneLine(file)
        self.complaints = complaints
    }
}
