import Primitives
import Testing

@testable import Recovery

/// A sender and a receiver, told by the test what arrives and when.
private final class Pair {
    var sender: LossRecovery
    var receiver = ReceivedPackets()
    var next: UInt64
    private var scratch = [UInt8](repeating: 0, count: 1200)

    init(_ choice: CongestionChoice = .auto, firstNumber: UInt64 = 0) {
        self.sender = LossRecovery(
            congestion: choice,
            maximumPacketSize: 1200,
            at: Instant(nanoseconds: 0)
        )
        self.next = firstNumber
    }

    @discardableResult
    func send(at microseconds: UInt64, flags: SentPacketFlags = .data) -> UInt64 {
        self.sender.sent(
            number: self.next,
            byteCount: 1000,
            firstFrame: self.next,
            frameCount: 1,
            flags: flags,
            at: Instant(nanoseconds: microseconds * 1000)
        )
        self.next += 1
        return self.next - 1
    }

    /// `numbers` arrive, and the ACK reaches the sender at once.
    func deliver(_ numbers: [UInt64], at microseconds: UInt64) {
        let now = Instant(nanoseconds: microseconds * 1000)
        for number in numbers {
            self.receiver.received(number, isAckEliciting: true, isUrgent: true, at: now)
        }
        let length = self.scratch.withUnsafeMutableBytes { buffer in
            buffer.baseAddress.map {
                self.receiver.writeAck(into: $0, capacity: 1200, at: now)
            } ?? 0
        }
        let isValid = self.scratch[..<length].withUnsafeBytes {
            self.sender.receivedAck($0, at: now)
        }
        #expect(isValid)
    }

    var lost: [UInt64] {
        var numbers: [UInt64] = []
        while let packet = self.sender.nextLost() { numbers.append(packet.number) }
        return numbers
    }

    var acknowledged: [UInt64] {
        var numbers: [UInt64] = []
        while let packet = self.sender.nextAcknowledged() { numbers.append(packet.number) }
        return numbers
    }
}

@Suite struct LossRecoveryTests {
    @Test(arguments: 0..<20)
    func accountsForEveryPacketOnce(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let pair = Pair(firstNumber: seed % 2 == 0 ? 0 : 1 << 54)
        var live: Set<UInt64> = []
        var waiting: [UInt64] = []
        var resolved: Set<UInt64> = []
        var time: UInt64 = 0
        for _ in 0..<600 {
            time += 50 + random.below(3_000)
            if random.chance(3, in: 5) {
                if random.chance(1, in: 20) { pair.next += random.below(300) }
                let number = pair.send(at: time)
                live.insert(number)
                if !random.chance(1, in: 10) { waiting.append(number) }
            } else if !waiting.isEmpty, random.chance(2, in: 3) {
                var arrived: [UInt64] = []
                for _ in 0...random.below(6) where !waiting.isEmpty {
                    let reach = UInt64(min(waiting.count, 8))
                    arrived.append(waiting.remove(at: Int(random.below(reach))))
                }
                pair.deliver(arrived, at: time)
            } else {
                pair.sender.wake(at: Instant(nanoseconds: time * 1000))
            }
            for number in pair.acknowledged + pair.lost {
                #expect(live.remove(number) != nil)
                #expect(resolved.insert(number).inserted)
            }
            #expect(pair.sender.bytesInFlight == live.count * 1000)
            if let least = live.min() { #expect(pair.sender.leastUnacknowledged == least) }
        }
    }

    @Test func declaresLostWhatThreeLaterPacketsPassed() {
        let pair = Pair()
        for _ in 0..<5 { pair.send(at: 0) }
        pair.deliver([1, 2], at: 50_000)
        #expect(pair.lost == [])
        pair.deliver([3], at: 50_100)
        #expect(pair.lost == [0])
        #expect(pair.acknowledged == [1, 2, 3])
        #expect(pair.sender.leastUnacknowledged == 4)
        #expect(pair.sender.totalLost == 1)
    }

    @Test func declaresTheLastButOneLostByTime() {
        let pair = Pair()
        pair.send(at: 0)
        pair.send(at: 100)
        pair.deliver([1], at: 40_100)
        #expect(pair.lost == [])
        let deadline = pair.sender.deadline
        #expect(deadline > Instant(nanoseconds: 40_100_000))
        #expect(deadline <= Instant(nanoseconds: 60_000_000))
        pair.sender.wake(at: deadline)
        #expect(pair.lost == [0])
        #expect(pair.sender.deadline == .never)
        #expect(pair.sender.bytesInFlight == 0)
    }

    @Test func widensItsPatienceWhenLossWasOnlyReordering() {
        let pair = Pair()
        for index in 0..<10 { pair.send(at: UInt64(index)) }
        pair.deliver([5, 6, 7, 8], at: 40_000)
        #expect(pair.lost == [0, 1, 2, 3, 4])
        pair.deliver([0, 1, 2, 3, 4, 9], at: 48_000)
        #expect(pair.sender.totalSpuriouslyLost == 5)
        #expect(pair.sender.bytesInFlight == 0)
        // The same again is no loss now.
        for index in 0..<10 { pair.send(at: 100_000 + UInt64(index)) }
        pair.deliver([16, 17, 18], at: 140_000)
        #expect(pair.lost == [])
        pair.deliver([10, 11, 12, 13, 14, 15], at: 147_000)
        #expect(pair.lost == [])
        #expect(pair.sender.totalSpuriouslyLost == 5)
    }

    @Test func asksForProbesAndKeepsTheWindow() {
        let pair = Pair()
        for index in 0..<20 { pair.send(at: UInt64(index)) }
        pair.deliver(Array(0..<10), at: 30_000)
        _ = pair.acknowledged
        let window = pair.sender.congestionWindow
        // The process slept for half a second: the ACK may be waiting in the socket.
        #expect(pair.sender.deadline < Instant(nanoseconds: 500_000_000))
        pair.sender.wake(at: Instant(nanoseconds: 530_000_000))
        #expect(pair.sender.probesDue == 1)
        #expect(pair.lost == [])
        #expect(pair.sender.congestionWindow == window)
        pair.send(at: 530_001)
        pair.sender.probeSent()
        #expect(pair.sender.probesDue == 0)
        pair.deliver(Array(10..<20), at: 530_100)
        #expect(pair.lost == [])
        #expect(pair.acknowledged.count == 10)
        #expect(pair.sender.congestionWindow >= window)
    }

    @Test func backsProbesOff() {
        let pair = Pair()
        pair.send(at: 0)
        pair.deliver([0], at: 20_000)
        pair.send(at: 30_000)
        var gaps: [UInt64] = []
        var last: UInt64 = 30_000_000
        for _ in 0..<6 {
            let deadline = pair.sender.deadline
            gaps.append(deadline.nanoseconds - last)
            last = deadline.nanoseconds
            pair.sender.wake(at: deadline)
            pair.send(at: last / 1000)
            pair.sender.probeSent()
        }
        for (shorter, longer) in zip(gaps, gaps.dropFirst()) { #expect(longer >= shorter) }
        #expect(gaps[4] >= 8 * gaps[0])
    }

    @Test func acknowledgementsAloneNeitherBlockNorPileUp() {
        let pair = Pair()
        for index in 0..<200_000 { pair.send(at: UInt64(index) * 50, flags: .ackCarrier) }
        #expect(pair.sender.deadline == .never)
        #expect(pair.sender.bytesInFlight == 0)
        #expect(pair.sender.leastUnacknowledged == 200_000)
        #expect(pair.sender.log.count < 100_000)
        pair.deliver([199_999], at: 10_000_000)
        #expect(pair.acknowledged == [199_999])
        #expect(pair.lost == [])
    }

    @Test func probesOfThePathSizeAreNoCongestion() {
        let pair = Pair()
        pair.send(at: 0, flags: [.ackEliciting, .countsInFlight, .isProbe])
        for _ in 0..<4 { pair.send(at: 1) }
        pair.deliver([1, 2, 3, 4], at: 20_000)
        #expect(pair.lost == [0])
        #expect(pair.sender.lossRate == 0)
        #expect(pair.sender.lostBytes == 0)
    }

    @Test func boundsWhatItRemembers() {
        let pair = Pair()
        for index in 0..<SentLog.capacityLimit + 100 { pair.send(at: UInt64(index)) }
        #expect(pair.lost.count == 100)
        #expect(pair.sender.leastUnacknowledged == 100)
    }

    @Test func letsInteractivePacketsOverdrawButNotForEver() {
        let pair = Pair()
        let now = Instant(nanoseconds: 0)
        #expect(pair.sender.interactiveAllowance(at: now) > 0)
        var sent = 0
        while pair.sender.interactiveAllowance(at: now) > 0, sent < 10_000 {
            pair.send(at: 0, flags: [.ackEliciting, .countsInFlight, .isInteractive])
            sent += 1
        }
        #expect((4...64).contains(sent))
        // The debt is paid by bulk, which waits.
        #expect(pair.sender.sendAllowance(at: now) == 0)
        #expect(pair.sender.pacingDeadline > now)
        // Everything arrives: the path is idle, and never closed to them.
        pair.deliver(Array(0..<UInt64(sent)), at: 10_000)
        _ = pair.acknowledged
        let later = Instant(nanoseconds: 10_000_000)
        #expect(pair.sender.interactiveAllowance(at: later) > 0)
    }

    @Test func startsAfreshOnAnotherPath() {
        let pair = Pair()
        for index in 0..<30 { pair.send(at: UInt64(index)) }
        pair.deliver(Array(0..<20), at: 200_000)
        #expect(pair.sender.minimumRTT >= .milliseconds(190))
        pair.sender.pathChanged(at: Instant(nanoseconds: 210_000_000))
        pair.deliver(Array(20..<30), at: 400_000)
        #expect(pair.sender.minimumRTT == .zero)
        pair.send(at: 500_000)
        pair.deliver([30], at: 510_000)
        #expect(pair.sender.minimumRTT <= .milliseconds(11))
    }

    /// What ends a stream's words is repeated without a later ACK, once, and never called lost.
    @Test func repeatsWhatIsAwaitedWhenItsAckIsOverdue() {
        let pair = Pair()
        let awaited: SentPacketFlags = [.ackEliciting, .countsInFlight, .isAwaited]
        for turn in 0..<20 as Range<UInt64> {
            pair.send(at: turn * 100_000, flags: awaited)
            pair.deliver([turn], at: turn * 100_000 + 60_000)
        }
        _ = pair.acknowledged
        let first = pair.send(at: 2_000_000, flags: awaited)
        pair.send(at: 2_002_000)
        let due = pair.sender.deadline
        #expect(due > Instant(nanoseconds: 2_060_000_000))
        #expect(due < Instant(nanoseconds: 2_085_000_000))
        let later = Instant(nanoseconds: 2_076_000_000)
        pair.sender.wake(at: later)
        let overdue = pair.sender.nextOverdue()
        #expect(overdue?.number == first)
        let second = pair.sender.nextOverdue()
        #expect(second == nil)
        #expect(pair.lost.isEmpty)
        pair.sender.wake(at: later + .milliseconds(40))
        let third = pair.sender.nextOverdue()
        #expect(third == nil)
        let inFlight = pair.sender.bytesInFlight
        #expect(inFlight == 2_000)
    }

    /// In a long silence repeating would only fill the queue behind it.
    @Test func repeatsNothingInALongSilence() {
        let pair = Pair()
        let awaited: SentPacketFlags = [.ackEliciting, .countsInFlight, .isAwaited]
        for turn in 0..<20 as Range<UInt64> {
            pair.send(at: turn * 100_000, flags: awaited)
            pair.deliver([turn], at: turn * 100_000 + 60_000)
        }
        var repeated = 0
        for turn in 0..<100 as Range<UInt64> {
            let time = 2_000_000 + turn * 5_000
            pair.send(at: time, flags: awaited)
            pair.sender.wake(at: Instant(nanoseconds: time * 1_000))
            while pair.sender.nextOverdue() != nil { repeated += 1 }
        }
        #expect(repeated > 5)
        #expect(repeated < 30)
    }

    /// An application's pauses stay marked until something really has to wait.
    @Test func anApplicationsOwnRateSaysNothingOfThePath() {
        let pair = Pair()
        var time: UInt64 = 0
        for number in 0..<200 as Range<UInt64> {
            pair.send(at: time)
            pair.sender.becameApplicationLimited(at: Instant(nanoseconds: time * 1_000))
            if number >= 3 { pair.deliver([number - 3], at: time + 4_000) }
            time += 16_000
        }
        // Still in startup, at no less than 32 packets a round trip.
        let rate = pair.sender.pacingRate
        #expect(rate >= 32 * 1_200 / 0.06)
    }
}
