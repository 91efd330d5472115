import Primitives
import Testing

@testable import Recovery

/// What an ACK body written by `received` says, as a set of numbers.
func acknowledged(by received: inout ReceivedPackets, capacity: Int = 1200) -> Set<UInt64>? {
    let body = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 8)
    defer { body.deallocate() }
    guard let base = body.baseAddress else { return nil }
    let length = received.writeAck(into: base, capacity: capacity, at: Instant(nanoseconds: 0))
    guard length > 0, length <= capacity else { return nil }
    let ranges = UnsafeMutablePointer<NumberRange>.allocate(capacity: AckBody.rangeLimit)
    defer { ranges.deallocate() }
    let written = UnsafeRawBufferPointer(rebasing: body[..<length])
    guard let (count, _) = AckBody.read(written, into: ranges) else { return nil }
    var numbers: Set<UInt64> = []
    for index in 0..<count { numbers.formUnion(ranges[index].first...ranges[index].last) }
    return numbers
}

@Suite struct ReceivedPacketsTests {
    @Test(arguments: 0..<40)
    func holdsTheNumbersASetWouldHold(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var received = ReceivedPackets()
        var model: Set<UInt64> = []
        let base = seed % 3 == 0 ? 0 : (1 << 55) + random.below(1 << 20)
        let spread = 8 + random.below(120)
        for step in 0..<UInt64(200) {
            let number = base + step / 2 + random.below(spread)
            received.received(
                number,
                isAckEliciting: true,
                isUrgent: false,
                at: Instant(nanoseconds: step)
            )
            model.insert(number)
            #expect(received.largest == model.max())
            #expect(received.contains(number) == true)
        }
        for number in base..<base + 400 {
            #expect(received.contains(number) == model.contains(number))
        }
        let told = acknowledged(by: &received) ?? []
        #expect(told.isSubset(of: model))
        // Everything above the lowest number told is told.
        let lowest = told.min() ?? 0
        #expect(told == model.filter { $0 >= lowest })
        #expect(received.rangeCount <= AckBody.writtenRanges || told.count < model.count)
        let missing = (model.max() ?? 0) - (model.min() ?? 0) + 1 - UInt64(model.count)
        #expect(received.lossStatistics.missing <= missing)
    }

    @Test func keepsTheNewestRangesAndStaysBounded() {
        var received = ReceivedPackets()
        for index in 0..<UInt64(2000) {
            received.received(
                index * 2,
                isAckEliciting: true,
                isUrgent: false,
                at: Instant(nanoseconds: index)
            )
            #expect(received.rangeCount <= ReceivedPackets.rangeLimit)
        }
        #expect(received.contains(3998) == true)
        #expect(received.contains(0) == false)
        // Older than all that is kept: no room, no harm.
        received.received(1, isAckEliciting: true, isUrgent: false, at: Instant(nanoseconds: 0))
        #expect(received.rangeCount == ReceivedPackets.rangeLimit)
    }

    @Test func asksForAnAckWhenOneIsDue() {
        var received = ReceivedPackets()
        received.configure(ackEvery: 4, maximumDelay: .milliseconds(3))
        let start = Instant(nanoseconds: 1_000)
        received.received(7, isAckEliciting: false, isUrgent: false, at: start)
        #expect(received.ackDeadline == .never)
        #expect(received.hasAnythingToAck == true)
        received.received(8, isAckEliciting: true, isUrgent: false, at: start)
        #expect(received.ackDeadline == start + .milliseconds(3))
        #expect(received.isAckDue(at: start) == false)
        received.received(9, isAckEliciting: true, isUrgent: false, at: start)
        received.received(10, isAckEliciting: true, isUrgent: false, at: start)
        #expect(received.isAckDue(at: start) == false)
        received.received(11, isAckEliciting: true, isUrgent: false, at: start)
        #expect(received.isAckDue(at: start) == true)
        #expect(acknowledged(by: &received) == [7, 8, 9, 10, 11])
        #expect(received.hasAnythingToAck == false)
        #expect(received.ackDeadline == .never)
        // A gap, and a packet that cannot wait.
        received.received(13, isAckEliciting: true, isUrgent: false, at: start)
        #expect(received.isAckDue(at: start) == true)
        _ = acknowledged(by: &received)
        received.received(14, isAckEliciting: true, isUrgent: true, at: start)
        #expect(received.isAckDue(at: start) == true)
        _ = acknowledged(by: &received)
        // A duplicate asks for nothing.
        received.received(14, isAckEliciting: true, isUrgent: true, at: start)
        #expect(received.isAckDue(at: start) == false)
        #expect(received.lossStatistics.missing == 1)
        #expect(received.lossStatistics.bursts == 0)
    }

    @Test func callsOldGapsLossAndYoungOnesNot() {
        var received = ReceivedPackets()
        let at = { (milliseconds: UInt64) in Instant(nanoseconds: milliseconds * 1_000_000) }
        func arrive(_ number: UInt64, _ milliseconds: UInt64) {
            received.received(number, isAckEliciting: true, isUrgent: false, at: at(milliseconds))
        }
        arrive(0, 100)
        arrive(5, 108)
        arrive(3, 110)
        arrive(7, 111)
        arrive(6, 120)
        #expect(received.lossStatistics.missing == 3)
        #expect(received.lossStatistics.lost == 0)
        arrive(8, 200)
        _ = acknowledged(by: &received)
        arrive(10, 300)
        #expect(received.lossStatistics.lost == 3)
        #expect(received.lossStatistics.bursts == 1)
        #expect(received.lossStatistics.meanBurstPackets == 3)
        #expect(received.lossStatistics.meanBurstMilliseconds == 8)
        #expect(received.lossStatistics.late == 2)
        #expect(received.lossStatistics.expected == 11)
    }

    @Test func acknowledgesAsOftenAsThePathNeeds() {
        var received = ReceivedPackets()
        let now = Instant(nanoseconds: 1_000_000_000)
        received.adapt(roundTrip: .milliseconds(80), at: now)
        for number in 0..<UInt64(800) {
            let time = now + .init(nanoseconds: number * 100_000)
            received.received(number, isAckEliciting: true, isUrgent: false, at: time)
        }
        _ = acknowledged(by: &received)
        // 800 packets a round trip: every sixteenth.
        received.adapt(roundTrip: .milliseconds(80), at: now + .milliseconds(80))
        for number in 800..<UInt64(815) {
            received.received(number, isAckEliciting: true, isUrgent: false, at: now)
            #expect(received.isAckDue(at: now) == false)
        }
        #expect(received.ackDeadline == now + .milliseconds(5))
        received.received(815, isAckEliciting: true, isUrgent: false, at: now)
        #expect(received.isAckDue(at: now) == true)
    }

    @Test func forgetsWhatThePeerKnows() {
        var received = ReceivedPackets()
        let now = Instant(nanoseconds: 0)
        for number: UInt64 in [1, 2, 5, 6, 9] {
            received.received(number, isAckEliciting: true, isUrgent: false, at: now)
        }
        #expect(received.rangeCount == 3)
        received.ackWasAcknowledged(largest: 6)
        #expect(received.rangeCount == 2)
        #expect(received.contains(2) == false)
        #expect(acknowledged(by: &received) == [5, 6, 9])
        received.ackWasAcknowledged(largest: 100)
        #expect(received.rangeCount == 2)
    }

    @Test func writesOnlyWhatFits() {
        var received = ReceivedPackets()
        for index in 0..<UInt64(100) {
            received.received(
                index * 3,
                isAckEliciting: true,
                isUrgent: false,
                at: Instant(nanoseconds: 0)
            )
        }
        for capacity in 0..<120 {
            let told = acknowledged(by: &received, capacity: capacity)
            if capacity < 5 { #expect(told == nil) } else { #expect(told?.contains(297) == true) }
        }
    }
}
