import Primitives
import Testing

@testable import KCP

/// What a peer can make a receiver hold.
@Suite struct HostedMemoryTests {
    private func receive(
        _ receiver: inout HostedReceiver,
        _ number: UInt32,
        at offset: UInt32,
        _ bytes: [UInt8] = [1],
        allowance: MemoryAllowance = .unbounded
    ) -> HostedReceiver.Outcome {
        bytes.withUnsafeBytes {
            receiver.receive(number: number, offset: offset, $0, allowance: allowance)
        }
    }

    /// A byte at a number far ahead asked for half a megabyte of records.
    @Test func missingSegmentsHoldAByteEach() {
        var receiver = HostedReceiver(window: 65_536, limit: 65_536)
        let outcome = self.receive(&receiver, 32_767, at: 1)
        #expect(outcome == .violation)
        #expect(receiver.memoryByteCount < 1024)
    }

    /// Nor does it ask for a record of each number before it, which is as much work as memory.
    @Test func aSegmentFarAheadCostsItsOwnRecordOnly() {
        var receiver = HostedReceiver(window: 65_536, limit: 65_536)
        let before = receiver.memoryByteCount
        #expect(self.receive(&receiver, 32_767, at: 40_000) == .accepted(isReadable: false))
        #expect(receiver.memoryByteCount - before > 65_536)
        #expect(receiver.memoryByteCount - before < 65_536 + 20_000)
    }

    @Test func recordsAreCountedAsMemory() {
        var receiver = HostedReceiver(window: 65_536, limit: 65_536)
        _ = self.receive(&receiver, 32_767, at: 40_000)
        let before = receiver.memoryByteCount
        for number in 1...500 as ClosedRange<UInt32> {
            _ = self.receive(&receiver, number * 64, at: 1 + number * 64)
        }
        #expect(receiver.memoryByteCount - before > 500 * 256)
    }

    /// Records are gone when the numbers below are complete, wherever in a block that happens.
    @Test(arguments: [1, 31, 32, 33, 63, 64, 65, 1000] as [UInt32])
    func recordsGoWhenTheGapIsFilled(ahead: UInt32) {
        var receiver = HostedReceiver(window: 65_536, limit: 65_536)
        var next: UInt32 = 0
        for _ in 0..<5 {
            for number in next + 1...next + ahead {
                #expect(self.receive(&receiver, number, at: number) == .accepted(isReadable: false))
            }
            #expect(self.receive(&receiver, next + 1, at: next + 1) == .duplicate)
            #expect(self.receive(&receiver, next, at: next) == .accepted(isReadable: true))
            next += ahead + 1
            #expect(receiver.unacknowledged == next)
            for _ in 0..<7 {
                #expect(self.receive(&receiver, next, at: next) == .accepted(isReadable: true))
                next += 1
            }
        }
        let count = receiver.readableByteCount
        #expect(count == Int(next))
        receiver.consumed(count)
        receiver.releaseIdle()
        #expect(receiver.memoryByteCount == 0)
    }

    /// Without memory nothing grows, and what is next in order comes all the same: a stream
    /// whose reader reads is never stuck.
    @Test func withoutRoomTheStreamStillGoesOn() {
        var receiver = HostedReceiver(window: 65_536, limit: 65_536)
        #expect(self.receive(&receiver, 32_767, at: 40_000, allowance: .none) == .noRoom)
        var offset: UInt32 = 0
        for number in 0..<400 as Range<UInt32> {
            let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 1000)
            let outcome = self.receive(&receiver, number, at: offset, bytes, allowance: .none)
            #expect(outcome == .accepted(isReadable: true))
            #expect([UInt8](receiver.readableRegion().prefix(1000)).first == bytes[0])
            let count = receiver.readableByteCount
            receiver.consumed(count)
            offset += 1000
            _ = receiver.creditUpdate(
                roundTrip: .milliseconds(1),
                growth: 0,
                at: Instant(nanoseconds: UInt64(number) * 1_000_000_000)
            )
        }
        #expect(receiver.memoryByteCount <= 65_536 + 1024)
    }
}
