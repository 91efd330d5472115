import Primitives
import Testing

@testable import KCP

@Suite("Standalone KCP's windows and timers")
struct StandaloneWindowTests {
    @Test("stops at a closed window, asks, and goes on once it opens")
    func closedWindow() {
        let settings = StandaloneSettings.fast { $0.receiveWindow = 16 }
        var pair = LossyPair(settings, .init(), seed: 1)
        let data = Pattern.bytes(100_000, seed: 1)
        var sent = pair.alice.send(data) ?? 0
        for _ in 0..<5000 { pair.step() }
        #expect(pair.alice.remoteWindow == 0)
        #expect(pair.bob.receiving.unreadSegments == 16)
        #expect(pair.alice.state == .open)
        // The window of 128 that everyone assumes at first was overrun once, not again.
        #expect(pair.bob.statistics.refused < 300)

        // Nothing but the question travels: 0.5 s, then ever more rarely.
        let before = pair.alice.statistics
        for _ in 0..<5000 { pair.step() }
        #expect(pair.alice.statistics.datagramsSent - before.datagramsSent <= 5)

        var read: [UInt8] = []
        let resumed = pair.now
        while read.count < data.count, pair.now < 60_000 {
            while let bytes = pair.bob.receive() { read += bytes }
            sent += pair.alice.send(data[sent...]) ?? 0
            pair.step()
        }
        #expect(read == data)
        #expect(pair.now - resumed < 1000)
    }

    @Test("recovers although the news of the open window is lost")
    func lostNews() {
        let settings = StandaloneSettings.fast { $0.receiveWindow = 16 }
        var pair = LossyPair(settings, .init(), seed: 1)
        let data = Pattern.bytes(60_000, seed: 1)
        _ = pair.alice.send(data)
        for _ in 0..<1000 { pair.step() }
        pair.weather.lossPercent = 100
        var read: [UInt8] = []
        while let bytes = pair.bob.receive() { read += bytes }
        for _ in 0..<50 { pair.step() }
        pair.weather.lossPercent = 0
        while read.count < data.count, pair.now < 20_000 {
            while let bytes = pair.bob.receive() { read += bytes }
            pair.step()
        }
        #expect(read == data)
    }

    @Test("holds a bounded queue and takes the rest later")
    func boundedQueue() {
        let settings = StandaloneSettings.fast {
            $0.sendWindow = 10
            $0.sendQueue = 20
        }
        let conversation = StandaloneConversation(settings)
        let data = Pattern.bytes(100_000, seed: 1)
        #expect(conversation.send(data) == 30 * settings.segmentSize)
        #expect(conversation.send(data) == 0)
        #expect(conversation.pendingSegments == 30)
        conversation.flush(at: Instant(nanoseconds: 0))
        var datagrams = 0
        while conversation.next(at: Instant(nanoseconds: 0)) != nil { datagrams += 1 }
        #expect(datagrams == 10)
    }

    @Test("serves windows of 65,535 segments")
    func largestWindow() {
        let settings = StandaloneSettings.fast {
            $0.sendWindow = 1 << 20
            $0.receiveWindow = 1 << 20
            $0.maximumDatagram = 60
        }
        let conversation = StandaloneConversation(settings)
        #expect(conversation.settings.receiveWindow == 65_535)
        _ = conversation.send([1])
        conversation.flush(at: Instant(nanoseconds: 0))
        let datagram = conversation.next(at: Instant(nanoseconds: 0))
        #expect(datagram.map { Array($0[6..<8]) } == [0xFF, 0xFF])
    }

    @Test("declares a link dead after twenty transmissions")
    func deadLink() {
        var pair = LossyPair(.fast(), .init(lossPercent: 100), seed: 1)
        _ = pair.alice.send([1, 2, 3])
        while pair.alice.state == .open, pair.now < 2_000_000 { pair.step() }
        #expect(pair.alice.state == .deadLink)
        #expect(pair.alice.statistics.segmentsSent == 20)
        #expect(pair.alice.deadline == .never)
    }

    @Test("backs off as nodelay says", arguments: [0, 1, 2])
    func backoff(noDelay: Int) {
        var settings = StandaloneSettings(conversation: 1)
        settings.noDelay = noDelay
        var timing = StandaloneTiming(settings)
        timing.sample(100)
        // 100 + max(100, 4 × 50)
        #expect(timing.timeout(after: 0) == (noDelay == 0 ? 337 : 300))
        #expect(timing.timeout(after: 1) == [600, 450, 450][noDelay])
        #expect(timing.timeout(after: 2) == [1200, 675, 600][noDelay])
        #expect(timing.timeout(after: 31) == (noDelay == 2 ? 4950 : 60_000))
    }

    @Test("waits a tick for company, and arms nothing when there is nothing to do")
    func ticks() {
        let settings = StandaloneSettings.fast { $0.interval = 40 }
        var pair = LossyPair(settings, .init(), seed: 1)
        #expect(pair.alice.deadline == .never)
        _ = pair.alice.send([1])
        #expect(pair.alice.deadline <= pair.instant)
        pair.step()
        let first = pair.now
        #expect(pair.alice.statistics.datagramsSent == 1)
        _ = pair.alice.send([2])
        _ = pair.alice.send([3])
        while pair.alice.statistics.datagramsSent < 2, pair.now < 1000 { pair.step() }
        #expect(pair.now - first == 40)
        for _ in 0..<300 { pair.step() }
        #expect(pair.alice.statistics.segmentsSent == 2)
        #expect(pair.bob.receive() == [1, 2, 3])
        #expect(pair.alice.deadline == .never)
        #expect(pair.bob.deadline == .never)
        #expect(pair.isQuiet)
    }
}
