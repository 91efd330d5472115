public import Primitives

/// The newest small messages of one flow, and when which of them go out again.
///
/// Contract: tell it every datagram with ``sent(_:_:at:)`` and which of them have arrived with
/// ``acknowledged(_:)``; when ``deadline`` has come, or a packet leaves anyway after
/// ``earliest``, take batches with ``nextBatch(at:)`` until `nil`. Without a plan it keeps nothing.
///
/// Memory is ``messageCapacity`` messages of ``messageByteLimit``, taken at the start: make one for
/// a flow when it gets its first plan. No call allocates. A flow that sends more than the ring
/// holds before its copies are due loses copies of the oldest messages.
public final class CopySchedule {
    /// A larger message is not copied: one repair is cheaper than its copies.
    public static let messageByteLimit = 400
    /// Messages remembered.
    public static let messageCapacity = 32

    struct Entry {
        var number: UInt32
        var byteCount: Int32
        var isAcknowledged: Bool
        var sentAt: Instant
    }

    private var entries: IndexedRing<Entry>
    private let bytes: UnsafeMutableRawPointer
    /// The index after the newest message.
    private var end: UInt64 = 0
    /// For each copy, the first message it has not followed yet.
    private var next = SIMD4<UInt64>(repeating: 0)
    /// How messages are copied; `nil` for not at all.
    public private(set) var plan: CopyPlan?

    /// A schedule without a plan; allocates all its memory, about 13 KiB.
    public init() {
        self.entries = IndexedRing(capacity: Self.messageCapacity)
        self.bytes = .allocate(
            byteCount: Self.messageCapacity * Self.messageByteLimit,
            alignment: 16
        )
    }

    deinit { self.bytes.deallocate() }

    /// What holds between any two calls; looked at where asserts are.
    private func check() {
        for copy in 0..<CopyPlan.copyLimit {
            assert(self.next[copy] <= self.end, "a copy of what was not sent")
        }
        for copy in 0..<(self.plan?.copies ?? 0) {
            assert(self.next[copy] >= self.start, "a copy of what is forgotten")
        }
        assert(self.end - self.start <= UInt64(Self.messageCapacity))
    }

    /// Changes the plan; copies that are due by the old one and not yet sent follow the new one.
    public func follow(_ plan: CopyPlan?) {
        let kept = plan == nil ? 0 : self.plan?.copies ?? 0
        for copy in kept..<CopyPlan.copyLimit { self.next[copy] = self.end }
        self.plan = plan
        assert(plan == nil || (1...CopyPlan.copyLimit).contains(plan?.copies ?? 0))
        self.check()
    }

    /// A datagram went out.
    public func sent(_ number: UInt32, _ message: UnsafeRawBufferPointer, at now: Instant) {
        guard self.plan != nil, message.count <= Self.messageByteLimit else { return }
        self.entries[self.end] = Entry(
            number: number,
            byteCount: Int32(clamping: message.count),
            isAcknowledged: false,
            sentAt: now
        )
        if let source = message.baseAddress {
            self.place(self.end).copyMemory(from: source, byteCount: message.count)
        }
        self.end += 1
        // What the ring has lost cannot be copied any more.
        self.next.replace(with: self.start, where: self.next .< self.start)
        self.check()
    }

    /// A message has arrived: no further copy of it is of use.
    public func acknowledged(_ number: UInt32) {
        var index = self.end
        while index > self.start {
            index -= 1
            let ahead = Int32(bitPattern: number &- self.entries[index].number)
            guard ahead < 0 else {
                if ahead == 0 { self.entries.pointer(index).pointee.isAcknowledged = true }
                return
            }
        }
    }

    /// When the next copy is due at the latest; ``Instant/never`` if none is.
    public var deadline: Instant {
        guard let plan = self.plan else { return .never }
        var earliest = Instant.never
        for copy in 0..<plan.copies {
            earliest = min(earliest, self.due(self.skip(copy), after: plan.latest(copy)))
        }
        return earliest
    }

    /// When the next copy may ride along; ``Instant/never`` if none is to be sent.
    public var earliest: Instant {
        guard let plan = self.plan else { return .never }
        var earliest = Instant.never
        for copy in 0..<plan.copies {
            earliest = min(earliest, self.due(self.skip(copy), after: plan.earliest(copy)))
        }
        return earliest
    }

    /// Messages whose copies may leave now and that `room` bytes hold; `nil` when there are none.
    ///
    /// What finds no room stays due.
    public func nextBatch(at now: Instant, room: Int) -> CopyBatch? {
        guard let plan = self.plan else { return nil }
        let start = self.start
        var members: UInt64 = 0
        var byteCount = 4
        for copy in 0..<plan.copies {
            while self.due(self.skip(copy), after: plan.earliest(copy)) <= now {
                let index = self.next[copy]
                let member: UInt64 = 1 << (index - start)
                if members & member == 0 {
                    let size = 3 + Int(self.entries[index].byteCount)
                    guard byteCount + size <= room,
                        self.isNear(index, to: members, from: start)
                    else { break }
                    members |= member
                    byteCount += size
                }
                self.next[copy] += 1
            }
        }
        self.check()
        guard members != 0 else { return nil }
        assert(byteCount <= room, "a batch beyond its room")
        return CopyBatch(schedule: self, first: start, members: members, byteCount: byteCount)
    }

    /// Steps back from the newest number of a batch have one byte.
    private func isNear(_ index: UInt64, to members: UInt64, from start: UInt64) -> Bool {
        guard members != 0 else { return true }
        let number = self.entries[index].number
        let oldest = self.entries[start + UInt64(members.trailingZeroBitCount)].number
        let newest = self.entries[start + UInt64(63 - members.leadingZeroBitCount)].number
        return index > start + UInt64(members.trailingZeroBitCount)
            ? number &- oldest <= 255 : newest &- number <= 255
    }

    private var start: UInt64 { self.end - min(self.end, UInt64(Self.messageCapacity)) }

    /// The first message to be copied that is not known to have arrived.
    private func skip(_ copy: Int) -> UInt64 {
        while self.next[copy] < self.end, self.entries[self.next[copy]].isAcknowledged {
            self.next[copy] += 1
        }
        return self.next[copy]
    }

    private func due(_ index: UInt64, after delay: Instant.Interval) -> Instant {
        index < self.end ? self.entries[index].sentAt + delay : .never
    }

    private func place(_ index: UInt64) -> UnsafeMutableRawPointer {
        self.bytes + Int(index % UInt64(Self.messageCapacity)) * Self.messageByteLimit
    }

    func message(_ index: UInt64) -> (number: UInt32, bytes: UnsafeRawBufferPointer) {
        precondition(index >= self.start && index < self.end, "no such message is kept")
        let entry = self.entries[index]
        return (
            entry.number,
            UnsafeRawBufferPointer(start: self.place(index), count: Int(entry.byteCount))
        )
    }
}
