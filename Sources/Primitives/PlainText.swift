/// Text that others made, on its way to a person or a log.
///
/// Control characters drive terminals, line separators forge lines, and format characters (bidi
/// controls among them) make a text look like another.
public enum PlainText {
    /// Whether nothing in `text` drives, hides or reorders what stands around it.
    public static func isPlain(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy(Self.isPlain)
    }

    /// Whether `scalar` is in none of the Unicode categories Cc, Cf, Zl and Zp.
    public static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: false
        default: true
        }
    }

    /// The inside of a JSON string (RFC 8259 §7): quotes, backslashes and all that is not plain
    /// are escaped; with `asciiOnly` everything else that is not ASCII too.
    public static func escaped(_ text: String, asciiOnly: Bool = false) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\":
                result += "\\"
                result.unicodeScalars.append(scalar)
            case "\n": result += "\\n"
            case _ where Self.isPlain(scalar) && (scalar.isASCII || !asciiOnly):
                result.unicodeScalars.append(scalar)
            default:
                // Two of them beyond the first 65,536 characters.
                for unit in String(scalar).utf16 {
                    let hex = String(unit, radix: 16)
                    result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
                }
            }
        }
        return result
    }
}
