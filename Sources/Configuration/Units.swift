public import Primitives

/// The units a configuration file is written in, read and written back.
///
/// Durations: integer + `ms|s|m|h`. Rates: number + `kbps|mbps|gbps` in powers of 1000 bit/s.
/// Sizes: number + `KiB|MiB|GiB|kB|MB|GB`. Spaces between number and unit are optional.
public enum Units {
    /// Reads `150ms`, `10 s`, `2m` or `1h`; `nil` for anything else or more than a year.
    public static func duration(_ text: String) -> Instant.Interval? {
        guard let (number, unit) = Self.split(text), !number.contains("."),
            let count = UInt64(number)
        else { return nil }
        let milliseconds: UInt64
        switch unit {
        case "ms": milliseconds = 1
        case "s": milliseconds = 1_000
        case "m": milliseconds = 60_000
        case "h": milliseconds = 3_600_000
        default: return nil
        }
        let (total, overflow) = count.multipliedReportingOverflow(by: milliseconds)
        guard !overflow, total <= Self.longestMilliseconds else { return nil }
        return .milliseconds(total)
    }

    /// Reads `50 mbps` or `1.5gbps` as bits per second; `nil` for anything else.
    public static func rate(_ text: String) -> UInt64? {
        guard let (number, unit) = Self.split(text) else { return nil }
        switch unit.lowercased() {
        case "kbps": return Self.scaled(number, by: 1_000)
        case "mbps": return Self.scaled(number, by: 1_000_000)
        case "gbps": return Self.scaled(number, by: 1_000_000_000)
        default: return nil
        }
    }

    /// Reads `4 MiB` or `64kB` as bytes; `nil` for anything else.
    public static func size(_ text: String) -> Int? {
        guard let (number, unit) = Self.split(text) else { return nil }
        let bytes: UInt64?
        switch unit {
        case "KiB": bytes = Self.scaled(number, by: 1 << 10)
        case "MiB": bytes = Self.scaled(number, by: 1 << 20)
        case "GiB": bytes = Self.scaled(number, by: 1 << 30)
        case "kB": bytes = Self.scaled(number, by: 1_000)
        case "MB": bytes = Self.scaled(number, by: 1_000_000)
        case "GB": bytes = Self.scaled(number, by: 1_000_000_000)
        default: return nil
        }
        return bytes.flatMap { Int(exactly: $0) }
    }

    /// The shortest exact way to write `interval`, for messages.
    public static func text(_ interval: Instant.Interval) -> String {
        let milliseconds = interval.milliseconds
        if milliseconds == 0 || milliseconds % 1_000 != 0 { return "\(milliseconds)ms" }
        if milliseconds % 3_600_000 == 0 { return "\(milliseconds / 3_600_000)h" }
        if milliseconds % 60_000 == 0 { return "\(milliseconds / 60_000)m" }
        return "\(milliseconds / 1_000)s"
    }

    /// The shortest exact way to write a byte count in powers of 1024, for messages.
    public static func text(byteCount: Int) -> String {
        for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)]
        where byteCount != 0 && byteCount % (1 << shift) == 0 {
            return "\(byteCount >> shift) \(unit)"
        }
        return "\(byteCount) bytes"
    }

    /// The shortest exact way to write a rate, for messages.
    public static func text(bitsPerSecond rate: UInt64) -> String {
        for (unit, factor) in [("gbps", 1_000_000_000), ("mbps", 1_000_000)] as [(String, UInt64)]
        where rate != 0 && rate % factor == 0 {
            return "\(rate / factor) \(unit)"
        }
        return rate % 1_000 == 0 ? "\(rate / 1_000) kbps" : "\(rate) bit/s"
    }

    private static let longestMilliseconds: UInt64 = 366 * 24 * 3_600_000

    /// Cuts `12.5 mbps` into digits and letters.
    private static func split(_ text: String) -> (number: String, unit: String)? {
        let isDigit = { (byte: UInt8) in (48...57).contains(byte) || byte == 46 }
        let digits = text.utf8.prefix(while: isDigit)
        guard let number = String(digits), !number.isEmpty,
            let rest = String(text.utf8.dropFirst(digits.count).drop { $0 == 32 }), !rest.isEmpty
        else { return nil }
        return (number, rest)
    }

    /// `12.5` times `unit` in integer arithmetic, so that no rate is a rounding error away.
    private static func scaled(_ number: String, by unit: UInt64) -> UInt64? {
        let parts = number.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count <= 2, let first = parts.first, let whole = UInt64(first) else {
            return nil
        }
        let (product, overflow) = whole.multipliedReportingOverflow(by: unit)
        guard !overflow else { return nil }
        guard parts.count == 2 else { return product }
        guard let fraction = UInt64(parts[1]), (1...9).contains(parts[1].utf8.count) else {
            return nil
        }
        var divisor: UInt64 = 1
        for _ in parts[1].utf8 { divisor *= 10 }
        // At most 10^9 * 2^30: it fits.
        let (sum, tooBig) = product.addingReportingOverflow(fraction * unit / divisor)
        return tooBig ? nil : sum
    }
}
