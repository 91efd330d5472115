import Erasure
import Primitives

/// When which small segments of message streams go out once more.
///
/// A lost message of a stream costs its reader, and every message behind it, a round trip and
/// more; a copy some milliseconds later costs a hundred bytes. Entries whose segment has been
/// acknowledged meanwhile die when their time comes.
struct SegmentCopies: ~Copyable {
    struct Entry: BitwiseCopyable {
        /// When it leaves at the latest, and from when on it may ride along.
        var dueAt: Instant
        var readyAt: Instant
        var slot: UInt32
        var conversation: UInt32
        var number: UInt32
    }

    static let segmentByteLimit = CopySchedule.messageByteLimit
    /// Of all streams of a session together, in bits per second.
    private static let budget: UInt64 = 2_000_000
    private static let capacity: UInt64 = 256

    /// Entries in the order in which they fall due; the oldest gives way when it is full.
    private struct Line: ~Copyable {
        private var ring = IndexedRing<Entry>(capacity: Int(capacity))
        private var head: UInt64 = 0
        private var tail: UInt64 = 0

        init() {}

        var deadline: Instant { self.head == self.tail ? .never : self.ring[self.head].dueAt }
        var earliest: Instant { self.head == self.tail ? .never : self.ring[self.head].readyAt }

        mutating func append(_ entry: Entry) {
            assert(entry.readyAt <= entry.dueAt, "due before it is ready")
            self.ring[self.tail] = entry
            self.tail += 1
            if self.tail - self.head > SegmentCopies.capacity { self.head += 1 }
            assert(self.head < self.tail && self.tail - self.head <= SegmentCopies.capacity)
        }

        mutating func next(at now: Instant) -> Entry? {
            guard self.earliest <= now else { return nil }
            defer { self.head += 1 }
            return self.ring[self.head]
        }
    }

    /// One for each copy of a plan.
    private var first = Line()
    private var second = Line()
    private var third = Line()
    private var traffic = FlowTraffic()
    private var controller: RedundancyController
    private var budget: ByteBudget
    private var checkedAt = Instant(nanoseconds: 0)

    init(level: RedundancyLevel, at now: Instant) {
        self.controller = RedundancyController(
            kind: .interactive,
            level: level,
            budget: Self.budget,
            hasRetransmission: true,
            isOrdered: true
        )
        self.budget = ByteBudget(bitsPerSecond: Self.budget, at: now)
    }

    var deadline: Instant {
        min(min(self.first.deadline, self.second.deadline), self.third.deadline)
    }

    /// From when on a copy may ride along in a packet that leaves anyway.
    var earliest: Instant {
        min(min(self.first.earliest, self.second.earliest), self.third.earliest)
    }

    /// A small segment went out for the first time.
    mutating func sent(
        _ entry: Entry,
        byteCount: Int,
        watch: borrowing LossWatch,
        roundTrip: Instant.Interval,
        at now: Instant
    ) {
        self.traffic.sent(byteCount: byteCount, at: now)
        guard watch.hasSeenLoss else { return }
        if now.since(self.checkedAt) >= .milliseconds(100) {
            self.checkedAt = now
            self.controller.update(
                watch.report,
                traffic: self.traffic,
                roundTrip: roundTrip,
                at: now
            )
        }
        guard case .copies(let plan) = self.controller.plan else { return }
        self.first.append(Self.copy(0, of: entry, plan, at: now))
        if plan.copies > 1 { self.second.append(Self.copy(1, of: entry, plan, at: now)) }
        if plan.copies > 2 { self.third.append(Self.copy(2, of: entry, plan, at: now)) }
    }

    private static func copy(
        _ copy: Int,
        of entry: Entry,
        _ plan: CopyPlan,
        at now: Instant
    ) -> Entry {
        var entry = entry
        entry.dueAt = now + plan.latest(copy)
        entry.readyAt = now + plan.earliest(copy)
        return entry
    }

    /// The next copy that may leave now.
    mutating func next(at now: Instant) -> Entry? {
        if let entry = self.first.next(at: now) { return entry }
        return self.second.next(at: now) ?? self.third.next(at: now)
    }

    mutating func spend(_ byteCount: Int, at now: Instant) -> Bool {
        self.budget.take(byteCount, at: now)
    }
}
