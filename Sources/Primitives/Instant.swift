/// A point on the monotonic timeline an engine is driven with, counted in nanoseconds.
///
/// The core never asks anybody what time it is. Whoever calls it says so, which is what lets a
/// simulated minute pass in a millisecond, and lets a failing run be repeated bit for bit.
@frozen
public struct Instant: Hashable, Comparable, Sendable {
    public var nanoseconds: UInt64

    @inlinable
    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// Later than every instant that will ever be reached: "no deadline".
    @inlinable
    public static var never: Self { Self(nanoseconds: .max) }

    @inlinable
    public static func < (a: Self, b: Self) -> Bool { a.nanoseconds < b.nanoseconds }

    /// Saturates at ``never``.
    @inlinable
    public static func + (a: Self, b: Interval) -> Self {
        let (sum, overflow) = a.nanoseconds.addingReportingOverflow(b.nanoseconds)
        return Self(nanoseconds: overflow ? .max : sum)
    }

    /// Not before the beginning of time.
    @inlinable
    public static func - (a: Self, b: Interval) -> Self {
        Self(nanoseconds: a.nanoseconds - min(a.nanoseconds, b.nanoseconds))
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    @inlinable
    public func since(_ earlier: Self) -> Interval {
        Interval(nanoseconds: self < earlier ? 0 : self.nanoseconds - earlier.nanoseconds)
    }

    /// A length of time that cannot be negative.
    @frozen
    public struct Interval: Hashable, Comparable, Sendable {
        public var nanoseconds: UInt64

        @inlinable
        public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

        @inlinable
        public static var zero: Self { Self(nanoseconds: 0) }

        @inlinable
        public static func seconds(_ count: UInt64) -> Self {
            Self(nanoseconds: count * 1_000_000_000)
        }

        @inlinable
        public static func milliseconds(_ count: UInt64) -> Self {
            Self(nanoseconds: count * 1_000_000)
        }

        @inlinable
        public static func microseconds(_ count: UInt64) -> Self {
            Self(nanoseconds: count * 1_000)
        }

        /// Whole milliseconds, rounded down.
        @inlinable
        public var milliseconds: UInt64 { self.nanoseconds / 1_000_000 }

        /// Whole microseconds, rounded down.
        @inlinable
        public var microseconds: UInt64 { self.nanoseconds / 1_000 }

        @inlinable
        public static func < (a: Self, b: Self) -> Bool { a.nanoseconds < b.nanoseconds }

        /// Ends at the longest interval there is.
        @inlinable
        public static func + (a: Self, b: Self) -> Self {
            let (sum, overflow) = a.nanoseconds.addingReportingOverflow(b.nanoseconds)
            return Self(nanoseconds: overflow ? .max : sum)
        }

        /// Zero where `b` is the longer one.
        @inlinable
        public static func - (a: Self, b: Self) -> Self {
            Self(nanoseconds: a < b ? 0 : a.nanoseconds &- b.nanoseconds)
        }

        /// Ends at the longest interval there is.
        @inlinable
        public static func * (a: Self, times: UInt64) -> Self {
            let (product, overflow) = a.nanoseconds.multipliedReportingOverflow(by: times)
            return Self(nanoseconds: overflow ? .max : product)
        }

        @inlinable
        public static func / (a: Self, parts: UInt64) -> Self {
            Self(nanoseconds: a.nanoseconds / parts)
        }
    }
}
