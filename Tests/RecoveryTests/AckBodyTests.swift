import Primitives
import Testing

@testable import Recovery

@Suite struct AckBodyTests {
    /// A sender that has 200 packets out, numbered from `first`.
    private func sender(from first: UInt64) -> LossRecovery {
        var sender = LossRecovery(
            congestion: .auto,
            maximumPacketSize: 1200,
            at: Instant(nanoseconds: 0)
        )
        for number in first..<first + 200 {
            sender.sent(
                number: number,
                byteCount: 1000,
                firstFrame: 0,
                frameCount: 1,
                flags: .data,
                at: Instant(nanoseconds: number - first)
            )
        }
        return sender
    }

    /// The body for every second packet but the first ten.
    private func body(from first: UInt64) -> [UInt8] {
        var received = ReceivedPackets()
        for number in stride(from: first + 10, to: first + 200, by: 2) {
            received.received(
                number,
                isAckEliciting: true,
                isUrgent: false,
                at: Instant(nanoseconds: 0)
            )
        }
        var bytes = [UInt8](repeating: 0, count: 1200)
        let length = bytes.withUnsafeMutableBytes { buffer in
            buffer.baseAddress.map {
                received.writeAck(into: $0, capacity: 1200, at: Instant(nanoseconds: 7_000))
            } ?? 0
        }
        return Array(bytes[..<length])
    }

    @Test(arguments: [0, 5, 1 << 20, 1 << 55] as [UInt64])
    func refusesEveryPrefixAndChangesNothing(first: UInt64) {
        var sender = self.sender(from: first)
        let body = self.body(from: first)
        let now = Instant(nanoseconds: 1_000_000)
        for length in 0..<body.count {
            let isValid = body[..<length].withUnsafeBytes { sender.receivedAck($0, at: now) }
            #expect(!isValid)
        }
        #expect(sender.bytesInFlight == 200_000)
        #expect(sender.totalAcknowledged == 0)
        let isValid = body.withUnsafeBytes { sender.receivedAck($0, at: now) }
        #expect(isValid)
        #expect(sender.totalAcknowledged == UInt64(AckBody.writtenRanges))
    }

    @Test(arguments: 0..<8)
    func survivesEveryMutatedByte(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let first = seed % 2 == 0 ? 0 : UInt64(1) << 55
        let body = self.body(from: first)
        for index in body.indices {
            var sender = self.sender(from: first)
            var bytes = body
            for _ in 0..<4 {
                bytes[index] = UInt8(truncatingIfNeeded: random.next())
                if random.chance(1, in: 4) {
                    bytes[Int(random.below(UInt64(bytes.count)))] = UInt8.max
                }
                let before = sender.totalAcknowledged
                let isValid = bytes.withUnsafeBytes {
                    sender.receivedAck($0, at: Instant(nanoseconds: 2_000_000))
                }
                if !isValid { #expect(sender.totalAcknowledged == before) }
            }
            while sender.nextAcknowledged() != nil {}
            while sender.nextLost() != nil {}
            sender.wake(at: sender.deadline == .never ? Instant(nanoseconds: 0) : sender.deadline)
            #expect(sender.bytesInFlight >= 0)
            let resolved = sender.totalAcknowledged + sender.totalLost
            #expect(resolved <= 200 + sender.totalSpuriouslyLost)
        }
    }

    @Test func refusesWhatWasNeverSent() {
        var sender = self.sender(from: 100)
        // Largest 300, one number.
        let body: [UInt8] = [0x41, 0x2C, 0, 0, 0]
        let isValid = body.withUnsafeBytes {
            sender.receivedAck($0, at: Instant(nanoseconds: 1_000))
        }
        #expect(!isValid)
        // Below everything sent: nothing to say about it, nothing wrong.
        let early: [UInt8] = [9, 0, 0, 3]
        let isTaken = early.withUnsafeBytes {
            sender.receivedAck($0, at: Instant(nanoseconds: 1_000))
        }
        #expect(isTaken)
        #expect(sender.totalAcknowledged == 0)
    }
}
