import Primitives
import Testing

@testable import Session

/// What a hostile peer may say about the fragments of its datagrams.
@Suite struct ReassemblyTests {
    private struct Fragment {
        var index: Int
        var count: Int
        var offset: Int
        var total: Int
        var bytes: [UInt8]
    }

    private static let now = Instant(nanoseconds: 1_000_000_000)

    private func give(
        _ fragment: Fragment,
        number: UInt32 = 1,
        to reassembly: inout Reassembly
    ) -> (isMalformed: Bool, datagram: [UInt8]?) {
        fragment.bytes.withUnsafeBytes {
            let outcome = reassembly.receive(
                flow: 1,
                number: number,
                index: fragment.index,
                count: fragment.count,
                offset: fragment.offset,
                total: fragment.total,
                $0,
                at: Self.now
            )
            switch outcome {
            case .incomplete: return (false, nil)
            case .malformed: return (true, nil)
            case .complete(let bytes): return (false, [UInt8](bytes))
            }
        }
    }

    /// Fragments whose lengths add up but that all lie at offset 0 leave bytes unwritten: these
    /// would be what another peer's datagram left in the memory.
    @Test func lengthsThatAddUpAreNotEnough() {
        var reassembly = Reassembly()
        let secret = [UInt8](repeating: 0x5E, count: 1000)
        for index in 0..<2 {
            let half = Fragment(
                index: index,
                count: 2,
                offset: index * 500,
                total: 1000,
                bytes: Array(secret[index * 500..<index * 500 + 500])
            )
            _ = self.give(half, to: &reassembly)
        }
        var last: (isMalformed: Bool, datagram: [UInt8]?) = (false, nil)
        for index in 0..<2 {
            let part = Fragment(
                index: index,
                count: 2,
                offset: 0,
                total: 1000,
                bytes: [UInt8](repeating: 1, count: 500)
            )
            last = self.give(part, number: 2, to: &reassembly)
            #expect(last.datagram == nil)
        }
        #expect(last.isMalformed)
    }

    @Test func fragmentsInAnyOrderMakeTheDatagram() {
        var dice = SeededGenerator(seed: 9)
        var reassembly = Reassembly()
        for round in 0..<200 as Range<UInt32> {
            let count = 2 + Int(dice.below(254))
            let total = count + Int(dice.below(UInt64(65_508 - count) + 1))
            let whole = (0..<total).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ Int(round)) }
            let cuts = Self.cuts(total, into: count, &dice)
            var order = Array(0..<count)
            order.shuffle(using: &dice)
            var delivered: [UInt8]?
            for index in order {
                let range = cuts[index]..<cuts[index + 1]
                let fragment = Fragment(
                    index: index,
                    count: count,
                    offset: range.lowerBound,
                    total: total,
                    bytes: Array(whole[range])
                )
                let outcome = self.give(fragment, number: round, to: &reassembly)
                #expect(!outcome.isMalformed)
                delivered = outcome.datagram
            }
            #expect(delivered == whole, "round \(round)")
        }
    }

    /// Whatever is claimed, only bytes that this datagram's fragments wrote are delivered: the
    /// memory is full of 0xA5 from other datagrams, and no hostile fragment holds that byte.
    @Test func nothingIsDeliveredThatWasNotWritten() {
        var dice = SeededGenerator(seed: 77)
        var reassembly = Reassembly()
        var deliveries = 0
        for round in 0..<4000 as Range<UInt32> {
            for index in 0..<2 {
                let poison = Fragment(
                    index: index,
                    count: 2,
                    offset: index * 32_754,
                    total: 65_508,
                    bytes: [UInt8](repeating: 0xA5, count: 32_754)
                )
                if round % 40 == 0 {
                    _ = self.give(poison, number: 1_000_000 + round, to: &reassembly)
                }
            }
            let count = 2 + Int(dice.below(3))
            let total = count + Int(dice.below(12))
            for _ in 0..<(count + 2) {
                let offset = Int(dice.below(UInt64(total)))
                let length = 1 + Int(dice.below(UInt64(total - offset)))
                let fragment = Fragment(
                    index: Int(dice.below(UInt64(count) + 1)),
                    count: count,
                    offset: offset,
                    total: total,
                    bytes: [UInt8](repeating: 1, count: length)
                )
                let outcome = self.give(fragment, number: round, to: &reassembly)
                guard let datagram = outcome.datagram else { continue }
                deliveries += 1
                #expect(datagram.count == total && !datagram.contains(0xA5), "round \(round)")
            }
        }
        #expect(deliveries > 20)
    }

    /// Boundaries of `count` non-empty pieces of `total` bytes.
    private static func cuts(
        _ total: Int,
        into count: Int,
        _ dice: inout SeededGenerator
    ) -> [Int] {
        var inner: Set<Int> = []
        while inner.count < count - 1 { inner.insert(1 + Int(dice.below(UInt64(total - 1)))) }
        return [0] + inner.sorted() + [total]
    }
}
