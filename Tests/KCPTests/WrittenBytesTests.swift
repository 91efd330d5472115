import CPoison
import Primitives
import Testing

@testable import KCP

/// A receiver delivers what the peer wrote, and nothing else of what its memory holds.
@Suite(.serialized) struct WrittenBytesTests {
    /// New memory is full of this; no peer writes it.
    private static let poison: UInt8 = 0xA5

    /// Nearly right segments and parts, of which many overlap, leave gaps or contradict each other.
    ///
    /// What each byte of the stream may be is known: whatever somebody wrote to that place.
    @Test(arguments: 0..<90 as Range<UInt64>)
    func nothingIsDeliveredThatWasNotWritten(seed: UInt64) {
        CPoison_fill(Int32(Self.poison))
        defer { CPoison_stop() }
        var dice = SeededGenerator(seed: seed)
        let span = 12_000
        var written = [Set<UInt8>](repeating: [], count: span)
        var receiver = HostedReceiver(window: 8192, limit: 16_384)
        var delivered = 0
        for turn in 0..<400 {
            let value = UInt8(turn % 100)
            // Whoever breaks the rules is not read from any more.
            guard self.write(value, to: &receiver, seed: seed, noting: &written, &dice) else {
                break
            }
            guard dice.chance(1, in: 3) else { continue }
            let region = receiver.readableRegion()
            let count = min(region.count, Int(dice.below(900)))
            let bad = region[..<count].indices.first { place in
                !written[delivered + place].contains(region[place])
            }
            guard bad == nil else {
                Issue.record("seed \(seed), byte \(delivered + (bad ?? 0)) was never written")
                break
            }
            receiver.consumed(count)
            delivered += count
            _ = receiver.creditUpdate(
                roundTrip: .milliseconds(20),
                growth: 1 << 20,
                at: Instant(nanoseconds: UInt64(turn) * 1_000_000)
            )
        }
        if seed % 3 == 0 { #expect(delivered > 1000, "seed \(seed): \(delivered) bytes") }
    }

    /// One segment, or a part of one, that is meant for somewhere near the next byte; false when
    /// it broke the rules.
    private func write(
        _ value: UInt8,
        to receiver: inout HostedReceiver,
        seed: UInt64,
        noting written: inout [Set<UInt8>],
        _ dice: inout SeededGenerator
    ) -> Bool {
        // Segments of one length lie well; in two of three seeds some are of another.
        let isOdd = seed % 3 != 0 && dice.chance(1, in: 40)
        let size = isOdd ? 1 + Int(dice.below(700)) : 600
        let number = Int(receiver.unacknowledged) + Int(dice.below(6))
        let start = number * 600 + (isOdd && dice.chance(1, in: 2) ? Int(dice.below(300)) : 0)
        guard start + size <= written.count else { return true }
        let outcome: HostedReceiver.Outcome
        var range = start..<start + size
        if dice.chance(1, in: 2) {
            outcome = [UInt8](repeating: value, count: size).withUnsafeBytes {
                receiver.receive(number: UInt32(number), offset: UInt32(start), $0)
            }
        } else {
            let chunk = Int(dice.below(3))
            let rest = size - chunk * SegmentPart.chunkByteCount
            guard rest > 0 else { return true }
            let count = min(rest, SegmentPart.chunkByteCount * (1 + Int(dice.below(2))))
            let first = start + chunk * SegmentPart.chunkByteCount
            range = first..<first + count
            outcome = [UInt8](repeating: value, count: count).withUnsafeBytes {
                receiver.receivePart(
                    number: UInt32(number),
                    offset: UInt32(start),
                    segmentByteCount: size,
                    firstChunk: chunk,
                    $0
                )
            }
        }
        if case .accepted(_) = outcome {
            for place in range { written[place].insert(value) }
        }
        return outcome != .violation
    }
}
