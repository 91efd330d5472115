public import Primitives

/// The newest small messages of one flow, and when which of them go out again.
///
/// Contract: tell it every datagram with ``sent(_:_:at:)``; when ``deadline`` has come, take
/// batches with ``nextBatch(at:)`` until `nil`. Without a plan it keeps nothing.
///
/// Memory is ``messageCapacity`` messages of ``messageByteLimit``, taken at the start: make one for
/// a flow when it gets its first plan. No call allocates. A flow faster than that ring (about 300
/// messages a second) loses copies of the oldest messages, and belongs to the sliding window.
public final class CopySchedule {
    /// A larger message is not copied: one repair is cheaper than its copies.
    public static let messageByteLimit = 400
    /// Messages remembered.
    public static let messageCapacity = 16
    /// A message older than this is of no use to an interactive flow.
    public static let ageLimit = Instant.Interval.milliseconds(150)

    struct Entry {
        var number: UInt32
        var byteCount: Int
        var sentAt: Instant
    }

    private var entries: IndexedRing<Entry>
    private let bytes: UnsafeMutableRawPointer
    /// The index after the newest message.
    private var end: UInt64 = 0
    /// For each copy, the first message it has not followed yet.
    private var next: (UInt64, UInt64) = (0, 0)
    /// How messages are copied; `nil` for not at all.
    public private(set) var plan: CopyPlan?

    public init() {
        self.entries = IndexedRing(capacity: Self.messageCapacity)
        self.bytes = .allocate(
            byteCount: Self.messageCapacity * Self.messageByteLimit,
            alignment: 16
        )
    }

    deinit { self.bytes.deallocate() }

    /// Changes the plan; copies that are due by the old one and not yet sent follow the new one.
    public func follow(_ plan: CopyPlan?) {
        if self.plan == nil || plan == nil { self.next = (self.end, self.end) }
        if (self.plan?.copies ?? 0) < 2 { self.next.1 = self.end }
        self.plan = plan
    }

    /// A datagram went out.
    public func sent(_ number: UInt32, _ message: UnsafeRawBufferPointer, at now: Instant) {
        guard self.plan != nil, message.count <= Self.messageByteLimit else { return }
        self.entries[self.end] = Entry(number: number, byteCount: message.count, sentAt: now)
        if let source = message.baseAddress {
            self.place(self.end).copyMemory(from: source, byteCount: message.count)
        }
        self.end += 1
        // What the ring has lost cannot be copied any more.
        self.next.0 = max(self.next.0, self.start)
        self.next.1 = max(self.next.1, self.start)
    }

    /// When the next copy is due; ``Instant/never`` if none is.
    public var deadline: Instant {
        guard let plan = self.plan else { return .never }
        let first = self.due(self.next.0, after: plan.firstDelay)
        return plan.copies < 2 ? first : min(first, self.due(self.next.1, after: plan.secondDelay))
    }

    /// What the next copy packet carries; `nil` when nothing is due.
    ///
    /// Messages that fell due together share a packet as far as the plan lets them.
    public func nextBatch(at now: Instant) -> CopyBatch? {
        guard let plan = self.plan else { return nil }
        for copy in 0..<plan.copies {
            let first = copy == 0 ? self.next.0 : self.next.1
            let delay = plan.delay(copy)
            var last = first
            let limit = min(self.end, first + UInt64(plan.messages))
            while last < limit, self.due(last, after: delay) <= now { last += 1 }
            guard last > first else { continue }
            if copy == 0 { self.next.0 = last } else { self.next.1 = last }
            let reach = last - min(last, UInt64(plan.messages))
            var oldest = max(self.start, reach)
            while oldest < first, self.entries[oldest].sentAt + Self.ageLimit < now { oldest += 1 }
            return CopyBatch(schedule: self, first: oldest, count: Int(last - oldest))
        }
        return nil
    }

    private var start: UInt64 { self.end - min(self.end, UInt64(Self.messageCapacity)) }

    private func due(_ index: UInt64, after delay: Instant.Interval) -> Instant {
        index < self.end ? self.entries[index].sentAt + delay : .never
    }

    private func place(_ index: UInt64) -> UnsafeMutableRawPointer {
        self.bytes + Int(index % UInt64(Self.messageCapacity)) * Self.messageByteLimit
    }

    func message(_ index: UInt64) -> (number: UInt32, bytes: UnsafeRawBufferPointer) {
        let entry = self.entries[index]
        return (
            entry.number,
            UnsafeRawBufferPointer(start: self.place(index), count: entry.byteCount)
        )
    }
}
