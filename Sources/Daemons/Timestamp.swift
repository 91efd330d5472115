import Glibc

/// Moments as RFC 3339 writes them, in UTC and whole seconds.
public enum Timestamp {
    /// The present moment.
    public static func now() -> String { self.text(time(nil)) }

    /// A moment that the clock of the world gives.
    public static func text(_ secondsSince1970: Int) -> String {
        var seconds = secondsSince1970
        var parts = tm()
        gmtime_r(&seconds, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let count = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
