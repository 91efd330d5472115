import Primitives
import Testing

@testable import Recovery

/// A peer that says what it likes about what arrived, and chooses when to say it.
@Suite struct HostileAckerTests {
    private static let choices: [CongestionChoice] = [
        .auto, .bbr, .cubic, .fixed(bitsPerSecond: 20_000_000),
    ]

    /// The minimum of a short path is raised in the middle of a round that saw less; ten seconds
    /// later the same round ends.
    @Test func aRaisedMinimumDoesNotWrapTheQueue() {
        var model = DelayGuardedModel(packetSize: 1200, at: 1_000_000_000)
        var event = AckEvent()
        event.now = 1_000_000_000
        event.acked = 12_000
        event.bandwidth = 1_200_000
        let say = { (after: UInt64, roundTrip: UInt64, endsRound: Bool) in
            event.now += after
            event.roundTrip = roundTrip
            event.smoothedRoundTrip = roundTrip
            event.priorDelivered = endsRound ? event.delivered : 0
            event.delivered += 12_000
            model.update(event)
        }
        for _ in 0..<100 where model.phase != .cruise { say(10_000_000, 1_000_000, true) }
        #expect(model.phase == .cruise)
        say(10_000_000, 1_900_000, true)
        #expect(model.path.queue == 900_000)
        say(11_000_000_000, 1_100_000, false)
        #expect(model.path.minimum == 1_900_000)
        say(11_000_000_000, 2_100_000, true)
        #expect(model.path.queue < 1_000_000_000)
        #expect(model.path.minimum <= 2_000_000)
    }

    /// Found by fuzzing: a window of next to nothing divided by itself, and a sum without end,
    /// both ended the process where they became integers.
    @Test(arguments: [0, 1e-300, .infinity] as [Double])
    func cubicStaysWithinItsBounds(window: Double) {
        var rival = Cubic(packetSize: 1200, window: window, beta: 0.7)
        var event = AckEvent()
        event.packetSize = 1200
        event.acked = .max / 2
        for step in 0..<200 as Range<UInt64> {
            event.now = step << 56
            event.lost = step & 7 == 0 ? 1200 : 0
            event.lostSentAt = event.now
            event.priorInFlight = .max
            rival.update(event)
            #expect(2400...1_000_000_000 ~= rival.window)
            #expect(rival.epoch(roundTrip: .max) <= 1_000_000_000_000_000_000)
            #expect(rival.pacingRate > 0 && rival.pacingRate.isFinite)
        }
    }

    /// An ACK of anything between the first number and one too many, often of the newest.
    private func body(_ dice: inout SeededGenerator, next: UInt64) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 600)
        let length = bytes.withUnsafeMutableBytes { buffer -> Int in
            guard let base = buffer.baseAddress else { return 0 }
            var offset = 0
            let write = { (value: UInt64, offset: inout Int) in
                _ = AckBody.writeInteger(value, base, &offset, 600)
            }
            let back = dice.chance(1, in: 2) ? dice.below(4) : dice.below(next + 1)
            let largest = next - min(back, next)
            let extra = dice.chance(1, in: 2) ? 0 : dice.below(20)
            write(largest, &offset)
            write(dice.chance(1, in: 4) ? dice.below(1 << 61) : dice.below(100_000), &offset)
            write(extra, &offset)
            let run = dice.chance(1, in: 20) ? largest : min(dice.below(6), largest)
            write(run, &offset)
            for _ in 0..<extra {
                write(dice.below(3), &offset)
                write(dice.below(3), &offset)
            }
            return offset
        }
        return Array(bytes[..<length])
    }

    /// From a packet's time to hours; mostly around the round trip that the model believes in.
    private func pause(_ dice: inout SeededGenerator, trip: UInt64) -> UInt64 {
        switch dice.below(100) {
        case 0..<40: dice.below(200_000)
        case 40..<70: dice.below(max(trip / 8, 1))
        case 70..<90: dice.below(max(trip, 1) * 2)
        case 90..<97: dice.below(500_000_000)
        case 97..<99: dice.below(15_000_000_000)
        default: dice.below(4_000_000_000_000)
        }
    }

    @Test(arguments: 0..<4, 0..<4 as Range<UInt64>)
    func nothingItSaysEndsTheProcess(choice: Int, seed: UInt64) {
        var dice = SeededGenerator(seed: seed &* 4 &+ UInt64(choice))
        var now: UInt64 = 1_000_000_000
        var sender = LossRecovery(
            congestion: Self.choices[choice],
            maximumPacketSize: 1200,
            at: Instant(nanoseconds: now)
        )
        var next: UInt64 = 0
        // The delay that the acker feigns at present.
        var trip: UInt64 = 20_000_000
        for step in 0..<25_000 {
            if dice.chance(1, in: 200) { trip = 1 << (10 + dice.below(23)) }
            now += self.pause(&dice, trip: trip)
            let at = Instant(nanoseconds: now)
            for _ in 0..<dice.below(6) where sender.sendAllowance(at: at) > 0 {
                if dice.chance(1, in: 60) { next += 1 }
                sender.sent(
                    number: next,
                    byteCount: 40 + Int(dice.below(1_433)),
                    firstFrame: next,
                    frameCount: 1,
                    flags: dice.chance(1, in: 5) ? [.ackEliciting] : .data,
                    at: at
                )
                next += 1
            }
            if dice.chance(1, in: 50) { sender.becameApplicationLimited(at: at) }
            if dice.chance(1, in: 50) { sender.wasHeldBack(at: at) }
            if dice.chance(1, in: 5_000) { sender.pathChanged(at: at) }
            if dice.chance(1, in: 2) {
                now += dice.chance(1, in: 2) ? trip : dice.below(trip + 1)
                let body = self.body(&dice, next: next)
                _ = body.withUnsafeBytes {
                    sender.receivedAck($0, at: Instant(nanoseconds: now))
                }
            }
            if sender.deadline.nanoseconds <= now { sender.wake(at: Instant(nanoseconds: now)) }
            while sender.nextAcknowledged() != nil {}
            while sender.nextLost() != nil {}
            while sender.nextLate() != nil {}
            while sender.nextOverdue() != nil {}
            let isSound =
                sender.congestionWindow > 0 && sender.congestionWindow <= 2_000_000_000
                && sender.pacingRate > 0 && sender.pacingRate.isFinite
                && sender.bytesInFlight >= 0
            guard isSound else {
                Issue.record("step \(step): \(sender.congestionWindow) \(sender.pacingRate)")
                return
            }
        }
        #expect(sender.totalAcknowledged > 1_000)
    }
}
