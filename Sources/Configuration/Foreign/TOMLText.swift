/// TOML that a program writes, a line at a time.
public struct TOMLText {
    /// What has been written so far; each line ends with a line feed.
    public private(set) var text = ""

    /// An empty text.
    public init() {}

    /// Adds a comment, made one line.
    public mutating func comment(_ line: String) { self.text += "# \(Complaint.oneLine(line))\n" }

    /// `value` is TOML already.
    public mutating func line(_ key: String, _ value: String) {
        self.text += "\(key) = \(value)\n"
    }

    /// Adds a blank line and a header, which brings its own brackets.
    public mutating func table(_ header: String) { self.text += "\n\(header)\n" }

    /// A basic string.
    public static func quoted(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x22, 0x5C: result += "\\\(scalar)"
            case 0..<0x20, 0x7F:
                result += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return "\"\(result)\""
    }

    /// A list of basic strings.
    public static func list(_ texts: [String]) -> String {
        "[\(texts.map(Self.quoted).joined(separator: ", "))]"
    }
}
