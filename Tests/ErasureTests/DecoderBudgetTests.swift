import Primitives
import Testing

@testable import Erasure

/// The work that hostile frames can cause, counted and not timed.
@Suite struct DecoderBudgetTests {
    /// Small repairs over windows that overlap keep the equations full and have symbols given up
    /// for each; now and then a number that leaps.
    private func attack(_ decoder: SlidingWindowDecoder, frames: Int, seed: UInt64) -> Int {
        var dice = SeededGenerator(seed: seed)
        var last: UInt32 = 200
        var refused = 0
        for frame in 0..<frames {
            last &+= UInt32(dice.below(3))
            let window = UInt8(48 + dice.below(16))
            var body = (0..<4).map { UInt8(truncatingIfNeeded: last >> ($0 * 8)) }
            body += [window, UInt8(truncatingIfNeeded: dice.next()), 0]
            body += [4, 0] + (0..<4).map { _ in UInt8(truncatingIfNeeded: dice.next()) }
            if body.withUnsafeBytes({ decoder.received(repair: $0) }) == .overBudget {
                refused += 1
            }
            if frame % 50 == 49 {
                [UInt8](repeating: 1, count: 4).withUnsafeBytes {
                    decoder.received(last &+ 40, $0)
                }
                last &+= 40
            }
            while decoder.nextRecovered() != nil {}
        }
        return refused
    }

    @Test(arguments: 1...5 as ClosedRange<UInt64>)
    func workIsBoundedByTheNumberOfFrames(seed: UInt64) {
        let frames = 4000
        let free = SlidingWindowDecoder(from: 0, maximumMessageByteCount: 1472)
        #expect(self.attack(free, frames: frames, seed: seed) == 0)
        // Without a budget the attack does cost what it is meant to.
        #expect(free.work > 40 * frames, "\(free.work)")

        let bounded = SlidingWindowDecoder(
            from: 0,
            maximumMessageByteCount: 1472,
            hasBudget: true
        )
        let refused = self.attack(bounded, frames: frames, seed: seed)
        #expect(refused > 0)
        // What is allowed, what is saved up, and the frames that cost more than was left.
        #expect(bounded.work < 17 * (frames + frames / 50) + 2048 + 4096, "\(bounded.work)")
    }

    /// Bursts that a sender of ours repairs are within the budget: as many come back as without.
    @Test func honestBurstsAreRepaired() throws {
        var recovered: [Int] = []
        for hasBudget in [false, true] {
            var dice = SeededGenerator(seed: 4)
            let encoder = SlidingWindowEncoder(maximumMessageByteCount: 1200)
            let decoder = SlidingWindowDecoder(
                from: 0,
                maximumMessageByteCount: 1200,
                hasBudget: hasBudget
            )
            var buffer = [UInt8](repeating: 0, count: 1500)
            var burst = 0
            var count = 0
            for number in 0..<6000 as Range<UInt32> {
                let message = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 900)
                message.withUnsafeBytes { encoder.sent(number, $0) }
                if burst == 0, dice.chance(1, in: 200) { burst = 1 + Int(dice.below(20)) }
                if burst > 0 {
                    burst -= 1
                } else {
                    message.withUnsafeBytes { decoder.received(number, $0) }
                }
                if number % 4 == 3, burst == 0 {
                    let size = buffer.withUnsafeMutableBytes {
                        encoder.repair(window: 64, into: $0)
                    }
                    if let size {
                        buffer.withUnsafeBytes {
                            _ = decoder.received(repair: .init(rebasing: $0[..<size]))
                        }
                    }
                }
                while decoder.nextRecovered() != nil { count += 1 }
            }
            recovered.append(count)
        }
        #expect(recovered[0] > 50)
        #expect(recovered[0] == recovered[1])
    }
}
