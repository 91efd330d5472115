public import Primitives

/// The report in Prometheus' text format 0.0.4.
public enum MetricsPage {
    /// The media type of the exposition format, with its version.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// `families` in their order, each under its help and type.
    public static func render(_ families: [MetricFamily]) -> String {
        families.reduce(into: "") { text, family in
            let name = "fairlead_\(family.descriptor.name)"
            text += "# HELP \(name) \(family.descriptor.help)\n"
            text += "# TYPE \(name) \(family.descriptor.kind.rawValue)\n"
            for sample in family.samples {
                let pairs = zip(family.descriptor.labels, sample.labels).map {
                    "\($0)=\"\(Self.escaped($1))\""
                }
                let labels = pairs.isEmpty ? "" : "{\(pairs.joined(separator: ","))}"
                text += "\(name)\(labels) \(sample.value.number)\n"
            }
        }
    }

    /// What the format asks for: backslash, double quote and line feed.
    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            // The format knows no other escape: a backslash and what JSON would write.
            case _ where !PlainText.isPlain(scalar):
                result += "\\" + PlainText.escaped(String(scalar))
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}

extension MetricValue {
    /// As both pages write it; what is not there is not a number.
    var number: String {
        switch self {
        case .count(let count): "\(count)"
        case .seconds(let interval): Decimal.text(interval.nanoseconds, scale: 9)
        case .ratio(let ratio): "\(ratio)"
        case .none: "NaN"
        }
    }
}

/// Decimal fractions out of integers, exactly.
enum Decimal {
    /// `number` times 10 to the power of minus `scale`, without trailing zeros.
    static func text(_ number: UInt64, scale: Int) -> String {
        var digits = Array(String(number))
        if digits.count <= scale {
            digits.insert(
                contentsOf: String(repeating: "0", count: scale + 1 - digits.count),
                at: 0
            )
        }
        let whole = String(digits.dropLast(scale))
        var fraction = digits.suffix(scale)
        while fraction.last == "0" { fraction.removeLast() }
        return fraction.isEmpty ? whole : "\(whole).\(String(fraction))"
    }
}
