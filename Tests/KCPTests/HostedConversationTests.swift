import KCP
import Primitives
import Testing

/// Both halves behind one reference, because closures cannot capture a noncopyable local.
private final class Ends {
    var sender: HostedSender
    var receiver: HostedReceiver

    init(capacity: Int, window: Int) {
        self.sender = HostedSender(capacity: capacity, credit: UInt64(window))
        self.receiver = HostedReceiver(window: window, limit: capacity)
    }
}

@Suite struct HostedConversationTests {
    /// Segments travel through a shuffled, lossy, duplicating pipe and come out as they went in.
    @Test(arguments: Array(UInt64(0)..<40))
    func deliversInOrderWhateverHappens(seed: UInt64) {
        var dice = SeededGenerator(seed: seed)
        let total = 200_000
        let source = (0..<total).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
        let ends = Ends(capacity: 65_536, window: 16_384)
        var pipe: [(HostedSender.Segment, [UInt8])] = []
        var delivered: [UInt8] = []
        var written = 0
        var clock = Instant(nanoseconds: 0)

        var rounds = 0
        while delivered.count < total, rounds < 200_000 {
            rounds += 1
            clock = clock + .milliseconds(1)
            if written < total {
                let end = min(total, written + Int(dice.below(5000)))
                written += source[written..<end].withUnsafeBytes { ends.sender.write($0) }
            }
            let room = 100 + Int(dice.below(1400))
            // The path shrinks and grows: what was cut larger goes out in parts.
            let largest = rounds / 1000 % 2 == 0 ? 1500 : 600
            if let segment = ends.sender.takeLost(
                room: 1500,
                largest: largest,
                partRoom: largest
            ) ?? ends.sender.cutSegment(room: room) {
                var bytes = [UInt8](repeating: 0, count: segment.byteCount)
                bytes.withUnsafeMutableBytes { target in
                    if let base = target.baseAddress { ends.sender.copy(segment, to: base) }
                }
                pipe.append((segment, bytes))
            }
            if !pipe.isEmpty, dice.chance(1, in: 2) {
                let place = Int(dice.below(UInt64(pipe.count)))
                let isLost = dice.chance(1, in: 10)
                self.carry(pipe.remove(at: place), between: ends, isLost: isLost)
            }
            let region = ends.receiver.readableRegion()
            let take = min(region.count, Int(dice.below(3000)))
            delivered += region[..<take]
            ends.receiver.consumed(take)
            let credit = ends.receiver.creditUpdate(
                roundTrip: .milliseconds(20),
                growth: 1 << 20,
                at: clock
            )
            if let credit { ends.sender.raiseCredit(to: credit) }
            let held = ends.receiver.memoryByteCount
            // The window, and records of what came ahead of a gap.
            #expect(held <= 65_536 + 8_192)
        }
        #expect(delivered == source)
        for (segment, _) in pipe { ends.sender.acknowledge(segment.number, part: segment.part) }
        let isDrained = ends.sender.isEverythingAcknowledged
        let end = ends.receiver.finish(at: UInt32(ends.sender.segmentCount))
        let isFinished = ends.receiver.isFinished
        #expect(isDrained && isFinished && end == .accepted(isReadable: true))
    }

    private func carry(
        _ packet: (segment: HostedSender.Segment, bytes: [UInt8]),
        between ends: Ends,
        isLost: Bool
    ) {
        let number = packet.segment.number
        guard !isLost else {
            ends.sender.lose(number)
            return
        }
        let segment = packet.segment
        let outcome = packet.bytes.withUnsafeBytes {
            segment.part == .whole
                ? ends.receiver.receive(
                    number: number,
                    offset: UInt32(truncatingIfNeeded: segment.offset),
                    $0
                )
                : ends.receiver.receivePart(
                    number: number,
                    offset: UInt32(truncatingIfNeeded: segment.segmentOffset),
                    segmentByteCount: segment.segmentByteCount,
                    firstChunk: Int(segment.part.first),
                    $0
                )
        }
        #expect(outcome != .violation)
        ends.sender.acknowledge(number, part: segment.part)
    }

    @Test func refusesWhatBreaksTheRules() {
        let ends = Ends(capacity: 4096, window: 1000)
        let bytes = [UInt8](repeating: 7, count: 600)
        var outcomes: [HostedReceiver.Outcome] = []
        bytes.withUnsafeBytes { bytes in
            for (number, offset) in [(0, 5), (40_000, 0), (1, 600), (0, 0), (0, 0), (1, 600)] {
                outcomes.append(
                    ends.receiver.receive(number: UInt32(number), offset: UInt32(offset), bytes)
                )
            }
        }
        for number in [0, 1, 1, 2] as [UInt32] { outcomes.append(ends.receiver.finish(at: number)) }
        bytes.withUnsafeBytes { bytes in
            outcomes.append(ends.receiver.receive(number: 1, offset: 600, bytes))
        }
        #expect(
            outcomes == [
                .violation, .violation, .violation, .accepted(isReadable: true), .duplicate,
                .violation, .violation, .accepted(isReadable: true), .duplicate, .violation,
                .violation,
            ]
        )
        let before = ends.receiver.isFinished
        ends.receiver.consumed(600)
        let after = ends.receiver.isFinished
        #expect(!before && after)
    }
}
