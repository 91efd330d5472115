import Glibc
import TOMLKit

/// A moment of the calendar, in whole seconds since 1970 in UTC.
public struct WallTime: Hashable, Comparable, Sendable {
    /// Seconds since 1970-01-01T00:00:00Z, leap seconds left out, as time(2) counts them.
    public let secondsSince1970: Int

    /// The moment so many seconds after 1970 began, or before where negative.
    public init(secondsSince1970: Int) { self.secondsSince1970 = secondsSince1970 }

    /// What the machine's clock says.
    public static func now() -> Self { Self(secondsSince1970: time(nil)) }

    /// Whether `a` is earlier than `b`.
    public static func < (a: Self, b: Self) -> Bool { a.secondsSince1970 < b.secondsSince1970 }
}

extension WallTime {
    /// Reads an RFC 3339 date-time such as `2027-01-31T18:00:00Z`, which TOML 1.0 takes as it is.
    init?(_ text: String) {
        let isAllowed = text.utf8.allSatisfy {
            (48...57).contains($0) || "-:.+TtZz ".utf8.contains($0)
        }
        guard isAllowed, let table = try? TOMLTable(string: "moment = \(text)"),
            let moment = table["moment"]?.dateTime
        else { return nil }
        self.init(moment)
    }

    /// `nil` for a local time, which means another moment in each place.
    init?(_ moment: TOMLDateTime) {
        guard let offset = moment.offset else { return nil }
        var parts = unsafe tm()
        unsafe parts.tm_year = Int32(moment.date.year - 1900)
        unsafe parts.tm_mon = Int32(moment.date.month - 1)
        unsafe parts.tm_mday = Int32(moment.date.day)
        unsafe parts.tm_hour = Int32(moment.time.hour)
        unsafe parts.tm_min = Int32(moment.time.minute)
        unsafe parts.tm_sec = Int32(moment.time.second)
        unsafe self.init(secondsSince1970: timegm(&parts) - offset.offset * 60)
    }
}
