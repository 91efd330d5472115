import Primitives
import Testing

@testable import KCP

/// A segment larger than 4 KiB (an `mtu` above that) against a full budget.
@Suite struct LargeSegmentMemoryTests {
    @Test func largeNextSegmentWithoutRoom() {
        var receiver = HostedReceiver(window: 65_536, limit: 65_536, largestSegment: 9_000)
        let bytes = [UInt8](repeating: 1, count: 8_900)
        let outcome = bytes.withUnsafeBytes {
            receiver.receive(number: 0, offset: 0, $0, allowance: .none)
        }
        #expect(outcome == .accepted(isReadable: true))
    }
    @Test func largePartWithoutRoom() {
        var receiver = HostedReceiver(window: 65_536, limit: 65_536, largestSegment: 9_000)
        let bytes = [UInt8](repeating: 1, count: 1024)
        let outcome = bytes.withUnsafeBytes {
            receiver.receivePart(
                number: 0,
                offset: 0,
                segmentByteCount: 8_900,
                firstChunk: 0,
                $0,
                allowance: .none
            )
        }
        #expect(outcome == .accepted(isReadable: false))
    }
}
