import Glibc
import Primitives
import Synchronization

/// What a running process tells its operator: one line per event on standard error.
///
/// Text lines read `TIME LEVEL EVENT key=value…`; JSON lines are one object with the same keys.
/// Safe to call from every thread. Nothing here is called per packet.
public final class EventLog: Sendable {
    /// How much an operator has to care; the raw value stands in each line.
    public enum Level: String, CaseIterable, Comparable, Sendable {
        /// What only developers ask for, what happened, what is wrong, and what was not done.
        case debug, info, warning, error

        private var rank: Int {
            switch self {
            case .debug: 0
            case .info: 1
            case .warning: 2
            case .error: 3
            }
        }

        /// Whether `a` concerns the operator less.
        public static func < (a: Self, b: Self) -> Bool { a.rank < b.rank }
    }

    /// How lines are written: for people, or one JSON object each (RFC 8259).
    public enum Format: String, CaseIterable, Sendable {
        /// `key=value` pairs, or one JSON object a line.
        case text, json
    }

    /// Keys and values in the order in which a line shows them; values may hold anything.
    public typealias Fields = KeyValuePairs<String, String>

    /// How lines are written.
    public let format: Format
    /// The lowest level that is written.
    public let level: Level
    private let write: @Sendable (String) -> Void
    private let limiter = Mutex(LineLimiter())
    /// What ``once(_:_:about:_:)`` has told of.
    private let told = Mutex<Set<String>>([])

    /// `write` gets each finished line with its line feed; the default is standard error.
    public init(
        format: Format = .text,
        level: Level = .info,
        write: @escaping @Sendable (String) -> Void = EventLog.writeToStandardError
    ) {
        self.format = format
        self.level = level
        self.write = write
    }

    /// Writes a line of level debug.
    public func debug(_ event: String, _ fields: Fields = [:]) { self.log(.debug, event, fields) }
    /// Writes a line of level info.
    public func info(_ event: String, _ fields: Fields = [:]) { self.log(.info, event, fields) }
    /// Writes a line of level warning: something is wrong and the process goes on.
    public func warning(_ event: String, _ fields: Fields = [:]) {
        self.log(.warning, event, fields)
    }
    /// Writes a line of level error: what was asked for is not done.
    public func error(_ event: String, _ fields: Fields = [:]) { self.log(.error, event, fields) }

    /// Writes a line, unless it is below ``level`` or one of too many alike in 10 s.
    public func log(_ level: Level, _ event: String, _ fields: Fields) {
        guard level >= self.level else { return }
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let key = fields.reduce(into: event) { $0 += " \($1.key)=\($1.value)" }
        let verdict = self.limiter.withLock { $0.admit(key, event, second: Int(time.tv_sec)) }
        guard case .write(let suppressed) = verdict else { return }
        var pairs = fields.map { ($0.key, $0.value) }
        if suppressed > 0 { pairs.append(("suppressed", String(suppressed))) }
        let stamp = LogLine.timestamp(time)
        switch self.format {
        case .text: self.write(LogLine.text(stamp, level.rawValue, event, pairs))
        case .json: self.write(LogLine.json(stamp, level.rawValue, event, pairs))
        }
    }

    /// Tells of something the first time it happens to `subject`, one of a few that the
    /// configuration names.
    public func once(_ level: Level, _ event: String, about subject: String, _ fields: Fields) {
        let isNew = self.told.withLock { $0.insert("\(event) \(subject)").inserted }
        if isNew { self.log(level, event, fields) }
    }

    /// One `write(2)` per line, so that lines of two threads do not mix.
    public static let writeToStandardError: @Sendable (String) -> Void = { line in
        var line = line
        line.withUTF8 { _ = Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

/// How an event becomes a line.
enum LogLine {
    /// RFC 3339 in UTC with milliseconds.
    static func timestamp(_ time: timespec) -> String {
        var seconds = time.tv_sec
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let pad = { (value: Int, width: Int) in
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let date = "\(parts.tm_year + 1900)-\(pad(Int(parts.tm_mon) + 1, 2))-"
        let clock = "\(pad(Int(parts.tm_hour), 2)):\(pad(Int(parts.tm_min), 2)):"
        let fraction = "\(pad(Int(parts.tm_sec), 2)).\(pad(time.tv_nsec / 1_000_000, 3))Z"
        return "\(date)\(pad(Int(parts.tm_mday), 2))T\(clock)\(fraction)"
    }

    static func text(
        _ time: String,
        _ level: String,
        _ event: String,
        _ fields: [(String, String)]
    ) -> String {
        var line = "\(time) \(level.uppercased()) \(event)"
        for (key, value) in fields {
            line += needsQuotes(value) ? " \(key)=\(quoted(value))" : " \(key)=\(value)"
        }
        return line + "\n"
    }

    /// ASCII alone: a peer chooses some of these bytes, and terminals obey what they are shown.
    private static func quoted(_ value: String) -> String {
        "\"\(PlainText.escaped(value, asciiOnly: true))\""
    }

    static func json(
        _ time: String,
        _ level: String,
        _ event: String,
        _ fields: [(String, String)]
    ) -> String {
        var line = "{\"time\":\"\(time)\",\"level\":\"\(level)\""
        for (key, value) in [("event", event)] + fields {
            line += ",\"\(PlainText.escaped(key))\":\"\(PlainText.escaped(value))\""
        }
        return line + "}\n"
    }

    /// Whatever is not printable ASCII, and what would end a value or a key for a program.
    private static func needsQuotes(_ value: String) -> Bool {
        value.isEmpty
            || value.utf8.contains { !(33..<127).contains($0) || $0 == 34 || $0 == 61 || $0 == 92 }
    }
}

/// Keeps a storm of events from becoming a storm of lines: five identical lines and a hundred of
/// one event in any ten seconds; the rest are counted and the count is told with the next line.
struct LineLimiter {
    enum Verdict: Equatable {
        case write(suppressed: Int)
        case drop
    }

    private struct Tally {
        var start: Int
        var written = 0
        var suppressed = 0
    }

    private static let window = 10
    private static let identicalLimit = 5
    private static let eventLimit = 100
    private static let memory = 512

    private var lines: [String: Tally] = [:]
    private var events: [String: Tally] = [:]

    mutating func admit(_ line: String, _ event: String, second: Int) -> Verdict {
        if self.lines.count >= Self.memory {
            self.lines = self.lines.filter { second - $0.value.start < Self.window }
            // Still full of fresh lines: forgetting them costs at most some repetition.
            if self.lines.count >= Self.memory { self.lines.removeAll() }
        }
        guard Self.count(&self.events, event, second, Self.eventLimit) != nil else { return .drop }
        guard let suppressed = Self.count(&self.lines, line, second, Self.identicalLimit) else {
            return .drop
        }
        return .write(suppressed: suppressed)
    }

    /// How many were suppressed before this one, or `nil` if it is one more of them.
    private static func count(
        _ tallies: inout [String: Tally],
        _ key: String,
        _ second: Int,
        _ limit: Int
    ) -> Int? {
        var tally = tallies[key] ?? Tally(start: second)
        defer { tallies[key] = tally }
        if second - tally.start >= Self.window || second < tally.start {
            let suppressed = tally.suppressed
            tally = Tally(start: second, written: 1)
            return suppressed
        }
        guard tally.written < limit else {
            tally.suppressed += 1
            return nil
        }
        tally.written += 1
        return 0
    }
}
