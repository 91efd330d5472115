import Erasure
import Primitives

/// When which small segments of message streams go out once more.
///
/// A lost message of a stream costs its reader a round trip and more; a copy some milliseconds
/// later costs a hundred bytes. Entries whose segment has been acknowledged meanwhile die when
/// their time comes.
struct SegmentCopies: ~Copyable {
    struct Entry: BitwiseCopyable {
        var dueAt: Instant
        var slot: UInt32
        var conversation: UInt32
        var number: UInt32
    }

    static let segmentByteLimit = CopySchedule.messageByteLimit
    private static let budget: UInt64 = 500_000
    private static let capacity: UInt64 = 256

    /// Entries in the order in which they fall due; the oldest gives way when it is full.
    private struct Line: ~Copyable {
        private var ring = IndexedRing<Entry>(capacity: Int(capacity))
        private var head: UInt64 = 0
        private var tail: UInt64 = 0

        init() {}

        var deadline: Instant { self.head == self.tail ? .never : self.ring[self.head].dueAt }

        mutating func append(_ entry: Entry) {
            self.ring[self.tail] = entry
            self.tail += 1
            if self.tail - self.head > SegmentCopies.capacity { self.head += 1 }
        }

        mutating func next(at now: Instant) -> Entry? {
            guard self.deadline <= now else { return nil }
            defer { self.head += 1 }
            return self.ring[self.head]
        }
    }

    private var first = Line()
    private var second = Line()
    private var traffic = FlowTraffic()
    private var controller: RedundancyController
    private var budget: ByteBudget
    private var checkedAt = Instant(nanoseconds: 0)

    init(level: RedundancyLevel, at now: Instant) {
        self.controller = RedundancyController(
            kind: .interactive,
            level: level,
            budget: Self.budget,
            hasRetransmission: true
        )
        self.budget = ByteBudget(bitsPerSecond: Self.budget, at: now)
    }

    /// Segments, counted back from a copied one, that its copy carries too.
    var messages: Int {
        if case .copies(let plan) = self.controller.plan { plan.messages } else { 1 }
    }

    var deadline: Instant { min(self.first.deadline, self.second.deadline) }

    /// A small segment went out for the first time.
    mutating func sent(
        _ entry: Entry,
        byteCount: Int,
        watch: LossWatch,
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
        var entry = entry
        entry.dueAt = now + plan.firstDelay
        self.first.append(entry)
        guard plan.copies > 1 else { return }
        entry.dueAt = now + plan.secondDelay
        self.second.append(entry)
    }

    /// The next copy that is due.
    mutating func next(at now: Instant) -> Entry? {
        if let entry = self.first.next(at: now) { return entry }
        return self.second.next(at: now)
    }

    mutating func spend(_ byteCount: Int, at now: Instant) -> Bool {
        self.budget.take(byteCount, at: now)
    }
}
