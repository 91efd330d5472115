/// The acknowledgements waiting to be sent: a ring that forgets the oldest when it is full.
struct StandaloneAcknowledgements {
    struct Entry {
        var serial: UInt32
        var timestamp: UInt32
    }

    private static let mostRepetitions: UInt64 = 32

    private var entries: [Entry]
    private let mask: UInt64
    /// Counts of entries ever added, ever sent, and sent before the last flush and the one before.
    private var added: UInt64 = 0
    private var sent: UInt64 = 0
    private var flushStart: UInt64 = 0
    private var previousStart: UInt64 = 0
    private var repeated: UInt64 = 0

    init(window: Int) {
        var capacity = 128
        while capacity < 2 * window { capacity *= 2 }
        self.entries = Array(repeating: Entry(serial: 0, timestamp: 0), count: capacity)
        self.mask = UInt64(capacity - 1)
    }

    var isEmpty: Bool { self.sent == self.added }

    mutating func append(serial: UInt32, timestamp: UInt32) {
        self.entries[Int(self.added & self.mask)] = Entry(serial: serial, timestamp: timestamp)
        self.added += 1
        // What is forgotten here is known through `una`, or sent again by the peer.
        if self.added - self.sent > UInt64(self.entries.count) {
            self.sent = self.added - UInt64(self.entries.count)
        }
    }

    mutating func beginFlush() {
        guard !self.isEmpty else { return }
        self.previousStart = self.flushStart
        self.flushStart = self.sent
        self.repeated = max(
            self.previousStart,
            self.flushStart - min(self.flushStart, Self.mostRepetitions)
        )
    }

    /// The next one worth sending: what lies before `una` says nothing but its time of sending, so
    /// only the last of those goes out.
    mutating func next(after una: UInt32) -> Entry? {
        while self.sent < self.added {
            let entry = self.entries[Int(self.sent & self.mask)]
            self.sent += 1
            let isAhead = Int32(bitPattern: entry.serial &- una) >= 0
            if isAhead || self.sent == self.added { return entry }
        }
        return nil
    }

    /// One sent by the flush before this one that still says something `una` does not.
    mutating func nextRepetition(after una: UInt32) -> Entry? {
        while self.repeated < self.flushStart {
            let entry = self.entries[Int(self.repeated & self.mask)]
            self.repeated += 1
            if Int32(bitPattern: entry.serial &- una) >= 0 { return entry }
        }
        return nil
    }
}
