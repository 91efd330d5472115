/// When a start is over, and whether the queue that ended it was its own.
struct StartWatch: Sendable {
    /// The least of the newest round trips, eight at a time, and how many there were.
    private var recentMinimum: UInt64 = .max
    private var recentCount = 0
    /// Telling rounds in which the bandwidth did not grow.
    private var flatRounds = 0
    /// The queue that ended the start may be somebody else's: then it is still there afterwards.
    private var isInDoubt = false

    /// How much of a queue ends a start, in nanoseconds.
    private static func rise(_ path: PathModel) -> UInt64 {
        min(max(path.minimum / 20, 2_000_000), 8_000_000)
    }

    /// True as soon as eight round trips in a row show a queue (the idea of RFC 9406), not a round
    /// later: by then it would have grown by as much again.
    mutating func sees(queueIn sample: UInt64, _ path: PathModel) -> Bool {
        self.recentMinimum = min(self.recentMinimum, sample)
        self.recentCount += 1
        guard self.recentCount >= 8 else { return false }
        let isQueue =
            path.minimum >= 3_000_000 && self.recentMinimum > path.minimum + Self.rise(path)
            && path.filter.value > 0
        if isQueue { self.isInDoubt = true }
        self.recentMinimum = .max
        self.recentCount = 0
        return isQueue
    }

    /// The bandwidth grew.
    mutating func grew() { self.flatRounds = 0 }

    /// A round of the path's own ended in which the bandwidth did not grow; true if that is enough.
    mutating func isFull(_ path: PathModel) -> Bool {
        self.flatRounds += 1
        let crowded = path.queue > 2 * path.target + path.minimum / 4
        return self.flatRounds >= 3 || (self.flatRounds >= 1 && crowded)
    }

    /// Asked once a start has been drained: true if the queue that ended it is still there.
    mutating func leftQueue(_ path: PathModel) -> Bool {
        guard self.isInDoubt else { return false }
        self.isInDoubt = false
        return path.queue > max(Self.rise(path), path.target)
    }
}
