import Erasure
import Primitives
import Testing

@Suite struct CopyScheduleTests {
    private func plan(_ delays: UInt64..., slack: UInt64 = 0) -> CopyPlan {
        var plan = CopyPlan(at: .milliseconds(delays[0]), slack: .milliseconds(slack))
        for delay in delays.dropFirst() { plan.add(at: .milliseconds(delay)) }
        return plan
    }

    private func at(_ milliseconds: UInt64) -> Instant {
        Instant(nanoseconds: milliseconds * 1_000_000)
    }

    private func numbers(_ schedule: CopySchedule, at milliseconds: UInt64) -> [UInt32] {
        guard var batch = schedule.nextBatch(at: self.at(milliseconds), room: 1200) else {
            return []
        }
        var numbers: [UInt32] = []
        while let (number, _) = batch.popFirst() { numbers.append(number) }
        return numbers
    }

    private func send(_ number: UInt32, on schedule: CopySchedule, at now: Instant, count: Int = 9)
    {
        let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: count)
        bytes.withUnsafeBytes { schedule.sent(number, $0, at: now) }
    }

    @Test func withoutAPlanNothingIsDue() {
        let schedule = CopySchedule()
        self.send(1, on: schedule, at: self.at(0))
        #expect(schedule.deadline == .never && schedule.earliest == .never)
        #expect(self.numbers(schedule, at: 1000) == [])
    }

    @Test func copiesFollowEachMessageAfterTheirDelays() {
        let schedule = CopySchedule()
        schedule.follow(self.plan(6, 12))
        self.send(10, on: schedule, at: self.at(0))
        #expect(schedule.deadline == self.at(6))
        #expect(self.numbers(schedule, at: 5) == [])
        #expect(self.numbers(schedule, at: 6) == [10])
        #expect(schedule.deadline == self.at(12))
        #expect(self.numbers(schedule, at: 12) == [10])
        #expect(schedule.deadline == .never)
        self.send(11, on: schedule, at: self.at(17))
        self.send(12, on: schedule, at: self.at(23))
        #expect(self.numbers(schedule, at: 23) == [11])
        // The second copy of one and the first of the next share a packet.
        #expect(self.numbers(schedule, at: 29) == [11, 12])
        #expect(self.numbers(schedule, at: 35) == [12])
    }

    @Test func copiesMayRideEarlierThanTheyAreDue() {
        let schedule = CopySchedule()
        schedule.follow(self.plan(20, 60, slack: 15))
        self.send(1, on: schedule, at: self.at(0))
        #expect(schedule.earliest == self.at(5) && schedule.deadline == self.at(20))
        #expect(self.numbers(schedule, at: 4) == [])
        #expect(self.numbers(schedule, at: 16) == [1])
        #expect(schedule.deadline == self.at(60))
        // Only the first has slack worth mentioning.
        #expect(schedule.earliest == self.at(58))
    }

    @Test func whatHasArrivedIsNotCopied() {
        let schedule = CopySchedule()
        schedule.follow(self.plan(10, 30))
        for number in 0..<3 as Range<UInt32> {
            self.send(number, on: schedule, at: self.at(UInt64(number)))
        }
        schedule.acknowledged(1)
        schedule.acknowledged(77)
        #expect(self.numbers(schedule, at: 12) == [0, 2])
        schedule.acknowledged(0)
        schedule.acknowledged(2)
        #expect(schedule.deadline == .never)
        #expect(self.numbers(schedule, at: 40) == [])
    }

    @Test func whatFindsNoRoomStaysDue() {
        let schedule = CopySchedule()
        schedule.follow(self.plan(6))
        for number in 0..<3 as Range<UInt32> {
            self.send(number, on: schedule, at: self.at(0), count: 100)
        }
        let none = schedule.nextBatch(at: self.at(6), room: 50)
        #expect(none == nil)
        let two = schedule.nextBatch(at: self.at(6), room: 220)
        #expect(two?.count == 2 && two?.byteCount == 210)
        #expect(schedule.deadline == self.at(6))
        #expect(self.numbers(schedule, at: 6) == [2])
    }

    /// A frame says steps back in one byte.
    @Test func numbersFarApartGoInDifferentBatches() {
        let schedule = CopySchedule()
        schedule.follow(self.plan(6, 12))
        self.send(0, on: schedule, at: self.at(0))
        self.send(300, on: schedule, at: self.at(0))
        #expect(self.numbers(schedule, at: 6) == [0])
        #expect(self.numbers(schedule, at: 6) == [300])
    }

    @Test func aFullRingForgetsTheOldest() {
        let schedule = CopySchedule()
        schedule.follow(self.plan(6))
        let capacity = UInt32(CopySchedule.messageCapacity)
        for number in 0..<3 * capacity { self.send(number, on: schedule, at: self.at(0)) }
        var seen: [UInt32] = []
        while var batch = schedule.nextBatch(at: self.at(10), room: 100) {
            while let (number, bytes) = batch.popFirst() {
                #expect(bytes.allSatisfy { $0 == UInt8(truncatingIfNeeded: number) })
                seen.append(number)
            }
        }
        #expect(seen == Array(2 * capacity..<3 * capacity))
    }

    @Test func largeMessagesAndChangesOfPlan() {
        let schedule = CopySchedule()
        schedule.follow(self.plan(6))
        self.send(0, on: schedule, at: self.at(0), count: 401)
        #expect(schedule.deadline == .never)
        self.send(1, on: schedule, at: self.at(0), count: 400)
        schedule.follow(self.plan(8, 16))
        #expect(schedule.deadline == self.at(8))
        #expect(self.numbers(schedule, at: 8) == [1])
        // The second copy is for messages that came after it was planned.
        #expect(schedule.deadline == .never)
        schedule.follow(nil)
        #expect(schedule.deadline == .never)
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func batchesSurviveTheWire(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let schedule = CopySchedule()
        schedule.follow(self.plan(6))
        var bodies: [UInt32: [UInt8]] = [:]
        for step in 0..<3 as Range<UInt32> {
            let number = UInt32.max &+ step
            let body = generator.bytes(Int(generator.below(401)))
            bodies[number] = body
            body.withUnsafeBytes { schedule.sent(number, $0, at: self.at(0)) }
        }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 1300, alignment: 8)
        defer { memory.deallocate() }
        let room = seed < 10 ? 1300 : Int(generator.below(1300))
        var writer = ByteWriter(memory, capacity: room)
        let batch = schedule.nextBatch(at: self.at(6), room: room)
        batch?.write(to: &writer)
        #expect(writer.count == batch?.byteCount ?? 0)
        var reader = CopyReader(UnsafeRawBufferPointer(start: memory, count: writer.count))
        var found = 0
        while let (number, bytes) = reader.next() {
            #expect(bodies[number].map { $0 == Array(bytes) } == true)
            found += 1
        }
        #expect(reader.isMalformed == (batch == nil))
        if seed < 10 { #expect(found == 3) }
        // Every shorter frame yields whole messages or says that it is malformed.
        for count in 0..<writer.count {
            var reader = CopyReader(UnsafeRawBufferPointer(start: memory, count: count))
            while let (number, bytes) = reader.next() {
                #expect(bodies[number]?.count == bytes.count)
            }
        }
    }

    /// Against the channel's own arithmetic (residual share), with room for chance.
    @Test(
        arguments: [
            ([8], 0.03, 0.0, 0.0016), ([6, 12], 0.03, 0.0, 0.0002),
            ([20], 0.03, 8.0, 0.005), ([12, 24, 36], 0.03, 8.0, 0.0015),
            ([12, 52, 92], 0.03, 50.0, 0.009), ([8], 0.10, 0.0, 0.013),
        ] as [([UInt64], Double, Double, Double)]
    )
    func theResidueIsWhatTheDistanceLeaves(
        delays: [UInt64],
        share: Double,
        burst: Double,
        limit: Double
    ) {
        var plan = CopyPlan(at: .milliseconds(delays[0]))
        for delay in delays.dropFirst() { plan.add(at: .milliseconds(delay)) }
        let flow = CopiedFlow(
            plan: plan,
            channel: GameChannel(lossShare: share, burst: burst, seed: 11),
            messages: 12_000
        )
        #expect(flow.residual <= limit)
        #expect(flow.duplicates > 9_000 * delays.count)
        if burst == 0 { #expect(flow.late99 <= Double(delays[0]) + 0.1) }
    }

    @Test func withoutCopiesTheLossStays() {
        let flow = CopiedFlow(
            plan: nil,
            channel: GameChannel(lossShare: 0.03, burst: 20, seed: 11),
            messages: 12_000
        )
        #expect(flow.residual > 0.02 && flow.residual < 0.04)
        #expect(flow.expansion == 1 && flow.duplicates == 0)
    }
}
