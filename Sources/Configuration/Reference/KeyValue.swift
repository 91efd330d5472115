public import Primitives

/// What may be written for a key; the readers take their bounds and their words from it.
public enum KeyValue: Sendable {
    /// A word that may be written, and what it means.
    public struct Word: Sendable {
        /// The word as it is written.
        public let name: String
        /// What it means, as a clause.
        public let meaning: String

        init(_ name: String, _ meaning: String) {
            self.name = name
            self.meaning = meaning
        }
    }

    /// `true` or `false`.
    case boolean
    /// A number of `unit`.
    case integer(ClosedRange<Int>, unit: String)
    /// The word `auto`, or a number of `unit`.
    case automaticOrInteger(ClosedRange<Int>, unit: String)
    /// A string of a number and `ms`, `s`, `m` or `h`, within these bounds.
    case duration(ClosedRange<Instant.Interval>)
    /// In bytes.
    case size(ClosedRange<Int>)
    /// In bits a second.
    case rate(ClosedRange<UInt64>)
    /// One of these words.
    case words([Word])
    /// A string of this form.
    case text(String)
    /// A string of this form, or a list of such.
    case textOrList(String)
    /// A list of strings, each of the form `each`.
    case list(each: String)
    /// A list whose elements the reader of `backends` takes apart.
    case backends(String)
    /// An RFC 3339 date-time, as a string or TOML's own.
    case moment
    /// One table, such as this.
    case table(KeyPlace, String)
    /// Tables under `[[…]]`.
    case tables(KeyPlace)

    /// What a message says was expected, and what the reference says may be written.
    var expected: String {
        switch self {
        case .boolean: "true or false"
        case .integer(let range, _):
            "an integer from \(range.lowerBound) to \(range.upperBound)"
        case .automaticOrInteger(let range, let unit):
            "\"auto\" or the \(unit), \(range.lowerBound) to \(range.upperBound)"
        case .duration(let range):
            "a duration from \(Units.text(range.lowerBound)) to \(Units.text(range.upperBound))"
                + " (integer and ms, s, m or h)"
        case .size(let range):
            "a size from \(Units.text(byteCount: range.lowerBound)) to"
                + " \(Units.text(byteCount: range.upperBound)) (number and KiB, MiB, GiB, kB, MB"
                + " or GB)"
        case .rate(let range):
            "a rate from \(Units.text(bitsPerSecond: range.lowerBound)) to"
                + " \(Units.text(bitsPerSecond: range.upperBound)) (number and kbps, mbps or gbps)"
        case .words(let words): Section.either(words.map(\.name))
        case .text(let form): form
        case .textOrList(let form): "\(form), or a list of such"
        case .list(let form): "a list, each \(form)"
        case .backends(let form): form
        case .moment: "a date and time with its offset, such as 2027-01-31T18:00:00Z"
        case .table(_, let form): form
        case .tables(let place): "tables, each under \(place.title)"
        }
    }

    /// What one element of it has to be; the same as ``expected`` where there are no elements.
    var element: String {
        switch self {
        case .textOrList(let form), .list(let form): form
        default: self.expected
        }
    }

    /// The unit that a bare number counts; `nil` where the value says its unit itself.
    var unit: String? {
        switch self {
        case .integer(_, let unit), .automaticOrInteger(_, let unit): unit
        default: nil
        }
    }
}
