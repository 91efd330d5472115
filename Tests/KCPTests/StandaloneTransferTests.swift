import Primitives
import Testing

@testable import KCP

@Suite("Standalone KCP over a bad link")
struct StandaloneTransferTests {
    /// Sends `data` from Alice to Bob as a stream and returns what Bob read, and when he had it.
    private func transfer(
        _ data: [UInt8],
        over pair: inout LossyPair,
        within limit: UInt64 = 600_000
    ) -> [UInt8] {
        var sent = 0
        var read: [UInt8] = []
        let start = pair.now
        while read.count < data.count || pair.alice.pendingSegments > 0,
            pair.now - start < limit, pair.alice.state == .open
        {
            sent += pair.alice.send(data[sent..<min(sent + 20_000, data.count)]) ?? 0
            pair.step()
            while let bytes = pair.bob.receive() { read += bytes }
        }
        return read
    }

    @Test("delivers in order, once and unaltered", arguments: 0..<12 as Range<UInt64>)
    func inOrder(seed: UInt64) {
        let settings = StandaloneSettings.fast {
            $0.noDelay = Int(seed % 3)
            $0.fastResend = seed % 4 == 0 ? 0 : 2
            $0.deadLink = 100
        }
        let weather = LossyPair.Weather(
            lossPercent: seed * 3,
            repeatPercent: seed,
            jitter: seed % 5 * 6
        )
        var pair = LossyPair(settings, weather, seed: seed)
        let data = Pattern.bytes(150_000, seed: seed)
        #expect(self.transfer(data, over: &pair) == data)
        #expect(pair.alice.pendingSegments == 0)
    }

    @Test("carries both directions at once")
    func bothDirections() {
        let settings = StandaloneSettings.fast()
        var pair = LossyPair(settings, .init(lossPercent: 10, jitter: 5), seed: 3)
        let data = [Pattern.bytes(100_000, seed: 1), Pattern.bytes(100_000, seed: 2)]
        var sent = [0, 0]
        var read: [[UInt8]] = [[], []]
        let ends = [pair.alice, pair.bob]
        while read[0].count + read[1].count < 200_000, pair.now < 60_000 {
            for side in 0..<2 {
                let part = data[side][sent[side]..<min(sent[side] + 9000, 100_000)]
                sent[side] += ends[side].send(part) ?? 0
            }
            pair.step()
            for side in 0..<2 {
                while let bytes = ends[1 - side].receive() { read[side] += bytes }
            }
        }
        #expect(read == data)
    }

    @Test("does not notice the wrap of sn, nor that of ts")
    func wrap() {
        let settings = StandaloneSettings.fast { $0.firstSerial = .max - 20 }
        var pair = LossyPair(
            settings,
            .init(lossPercent: 10, jitter: 10),
            seed: 5,
            now: UInt64(UInt32.max) - 200
        )
        let data = Pattern.bytes(200_000, seed: 5)
        #expect(self.transfer(data, over: &pair, within: 20_000) == data)
        #expect(pair.alice.sending.next < 1000)
    }

    @Test("uses a path without loss, with congestion control too")
    func congestionControl() {
        let settings = StandaloneSettings.fast { $0.ignoresCongestion = false }
        var pair = LossyPair(settings, .init(delay: 20), seed: 1)
        let data = Pattern.bytes(1_000_000, seed: 1)
        #expect(self.transfer(data, over: &pair) == data)
        // The window of 128 segments alone would allow it in 0.3 s.
        #expect(pair.now < 1200)
        #expect(pair.alice.statistics.segmentsSent < 740)
    }

    @Test("repairs loss sooner with fast resend, retransmissions included")
    func fastResend() {
        var times: [UInt64] = [0, 0]
        var timeouts = [0, 0]
        for seed in 0..<4 as Range<UInt64> {
            for (index, resend) in [0, 2].enumerated() {
                let settings = StandaloneSettings.fast { $0.fastResend = resend }
                var pair = LossyPair(settings, .init(lossPercent: 20, delay: 30), seed: seed)
                let data = Pattern.bytes(300_000, seed: 8)
                #expect(self.transfer(data, over: &pair) == data)
                times[index] += pair.now
                timeouts[index] += pair.alice.statistics.timeouts
                // 219 segments at 20 % loss need 274 transmissions at least.
                #expect(pair.alice.statistics.segmentsSent < 400)
            }
        }
        #expect(times[1] < times[0] * 9 / 10, "\(times)")
        #expect(timeouts[1] < timeouts[0], "\(timeouts)")
    }

    @Test("keeps message boundaries, the empty message included", arguments: [0, 15] as [UInt64])
    func messages(loss: UInt64) {
        let settings = StandaloneSettings.fast { $0.isStream = false }
        var pair = LossyPair(settings, .init(lossPercent: loss, jitter: 8), seed: 4)
        var generator = SeededGenerator(seed: loss)
        let messages = (0..<60 as Range<UInt64>).map { index in
            Pattern.bytes(
                index % 7 == 0 ? 0 : Int(generator.below(index % 10 == 1 ? 65_507 : 3000)),
                seed: index
            )
        }
        var waiting = messages[...]
        var read: [[UInt8]] = []
        while read.count < messages.count, pair.now < 60_000 {
            while let message = waiting.first, pair.alice.send(message) != nil {
                waiting = waiting.dropFirst()
            }
            pair.step()
            while let size = pair.bob.nextMessageByteCount {
                #expect(pair.bob.receive(room: max(0, size - 1)) == nil || size == 0)
                guard size > 0 else {
                    read.append([])
                    continue
                }
                if let message = pair.bob.receive() { read.append(message) }
            }
        }
        #expect(read == messages)
    }

    @Test("takes a message whole or not at all")
    func messageLimits() {
        let settings = StandaloneSettings.fast {
            $0.isStream = false
            $0.sendWindow = 200
            $0.sendQueue = 100
        }
        let conversation = StandaloneConversation(settings)
        let size = settings.segmentSize
        #expect(conversation.send(Pattern.bytes(size * 255 + 1, seed: 1)) == nil)
        #expect(conversation.pendingSegments == 0)
        #expect(conversation.send(Pattern.bytes(size * 255, seed: 1)) == size * 255)
        #expect(conversation.send(Pattern.bytes(size * 46, seed: 1)) == nil)
        #expect(conversation.pendingSegments == 255)
    }

    @Test("notices a message that can never be read")
    func unreadable() {
        let sender = StandaloneSettings.fast { $0.isStream = false }
        var receiver = sender
        receiver.receiveWindow = 8
        var pair = LossyPair(sender, receiver, .init(), seed: 1)
        _ = pair.alice.send(Pattern.bytes(sender.segmentSize * 9, seed: 1))
        for _ in 0..<500 { pair.step() }
        #expect(pair.bob.state == .unreadableMessage)
    }
}
