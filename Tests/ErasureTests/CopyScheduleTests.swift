import Erasure
import Primitives
import Testing

@Suite struct CopyScheduleTests {
    private func plan(_ copies: Int, _ messages: Int, _ first: UInt64, _ second: UInt64) -> CopyPlan
    {
        CopyPlan(
            copies: copies,
            messages: messages,
            firstDelay: .milliseconds(first),
            secondDelay: .milliseconds(second)
        )
    }

    private func at(_ milliseconds: UInt64) -> Instant {
        Instant(nanoseconds: milliseconds * 1_000_000)
    }

    private func numbers(_ batch: CopyBatch?) -> [UInt32]? {
        batch.map { batch in (0..<batch.count).map { batch[$0].number } }
    }

    private func send(_ number: UInt32, on schedule: CopySchedule, at now: Instant, count: Int = 9)
    {
        let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: count)
        bytes.withUnsafeBytes { schedule.sent(number, $0, at: now) }
    }

    @Test func withoutAPlanNothingIsDue() {
        let schedule = CopySchedule()
        self.send(1, on: schedule, at: self.at(0))
        #expect(schedule.deadline == .never)
        #expect(schedule.nextBatch(at: self.at(1000)) == nil)
    }

    @Test func copiesFollowEachMessageAfterTheirDelays() {
        let schedule = CopySchedule()
        schedule.follow(self.plan(2, 2, 6, 12))
        self.send(10, on: schedule, at: self.at(0))
        #expect(schedule.deadline == self.at(6))
        #expect(schedule.nextBatch(at: self.at(5)) == nil)
        #expect(self.numbers(schedule.nextBatch(at: self.at(6))) == [10])
        #expect(schedule.deadline == self.at(12))
        #expect(self.numbers(schedule.nextBatch(at: self.at(12))) == [10])
        #expect(schedule.deadline == .never)
        self.send(11, on: schedule, at: self.at(17))
        #expect(self.numbers(schedule.nextBatch(at: self.at(23))) == [10, 11])
        #expect(schedule.nextBatch(at: self.at(23)) == nil)
        #expect(self.numbers(schedule.nextBatch(at: self.at(29))) == [10, 11])
        #expect(schedule.deadline == .never)
    }

    @Test func messagesDueTogetherShareAPacketAndNoneIsForgotten() {
        let schedule = CopySchedule()
        schedule.follow(self.plan(1, 3, 6, 6))
        for number in 0..<7 as Range<UInt32> { self.send(number, on: schedule, at: self.at(0)) }
        #expect(self.numbers(schedule.nextBatch(at: self.at(6))) == [0, 1, 2])
        #expect(self.numbers(schedule.nextBatch(at: self.at(6))) == [3, 4, 5])
        #expect(self.numbers(schedule.nextBatch(at: self.at(6))) == [4, 5, 6])
        #expect(schedule.nextBatch(at: self.at(6)) == nil)
    }

    @Test func staleMessagesDoNotRideAlong() {
        let schedule = CopySchedule()
        schedule.follow(self.plan(1, 3, 8, 8))
        self.send(0, on: schedule, at: self.at(0))
        #expect(self.numbers(schedule.nextBatch(at: self.at(8))) == [0])
        self.send(1, on: schedule, at: self.at(200))
        #expect(self.numbers(schedule.nextBatch(at: self.at(208))) == [1])
    }

    @Test func aFullRingForgetsTheOldest() {
        let schedule = CopySchedule()
        schedule.follow(self.plan(1, 2, 6, 6))
        for number in 0..<40 as Range<UInt32> { self.send(number, on: schedule, at: self.at(0)) }
        var seen: [UInt32] = []
        while let batch = schedule.nextBatch(at: self.at(10)) {
            for index in 0..<batch.count {
                let message = batch[index]
                #expect(message.bytes.allSatisfy { $0 == UInt8(message.number) })
                seen.append(message.number)
            }
        }
        #expect(seen == Array(24..<40))
    }

    @Test func largeMessagesAndChangesOfPlan() {
        let schedule = CopySchedule()
        schedule.follow(self.plan(1, 2, 6, 6))
        self.send(0, on: schedule, at: self.at(0), count: 401)
        #expect(schedule.deadline == .never)
        self.send(1, on: schedule, at: self.at(0), count: 400)
        schedule.follow(self.plan(2, 2, 8, 16))
        #expect(schedule.deadline == self.at(8))
        #expect(self.numbers(schedule.nextBatch(at: self.at(8))) == [1])
        // The second copy is for messages that came after it was planned.
        #expect(schedule.deadline == .never)
        schedule.follow(nil)
        #expect(schedule.deadline == .never)
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func batchesSurviveTheWire(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let schedule = CopySchedule()
        schedule.follow(self.plan(1, 3, 6, 6))
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
        var writer = ByteWriter(memory, capacity: max(4, room))
        schedule.nextBatch(at: self.at(6))?.write(to: &writer)
        var reader = CopyReader(UnsafeRawBufferPointer(start: memory, count: writer.count))
        var found = 0
        while let (number, bytes) = reader.next() {
            #expect(bodies[number].map { $0 == Array(bytes) } == true)
            found += 1
        }
        #expect(!reader.isMalformed)
        if seed < 10 { #expect(found == 3) }
        // Every shorter frame yields whole messages or says that it is malformed.
        for count in 0..<writer.count {
            var reader = CopyReader(UnsafeRawBufferPointer(start: memory, count: count))
            while let (number, bytes) = reader.next() {
                #expect(bodies[number]?.count == bytes.count)
            }
        }
    }

    /// Against simulations of a million messages (residual share), with room for chance.
    @Test(
        arguments: [
            (2, 2, 6, 12, 0.03, 0.0, 0.0001), (2, 3, 8, 16, 0.03, 0.0, 0.0001),
            (1, 3, 8, 8, 0.03, 20.0, 0.0055), (2, 3, 8, 16, 0.03, 8.0, 0.001),
            (2, 2, 6, 12, 0.03, 8.0, 0.005), (1, 3, 8, 8, 0.10, 20.0, 0.018),
            (2, 3, 8, 35, 0.03, 20.0, 0.002),
        ] as [(Int, Int, UInt64, UInt64, Double, Double, Double)]
    )
    func theResidueIsWhatSimulationsPromise(
        copies: Int,
        messages: Int,
        first: UInt64,
        second: UInt64,
        share: Double,
        burst: Double,
        limit: Double
    ) {
        let flow = CopiedFlow(
            plan: self.plan(copies, messages, first, second),
            channel: GameChannel(lossShare: share, burst: burst, seed: 11),
            messages: 12_000
        )
        #expect(flow.residual <= limit)
        #expect(flow.duplicates > 12_000 * copies)
        if burst == 0 { #expect(flow.late99 <= Double(first) + 0.1) }
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
