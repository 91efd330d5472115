/// The round trip and the timeout made of it, in ms (`ikcp_update_ack`).
struct StandaloneTiming {
    private static let longest = 60_000

    private(set) var smoothed = 0
    private var variation = 0
    private var base = 200
    private let shortest: Int
    private let interval: Int
    private let noDelay: Int

    init(_ settings: StandaloneSettings) {
        self.shortest = settings.noDelay == 0 ? 100 : 30
        self.interval = settings.interval
        self.noDelay = settings.noDelay
    }

    mutating func sample(_ roundTrip: Int) {
        let roundTrip = min(max(roundTrip, 0), Self.longest)
        if self.smoothed == 0 {
            self.smoothed = max(1, roundTrip)
            self.variation = roundTrip / 2
        } else {
            self.variation = (3 * self.variation + abs(roundTrip - self.smoothed)) / 4
            self.smoothed = max(1, (7 * self.smoothed + roundTrip) / 8)
        }
        let timeout = self.smoothed + max(self.interval, 4 * self.variation)
        self.base = min(max(self.shortest, timeout), Self.longest)
    }

    /// The timeout of a segment that timed out so many times already.
    ///
    /// Computed from the newest estimate rather than stored with the segment, so that segments that
    /// timed out equally often expire in the order in which they were sent.
    func timeout(after timeouts: Int) -> UInt64 {
        var timeout = self.base
        if self.noDelay == 0, timeouts == 0 { timeout += self.base / 8 }
        for _ in 0..<timeouts where timeout < Self.longest {
            switch self.noDelay {
            case 0: timeout += timeout
            case 1: timeout += timeout / 2
            default: timeout += self.base / 2
            }
        }
        return UInt64(min(timeout, Self.longest))
    }
}

/// How many later transmissions arrived: the evidence on which a segment counts as lost.
///
/// Keeps the numbers of the `resend` latest transmissions known to have arrived. Whatever was sent
/// before the oldest of them has been overtaken `resend` times. Counting transmissions, not serials
/// (as RFC 8985 does), finds the loss of a retransmission too.
struct StandaloneEvidence {
    private var latest: [UInt64]

    init(threshold: Int) { self.latest = Array(repeating: 0, count: threshold) }

    /// Everything in flight with a smaller number is lost; 0 while nothing can be said.
    var boundary: UInt64 { self.latest.last ?? 0 }

    /// O(threshold), which is at most 32.
    mutating func arrived(_ transmission: UInt64) {
        guard transmission > self.boundary, !self.latest.isEmpty else { return }
        var place = self.latest.count - 1
        while place > 0, self.latest[place - 1] < transmission {
            self.latest[place] = self.latest[place - 1]
            place -= 1
        }
        self.latest[place] = transmission
    }
}

/// `cwnd` (`nc` = 0), in segments.
///
/// The reactions are those of ikcp.c: half the flight on a fast resend, one segment on a timeout.
/// Growth is counted per segment and not per datagram, it begins as slow start (RFC 5681 §3.1), and
/// one round trip's losses are one event: in the reference each of the three is otherwise, which
/// leaves a path without any loss nearly idle.
struct StandaloneCongestion {
    private(set) var window = 1
    private var threshold: Int
    private var partial = 0
    /// Losses before this serial belong to an event already answered.
    private var recoveryEnd: UInt32
    private let limit: Int
    private let fastResend: Int

    init(_ settings: StandaloneSettings) {
        self.threshold = settings.sendWindow
        self.limit = settings.sendWindow
        self.fastResend = settings.fastResend
        self.recoveryEnd = settings.firstSerial
    }

    mutating func acknowledged(_ count: Int) {
        let slowStart = min(count, max(0, self.threshold - self.window))
        self.window += slowStart
        self.partial += count - slowStart
        if self.partial >= self.window {
            self.partial -= self.window
            self.window += 1
        }
        self.partial = min(self.partial, self.window)
        self.window = min(self.window, self.limit)
    }

    mutating func lost(_ serial: UInt32, inFlight: Int, next: UInt32) {
        guard Int32(bitPattern: serial &- self.recoveryEnd) >= 0 else { return }
        self.recoveryEnd = next
        self.threshold = max(inFlight / 2, 2)
        self.window = min(self.threshold + self.fastResend, self.limit)
        self.partial = 0
    }

    mutating func timedOut(_ serial: UInt32, next: UInt32) {
        if Int32(bitPattern: serial &- self.recoveryEnd) >= 0 {
            self.recoveryEnd = next
            self.threshold = max(self.window / 2, 2)
        }
        self.window = 1
        self.partial = 0
    }
}
