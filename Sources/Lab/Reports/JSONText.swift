/// A value of JSON, written with its keys in the order given.
public enum JSONValue: Sendable {
    /// No value.
    case null
    /// `true` or `false`.
    case flag(Bool)
    /// A whole number, written without a fraction.
    case integer(UInt64)
    /// Rounded to three decimals.
    case number(Double)
    /// A string, escaped as it is written (RFC 8259 §7).
    case text(String)
    /// An array.
    case list([JSONValue])
    /// An object, whose members keep this order.
    case object([(String, JSONValue)])

    static func optional(_ value: Double?) -> Self { value.map { .number($0) } ?? .null }

    public var description: String { self.text(indent: "") }

    private func text(indent: String) -> String {
        let inner = indent + "  "
        switch self {
        case .null: return "null"
        case .flag(let flag): return "\(flag)"
        case .integer(let number): return "\(number)"
        case .number(let number): return number.isFinite ? Decimal.text(number, 3) : "null"
        case .text(let text): return Self.quoted(text)
        case .list(let values):
            return "[" + values.map { $0.text(indent: inner) }.joined(separator: ", ") + "]"
        case .object(let members):
            if members.isEmpty { return "{}" }
            let lines = members.map { "\(inner)\(Self.quoted($0)): \($1.text(indent: inner))" }
            return "{\n" + lines.joined(separator: ",\n") + "\n\(indent)}"
        }
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            default:
                if scalar.value < 0x20 {
                    let digits = String(scalar.value, radix: 16)
                    result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }
}
