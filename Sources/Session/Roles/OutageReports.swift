import Primitives

/// Decides which failures to reach the server are told: the first at once, another kind at once,
/// and the same again while it lasts, ever less often.
struct OutageReports {
    private static let firstPause = Instant.Interval.seconds(5)
    private static let longestPause = Instant.Interval.seconds(60)

    private var last: (failure: ConnectFailure, at: Instant)?
    private var pause = OutageReports.firstPause

    /// Whether `failure` is to be told; every true one makes the next wait longer.
    mutating func isNews(_ failure: ConnectFailure, at now: Instant) -> Bool {
        guard let last = self.last, last.failure == failure else {
            self.last = (failure, now)
            self.pause = Self.firstPause
            return true
        }
        guard now.since(last.at) >= self.pause else { return false }
        self.last = (failure, now)
        self.pause = min(self.pause * 2, Self.longestPause)
        return true
    }

    /// There is a session again.
    mutating func end() { self = Self() }
}
