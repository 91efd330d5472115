import Primitives
import Testing

@testable import Session

/// `max_stall`: bytes that wait for too long are dropped, and both ends hear of it.
@Suite struct StallTests {
    private static let limit = Instant.Interval.seconds(5)

    /// Both ends of one stream on a wire that can be cut.
    private final class Line {
        let wire: Wire
        let player: StreamHandle
        private(set) var backend: StreamHandle?
        /// Whether the far end takes what arrives.
        var isRead = true
        var received: [UInt8] = []
        var isCut = false

        init(
            _ limit: Instant.Interval?,
            isCompressed: Bool = false,
            limits: EngineLimits = EngineLimits()
        ) throws {
            self.wire = Wire(limits: limits)
            var request = OpenRequest(service: "echo", serviceProtocol: .tcp)
            request.maximumStall = limit
            request.isCompressed = isCompressed
            self.player = try #require(self.wire.client.openStream(request, at: self.wire.now))
            self.wire.onServerStream = { [unowned self] handle, _ in self.backend = handle }
            self.wire.passes = { [unowned self] _ in !self.isCut }
        }

        func run(_ interval: Instant.Interval) {
            self.wire.run(interval) {
                guard self.isRead, let backend = self.backend else { return }
                self.received += self.wire.server.readAll(backend, at: self.wire.now)
            }
        }

        func say(_ text: String) {
            let bytes = Array(text.utf8)
            _ = self.wire.client.write(bytes[...], to: self.player, at: self.wire.now)
        }

        var ends: (client: [ResetReason], server: [ResetReason]) {
            (Self.resets(self.wire.clientEvents), Self.resets(self.wire.serverEvents))
        }

        private static func resets(_ events: [EngineEvent]) -> [ResetReason] {
            events.compactMap { event in
                if case .streamReset(_, let reason) = event { reason } else { nil }
            }
        }

        var drops: (client: UInt64, server: UInt64) {
            let count = { (engine: Engine) in
                engine.snapshot(at: self.wire.now).counters.drops[.stalled]
            }
            return (count(self.wire.client), count(self.wire.server))
        }
    }

    /// A register was written half a minute late.
    @Test(arguments: [false, true])
    func whatWaitsInAnOutageNeverArrives(isCompressed: Bool) throws {
        let line = try Line(Self.limit, isCompressed: isCompressed)
        line.say("before ")
        line.run(.seconds(1))
        line.isCut = true
        for _ in 0..<9 {
            line.say("late ")
            line.run(.milliseconds(500))
        }
        #expect(line.ends.client.isEmpty)
        line.run(.seconds(1))
        #expect(line.ends.client == [.stalled])
        line.run(.seconds(20))
        line.isCut = false
        line.run(.seconds(10))
        #expect(line.ends.server == [.stalled])
        #expect(String(decoding: line.received, as: UTF8.self) == "before ")
        #expect(line.drops == (1, 1))
    }

    @Test func theServerHoldsToItToo() throws {
        let line = try Line(Self.limit)
        line.say("before ")
        line.run(.seconds(1))
        line.isCut = true
        let backend = try #require(line.backend)
        _ = line.wire.server.write([1, 2, 3], to: backend, at: line.wire.now)
        line.run(.milliseconds(4900))
        #expect(line.ends.server.isEmpty)
        line.run(.milliseconds(200))
        #expect(line.ends.server == [.stalled])
        line.isCut = false
        line.run(.seconds(5))
        #expect(line.ends.client == [.stalled])
        #expect(line.wire.client.readAll(line.player, at: line.wire.now).isEmpty)
    }

    @Test func aShorterOutageLosesNothing() throws {
        for limit in [Self.limit, nil] {
            let line = try Line(limit)
            line.say("a")
            line.run(.seconds(1))
            line.isCut = true
            line.say("b")
            line.run(.seconds(4))
            line.isCut = false
            line.run(.seconds(8))
            #expect(line.ends.client.isEmpty && line.ends.server.isEmpty)
            #expect(line.received == Array("ab".utf8))
        }
    }

    /// One that reads slowly has progress; one that does not read at all stalls the stream.
    @Test func aReaderThatStopsIsAStall() throws {
        var limits = EngineLimits()
        limits.streamBuffer = 65_536
        let line = try Line(Self.limit, limits: limits)
        line.run(.seconds(1))
        let backend = try #require(line.backend)
        line.isRead = false
        let block = [UInt8](repeating: 7, count: 60_000)
        for _ in 0..<40 {
            _ = line.wire.client.write(block[...], to: line.player, at: line.wire.now)
            line.run(.milliseconds(500))
            let region = line.wire.server.beginRead(from: backend)
            let count = min(region.count, 20_000)
            line.wire.server.consumed(count, from: backend, at: line.wire.now)
        }
        #expect(line.ends.client.isEmpty)
        for _ in 0..<12 {
            _ = line.wire.client.write(block[...], to: line.player, at: line.wire.now)
            line.run(.milliseconds(500))
        }
        #expect(line.ends.client == [.stalled])
        #expect(line.ends.server == [.stalled])
    }

    /// Nobody answers yet: what was written does not wait for as long as a session may take.
    @Test func aStreamWithoutASessionStallsToo() throws {
        let line = try Line(Self.limit)
        line.isCut = true
        line.say("hello")
        line.run(.milliseconds(4900))
        #expect(line.ends.client.isEmpty)
        line.run(.milliseconds(200))
        #expect(line.ends.client == [.stalled])
        line.isCut = false
        line.run(.seconds(10))
        #expect(line.ends.client == [.stalled])
        #expect(line.backend == nil && line.wire.client.snapshot(at: line.wire.now).streams == 0)
    }

    @Test func silenceIsNoStall() throws {
        let line = try Line(Self.limit)
        line.say("a")
        line.run(.seconds(60))
        #expect(line.ends.client.isEmpty && line.received == [97])
        #expect(line.drops == (0, 0))
    }

    /// The next stream in the slot is another one.
    @Test func aSlotsNextStreamIsNotEnded() throws {
        let line = try Line(Self.limit)
        line.run(.seconds(1))
        line.isCut = true
        line.say("a")
        line.run(.seconds(1))
        line.isCut = false
        line.wire.client.reset(line.player, reason: .aborted, at: line.wire.now)
        line.run(.seconds(3))
        let request = OpenRequest(service: "echo", serviceProtocol: .tcp)
        let next = try #require(line.wire.client.openStream(request, at: line.wire.now))
        #expect(next.slot == line.player.slot)
        line.isCut = true
        _ = line.wire.client.write([1], to: next, at: line.wire.now)
        line.run(.seconds(10))
        #expect(line.ends.client.isEmpty)
    }
}
