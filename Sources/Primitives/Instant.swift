/// A point on the monotonic timeline an engine is driven with, counted in nanoseconds.
///
/// The core never asks anybody what time it is. Whoever calls it says so, which is what lets a
/// simulated minute pass in a millisecond, and lets a failing run be repeated bit for bit.
@frozen
public struct Instant: Hashable, Comparable, Sendable {
    /// Nanoseconds since an origin that the driver chose; only differences mean anything.
    public var nanoseconds: UInt64

    /// The instant `nanoseconds` after the driver's origin.
    @inlinable
    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// Later than every instant that will ever be reached: "no deadline".
    @inlinable
    public static var never: Self { Self(nanoseconds: .max) }

    /// Whether `a` is earlier than `b`.
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
        /// The whole length in nanoseconds, up to 584 years.
        public var nanoseconds: UInt64

        /// A length of `nanoseconds`.
        @inlinable
        public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

        /// No time at all.
        @inlinable
        public static var zero: Self { Self(nanoseconds: 0) }

        /// A length of `count` seconds; traps beyond 2^64 nanoseconds, so it is for constants.
        @inlinable
        public static func seconds(_ count: UInt64) -> Self {
            Self(nanoseconds: count * 1_000_000_000)
        }

        /// A length of `count` milliseconds; traps beyond 2^64 nanoseconds.
        @inlinable
        public static func milliseconds(_ count: UInt64) -> Self {
            Self(nanoseconds: count * 1_000_000)
        }

        /// A length of `count` microseconds; traps beyond 2^64 nanoseconds.
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

        /// Whether `a` is the shorter one.
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

        /// One of `parts` equal parts, rounded down to a nanosecond; traps where `parts` is 0.
        @inlinable
        public static func / (a: Self, parts: UInt64) -> Self {
            Self(nanoseconds: a.nanoseconds / parts)
        }
    }
}
