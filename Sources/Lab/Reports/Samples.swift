import Glibc

/// Measured values and their quantiles.
public struct Samples: Sendable {
    /// In ascending order.
    public let sorted: [Double]

    /// Sorts `values`; they have to be numbers, not NaN.
    public init(_ values: [Double]) { self.sorted = values.sorted() }

    /// How many values there are.
    public var count: Int { self.sorted.count }

    /// The smallest value that at least the given share of all values do not exceed (nearest rank);
    /// `nil` when there are no values.
    ///
    /// - Parameter share: in 0...1.
    public func quantile(_ share: Double) -> Double? {
        precondition((0...1).contains(share))
        guard !self.sorted.isEmpty else { return nil }
        let rank = Int((share * Double(self.count)).rounded(.up))
        return self.sorted[min(max(rank, 1), self.count) - 1]
    }

    /// The middle value, or the mean of the two in the middle; `nil` when there are no values.
    public var median: Double? {
        guard !self.sorted.isEmpty else { return nil }
        let middle = self.count / 2
        if self.count % 2 == 1 { return self.sorted[middle] }
        return (self.sorted[middle - 1] + self.sorted[middle]) / 2
    }
}

/// Numbers as texts of a fixed number of decimals, without a locale.
public enum Decimal {
    /// `value` with `places` decimals, rounded half up in magnitude; a dash for what is not finite.
    public static func text(_ value: Double, _ places: Int = 1) -> String {
        guard value.isFinite else { return "–" }
        var factor = 1.0
        for _ in 0..<places { factor *= 10 }
        let scaled = (value.magnitude * factor).rounded()
        guard scaled < 9e15 else { return "\(value)" }
        let whole = Int(scaled)
        let sign = value < 0 && whole > 0 ? "-" : ""
        guard places > 0 else { return "\(sign)\(whole)" }
        let digits = String(whole)
        let padded = String(repeating: "0", count: max(0, places + 1 - digits.count)) + digits
        return "\(sign)\(padded.dropLast(places)).\(padded.suffix(places))"
    }

    /// A dash where there is no value.
    public static func text(_ value: Double?, _ places: Int = 1) -> String {
        value.map { self.text($0, places) } ?? "–"
    }
}

/// How late something was, in steps of 5 µs up to 100 ms.
struct LatenessHistogram: Sendable {
    private var buckets = [UInt32](repeating: 0, count: 20_000)
    private(set) var count = 0
    private(set) var maximumMicroseconds: UInt64 = 0

    mutating func add(microseconds: UInt64) {
        self.buckets[min(Int(clamping: microseconds / 5), self.buckets.count - 1)] += 1
        self.count += 1
        self.maximumMicroseconds = max(self.maximumMicroseconds, microseconds)
    }

    /// The upper edge of the bucket that holds the quantile.
    func quantileMicroseconds(_ share: Double) -> Double {
        var rest = Int((share * Double(self.count)).rounded(.up))
        for (index, bucket) in self.buckets.enumerated() {
            rest -= Int(bucket)
            if rest <= 0 { return Double(index + 1) * 5 }
        }
        return Double(self.buckets.count) * 5
    }
}
