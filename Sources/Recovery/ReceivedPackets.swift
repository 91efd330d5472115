public import Primitives

/// The receiver's side: which packet numbers arrived, and when an ACK frame is due.
///
/// Keeps at most ``ReceivedPackets/rangeLimit`` ranges; older ones are forgotten, newest kept.
public struct ReceivedPackets: ~Copyable {
    /// Ranges remembered at most.
    static let rangeLimit = 256

    /// Ranges ascending in `start..<end` of a buffer of twice the limit, so that dropping the
    /// oldest moves nothing until the end of the buffer is reached.
    private let ranges: UnsafeMutablePointer<NumberRange>
    private var start = 0
    private var end = 0
    private var largestAt = Instant(nanoseconds: 0)
    private var ackEvery = 2
    private var maximumDelay = Instant.Interval.milliseconds(5)
    private var elicitingSinceAck = 0
    private var hasNews = false
    /// When the next ACK is due; ``Instant/never`` if nothing asks for one.
    public private(set) var ackDeadline = Instant.never
    private var youngGaps = YoungGaps()
    private var adaptedAt = Instant(nanoseconds: 0)
    private var adaptedAfter: UInt64 = 0
    /// Gaps seen so far.
    public private(set) var lossStatistics = LossStatistics()

    /// No number received; an ACK is due after two packets, or 5 ms after the first.
    public init() {
        self.ranges = .allocate(capacity: Self.rangeLimit * 2)
    }

    deinit { self.ranges.deallocate() }

    /// What holds between any two calls, whatever arrives; looked at where asserts are.
    private func check() {
        assert(self.start <= self.end && self.end <= Self.rangeLimit * 2)
        assert(self.rangeCount <= Self.rangeLimit, "more ranges than are kept")
        assert(self.elicitingSinceAck >= 0)
        assert(self.elicitingSinceAck == 0 || self.ackDeadline != .never, "an ACK that never goes")
        for index in self.start..<self.end {
            assert(self.ranges[index].first <= self.ranges[index].last)
            assert(
                index == self.start || self.ranges[index - 1].last + 1 < self.ranges[index].first,
                "ranges that touch, or are out of order"
            )
        }
    }

    /// The largest number received; 0 before any.
    public var largest: UInt64 { self.start == self.end ? 0 : self.ranges[self.end - 1].last }

    /// There is something the peer has not been told: an ACK may ride along with data.
    public var hasAnythingToAck: Bool { self.hasNews }

    /// How many ranges are remembered.
    public var rangeCount: Int { self.end - self.start }

    /// True if an ACK should leave now.
    public func isAckDue(at now: Instant) -> Bool { self.ackDeadline <= now }

    /// An ACK is due after `packets` ack-eliciting packets, and `maximumDelay` after the first.
    public mutating func configure(ackEvery packets: Int, maximumDelay: Instant.Interval) {
        self.ackEvery = max(packets, 1)
        self.maximumDelay = maximumDelay
    }

    /// Sets both from the round trip and the packets it lately brought: an eighth of either, within
    /// 1...5 ms and 2...16 packets.
    ///
    /// To be called as often as is convenient.
    public mutating func adapt(roundTrip: Instant.Interval, at now: Instant) {
        let elapsed = now.since(self.adaptedAt).nanoseconds
        guard elapsed >= max(roundTrip.nanoseconds, 5_000_000) else { return }
        let packets = self.lossStatistics.expected &- self.adaptedAfter  // bound: a past count
        let share = Double(packets) * Double(roundTrip.nanoseconds) / Double(elapsed) / 8
        // On a path this short a stack's batches are longer than its round trip.
        let least = roundTrip < .milliseconds(2) && packets > 100 ? 8.0 : 2.0
        self.configure(
            ackEvery: Int(min(max(share, least), 16)),
            maximumDelay: .init(
                nanoseconds: min(max(roundTrip.nanoseconds / 8, 1_000_000), 5_000_000)
            )
        )
        self.adaptedAt = now
        self.adaptedAfter = self.lossStatistics.expected
    }

    /// True if `number` is among the ranges still remembered.
    public func contains(_ number: UInt64) -> Bool {
        let index = self.position(of: number)
        return index < self.end && self.ranges[index].first <= number
    }

    /// A packet passed authentication.
    ///
    /// Duplicates are ignored. An urgent packet, a new gap and a late packet are acknowledged at
    /// once (RFC 9000 §13.2.1), others within the configured delay.
    public mutating func received(
        _ number: UInt64,
        isAckEliciting: Bool,
        isUrgent: Bool,
        at now: Instant
    ) {
        defer { self.check() }
        let inOrder: Bool
        if self.end > self.start, number == self.ranges[self.end - 1].last &+ 1 {  // bound: < 2^62
            self.ranges[self.end - 1].last = number
            self.lossStatistics.expected &+= 1  // bound: a count of packets
            self.largestAt = now
            inOrder = true
        } else {
            guard number < 1 << 62 else { return }
            if self.start == self.end {
                self.appendRange(number)
                self.lossStatistics.expected &+= 1  // bound: a count of packets
                self.largestAt = now
                inOrder = true
            } else if number > self.ranges[self.end - 1].last {
                let first = self.ranges[self.end - 1].last + 1
                self.noteGap(NumberRange(first: first, last: number - 1), at: now)
                self.appendRange(number)
                self.largestAt = now
                inOrder = false
            } else {
                guard self.insertLate(number) else { return }
                inOrder = false
            }
        }
        self.hasNews = true
        guard isAckEliciting else { return }
        self.elicitingSinceAck += 1
        if isUrgent || !inOrder || self.elicitingSinceAck >= self.ackEvery {
            self.ackDeadline = min(self.ackDeadline, now)
        } else if self.elicitingSinceAck == 1 {
            self.ackDeadline = now + self.maximumDelay
        }
    }

    /// Writes the body of an ACK frame and returns its length; 0 if there is nothing to
    /// acknowledge or `capacity` is too small for one range.
    public mutating func writeAck(
        into target: UnsafeMutableRawPointer,
        capacity: Int,
        at now: Instant
    ) -> Int {
        guard self.start < self.end else { return 0 }
        defer { self.check() }
        let newest = self.ranges[self.end - 1]
        let delay = min(now.since(self.largestAt).microseconds, 1 << 30 - 1)
        let fixed =
            AckBody.integerLength(newest.last) + AckBody.integerLength(delay) + 1
            + AckBody.integerLength(newest.last - newest.first)
        guard capacity >= fixed else { return 0 }
        // The count comes before the ranges: see first how many fit.
        var length = fixed
        var count = 1
        let limit = min(AckBody.writtenRanges, self.rangeCount)
        while count < limit {
            let above = self.ranges[self.end - count]
            let range = self.ranges[self.end - 1 - count]
            length +=
                AckBody.integerLength(above.first - range.last - 2)
                + AckBody.integerLength(range.last - range.first)
            if length > capacity { break }
            count += 1
        }
        var offset = 0
        _ = AckBody.writeInteger(newest.last, target, &offset, capacity)
        _ = AckBody.writeInteger(delay, target, &offset, capacity)
        _ = AckBody.writeInteger(UInt64(count - 1), target, &offset, capacity)
        _ = AckBody.writeInteger(newest.last - newest.first, target, &offset, capacity)
        for index in 1..<count {
            let above = self.ranges[self.end - index]
            let range = self.ranges[self.end - 1 - index]
            _ = AckBody.writeInteger(above.first - range.last - 2, target, &offset, capacity)
            _ = AckBody.writeInteger(range.last - range.first, target, &offset, capacity)
        }
        assert(offset <= capacity, "an ACK beyond its room")
        self.youngGaps.settle(at: now.nanoseconds, &self.lossStatistics)
        self.hasNews = false
        self.elicitingSinceAck = 0
        self.ackDeadline = .never
        return offset
    }

    /// The peer has seen an ACK of ours whose largest number was `largest`: what lies below the
    /// newest range it told of need not be told again.
    public mutating func ackWasAcknowledged(largest: UInt64) {
        let index = self.position(of: largest)
        guard index < self.end else { return }
        self.forget(below: min(self.ranges[index].first, largest))
    }

    /// Drops every range that lies wholly below `number`.
    ///
    /// A late packet from there counts as new: telling a duplicate apart is the replay window's
    /// office.
    public mutating func forget(below number: UInt64) {
        while self.start < self.end, self.ranges[self.start].last < number { self.start += 1 }
    }

    /// The first range whose last number is not below `number`, searched from the newest.
    private func position(of number: UInt64) -> Int {
        var index = self.end
        while index > self.start, self.ranges[index - 1].last >= number { index -= 1 }
        return index
    }

    private mutating func appendRange(_ number: UInt64) {
        self.makeRoom()
        precondition(self.end < Self.rangeLimit * 2, "no room was made")
        self.ranges[self.end] = NumberRange(first: number, last: number)
        self.end += 1
    }

    /// Makes room for one more range behind `end`.
    private mutating func makeRoom() {
        if self.rangeCount == Self.rangeLimit {
            self.start += 1
        }
        guard self.end == Self.rangeLimit * 2 else { return }
        let count = self.rangeCount
        self.ranges.update(from: self.ranges + self.start, count: count)
        self.start = 0
        self.end = count
    }

    /// Enters a number below the largest; false if it was known.
    private mutating func insertLate(_ number: UInt64) -> Bool {
        var index = self.position(of: number)
        guard self.ranges[index].first > number else { return false }
        let joinsBelow = index > self.start && self.ranges[index - 1].last + 1 == number
        let joinsAbove = self.ranges[index].first == number + 1
        if joinsBelow, joinsAbove {
            self.ranges[index - 1].last = self.ranges[index].last
            let tail = self.end - index - 1
            (self.ranges + index).update(from: self.ranges + index + 1, count: tail)
            self.end -= 1
        } else if joinsBelow {
            self.ranges[index - 1].last = number
        } else if joinsAbove {
            self.ranges[index].first = number
        } else {
            let fromEnd = self.end - index
            if fromEnd == Self.rangeLimit { return false }
            self.makeRoom()
            index = self.end - fromEnd
            precondition(index >= self.start && self.end < Self.rangeLimit * 2)
            (self.ranges + index + 1).update(from: self.ranges + index, count: fromEnd)
            self.ranges[index] = NumberRange(first: number, last: number)
            self.end += 1
        }
        self.lossStatistics.late &+= 1  // bound: a count of packets
        self.youngGaps.fill(number)
        if self.lossStatistics.missing > 0 { self.lossStatistics.missing -= 1 }
        return true
    }

    private mutating func noteGap(_ range: NumberRange, at now: Instant) {
        self.lossStatistics.expected &+= range.last - range.first &+ 2  // bound: last >= first
        self.lossStatistics.missing &+= range.last - range.first &+ 1  // bound: last >= first
        let silence = now.since(self.largestAt).nanoseconds
        self.youngGaps.open(range, silence: silence, at: now.nanoseconds, &self.lossStatistics)
    }
}
