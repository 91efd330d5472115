import Primitives

/// One thing wrong with a configuration.
///
/// Reads `FILE:LINE: KEY: got X, expected Y` and, for a name, `, did you mean Z?`. Always one line,
/// whatever the file contains.
public struct Complaint: Error, Hashable, Sendable {
    /// The line of the file, from 1.
    public var line: Int
    /// The key, or `syntax` or `file` where it is the text itself.
    public var key: String
    /// What stands there, as a clause for people.
    public var got: String
    /// What may stand there, likewise.
    public var expected: String
    /// The name that was probably meant.
    public var suggestion: String?

    /// A complaint out of its parts, which need not be one line: they are made so.
    public init(line: Int, key: String, got: String, expected: String, suggestion: String? = nil) {
        self.line = line
        self.key = key
        self.got = got
        self.expected = expected
        self.suggestion = suggestion
    }

    /// The whole message on one line, with the file's name as it was given.
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
    /// The file's path as it was given, made one line.
    public let file: String
    /// All complaints, by line.
    public let complaints: [Complaint]

    /// One complete message for each complaint.
    public var lines: [String] { self.complaints.map { $0.text(file: self.file) } }

    public var description: String { self.lines.joined(separator: "\n") }

    /// An error about `file`; traps without a complaint.
    public init(file: String, complaints: [Complaint]) {
        precondition(!complaints.isEmpty, "an error without a complaint")
        self.file = Complaint.oneLine(file)
        self.complaints = complaints
    }
}
