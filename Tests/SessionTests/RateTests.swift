import Primitives
import Recovery
import Testing

@testable import Session

/// `rate_up` and `rate_down`: what a peer may send and be sent.
@Suite struct RateTests {
    private static let rate: UInt64 = 250_000

    private func crowd(_ change: (inout PeerQuota) -> Void) -> (Crowd, Int) {
        var quota = PeerQuota()
        change(&quota)
        let crowd = Crowd(quotas: [quota])
        let member = crowd.join(0)
        crowd.run(.seconds(1))
        return (crowd, member)
    }

    /// Writes as much as the engine takes.
    private func pour(_ engine: Engine, _ stream: StreamHandle, at now: Instant) {
        while true {
            let region = engine.beginWrite(to: stream)
            guard !region.isEmpty else { return }
            region.initializeMemory(as: UInt8.self, repeating: 5)
            engine.wrote(region.count, to: stream, at: now)
        }
    }

    private func swallow(_ engine: Engine, at now: Instant) {
        while let stream = engine.nextReadyStream() {
            while true {
                let region = engine.beginRead(from: stream)
                guard !region.isEmpty else { break }
                engine.consumed(region.count, from: stream, at: now)
            }
        }
    }

    @Test func uploadsKeepToTheRateWithoutLosses() throws {
        let (crowd, member) = self.crowd { $0.rateUp = Self.rate }
        let stream = try #require(crowd.openStreams(member, count: 1).first)
        let engine = crowd.members[member].engine
        let before = crowd.bytesUp[member] ?? 0
        crowd.run(.seconds(8)) {
            self.pour(engine, stream, at: crowd.now)
            self.swallow(crowd.server, at: crowd.now)
        }
        let rate = Double((crowd.bytesUp[member] ?? 0) - before) / 8
        #expect(rate > 0.9 * Double(Self.rate) && rate < 1.05 * Double(Self.rate))
        #expect(crowd.server.snapshot(at: crowd.now).counters.drops[.rateLimited] == 0)
    }

    @Test func downloadsKeepToTheRate() throws {
        let (crowd, member) = self.crowd { $0.rateDown = Self.rate }
        _ = crowd.openStreams(member, count: 1)
        crowd.run(.milliseconds(100))
        var stream: StreamHandle?
        for case .streamOpened(let handle, _, _) in crowd.serverEvents { stream = handle }
        let handle = try #require(stream)
        let engine = crowd.members[member].engine
        let before = crowd.bytesDown[member] ?? 0
        crowd.run(.seconds(8)) {
            self.pour(crowd.server, handle, at: crowd.now)
            self.swallow(engine, at: crowd.now)
        }
        let rate = Double((crowd.bytesDown[member] ?? 0) - before) / 8
        #expect(rate > 0.9 * Double(Self.rate) && rate < 1.05 * Double(Self.rate))
    }

    /// Datagrams do not wait for the pacer of streams: they, too, keep to the rate.
    @Test func datagramsKeepToTheRate() {
        let (crowd, member) = self.crowd { $0.rateUp = Self.rate }
        let flows = crowd.openFlows(member, count: 1)
        let before = crowd.bytesUp[member] ?? 0
        var next = crowd.now
        crowd.run(.seconds(8)) {
            while next <= crowd.now {
                crowd.speak(member, on: flows, byteCount: 1000)
                next = next + .milliseconds(2)
            }
        }
        let rate = Double((crowd.bytesUp[member] ?? 0) - before) / 8
        #expect(rate > 0.5 * Double(Self.rate) && rate < 1.1 * Double(Self.rate))
        #expect(crowd.server.snapshot(at: crowd.now).counters.drops[.rateLimited] == 0)
    }

    /// A client that does not know the frame, or does not care.
    @Test func theServerSeesToIt() throws {
        let (crowd, member) = self.crowd { $0.rateUp = Self.rate }
        let stream = try #require(crowd.openStreams(member, count: 1).first)
        let engine = crowd.members[member].engine
        let session = try #require(engine.sessions.compactMap { $0 }.first)
        session.rates.limit(to: nil, at: crowd.now)
        let received = crowd.server.snapshot(at: crowd.now).counters.wireBytesReceived
        crowd.run(.seconds(8)) {
            self.pour(engine, stream, at: crowd.now)
            self.swallow(crowd.server, at: crowd.now)
        }
        let counters = crowd.server.snapshot(at: crowd.now).counters
        #expect(counters.drops[.rateLimited] > 0)
        #expect(counters.wireBytesReceived > received)
        #expect(crowd.resets(member) == [] && engine.isSessionUp)
    }

    @Test func aReloadLiftsTheRate() throws {
        let (crowd, member) = self.crowd { $0.rateUp = Self.rate }
        crowd.change(0) { $0.rateUp = nil }
        let stream = try #require(crowd.openStreams(member, count: 1).first)
        let engine = crowd.members[member].engine
        let before = crowd.bytesUp[member] ?? 0
        // Eight seconds' worth at the rate that was.
        var left = 8 * Int(Self.rate)
        crowd.run(.seconds(2)) {
            let region = engine.beginWrite(to: stream)
            let count = min(region.count, left)
            if count > 0 { engine.wrote(count, to: stream, at: crowd.now) }
            left -= count
            self.swallow(crowd.server, at: crowd.now)
        }
        #expect((crowd.bytesUp[member] ?? 0) - before >= 8 * Int(Self.rate))
    }
}
