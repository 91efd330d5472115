import Primitives
import Session

/// The application at one end of a stream: writes its pattern, checks the other's.
final class StreamEnd {
    let plan: StreamPlan
    let side: Side
    let handle: StreamHandle
    private(set) var sent: UInt64 = 0
    private(set) var received: UInt64 = 0
    private(set) var hasFinished = false
    private(set) var sawEnd = false
    /// When the application does something by itself.
    private(set) var nextActionAt: Instant
    private var writeAt: Instant
    private var readAt: Instant
    /// Set when the application has reset the stream.
    private(set) var hasReset = false
    private let outgoing: Pattern
    private let incoming: Pattern
    private let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)

    init(plan: StreamPlan, side: Side, handle: StreamHandle, at now: Instant) {
        self.plan = plan
        self.side = side
        self.handle = handle
        self.outgoing = plan.pattern(from: side)
        self.incoming = plan.pattern(from: side == .client ? .server : .client)
        self.writeAt = side == .server ? now + plan.connectDelay : now
        self.readAt = self.writeAt
        if case .late(let until) = plan.readers[side.index] { self.readAt = max(now, until) }
        self.nextActionAt = self.writeAt
    }

    deinit { self.scratch.deallocate() }

    private var total: UInt64 { self.plan.byteCounts[self.side.index] }
    private var expected: UInt64 { self.plan.byteCounts[1 - self.side.index] }

    /// Whether everything passed both ways; that the peer has ended is what `streamClosed` says.
    var isComplete: Bool { self.hasFinished && self.received == self.expected }

    /// Does whatever can be done now.
    func act(on engine: Engine, world: World, at now: Instant) {
        self.nextActionAt = .never
        self.read(from: engine, world: world, at: now)
        self.write(to: engine, world: world, at: now)
    }

    private func wake(at time: Instant) { self.nextActionAt = min(self.nextActionAt, time) }

    private func write(to engine: Engine, world: World, at now: Instant) {
        guard !self.hasFinished, !self.hasReset else { return }
        guard self.writeAt <= now else { return self.wake(at: self.writeAt) }
        if self.side == .server, self.plan.answersAfterEnd, !self.sawEnd { return }
        while true {
            if let reset = self.plan.reset, reset.side == self.side, self.sent >= reset.after {
                self.hasReset = true
                engine.reset(self.handle, reason: reset.reason, at: now)
                return world.streamWasReset(self, reason: reset.reason, byApplication: true)
            }
            guard self.sent < self.total else { break }
            let room = engine.beginWrite(to: self.handle)
            guard !room.isEmpty else { return }
            let wish = min(self.total - self.sent, 1 + world.dice.below(self.plan.chunk))
            let count = min(room.count, Int(wish))
            self.outgoing.fill(.init(rebasing: room[..<count]), from: self.sent)
            engine.wrote(count, to: self.handle, at: now)
            self.sent += UInt64(count)
            if self.plan.pause > .zero, self.sent < self.total {
                self.writeAt = now + self.plan.pause
                return self.wake(at: self.writeAt)
            }
        }
        self.hasFinished = true
        engine.finish(self.handle, at: now)
    }

    private func read(from engine: Engine, world: World, at now: Instant) {
        guard !self.sawEnd, !self.hasReset else { return }
        guard self.readAt <= now else { return self.wake(at: self.readAt) }
        let reader = self.plan.readers[self.side.index]
        if case .stalled = reader { return }
        while true {
            let region = engine.beginRead(from: self.handle)
            guard !region.isEmpty else { break }
            var count = region.count
            if case .slow(let limit, _) = reader { count = min(count, limit) }
            self.accept(.init(rebasing: region[..<count]), world: world)
            engine.consumed(count, from: self.handle, at: now)
            if case .slow(_, let interval) = reader {
                self.readAt = now + interval
                self.wake(at: self.readAt)
                break
            }
        }
        if !self.sawEnd, engine.isReceiveFinished(self.handle) {
            self.sawEnd = true
            world.digest.add(UInt64(self.plan.number) << 8 | 0xEE)
            if self.received != self.expected {
                world.violate("\(self) ended after \(self.received) of \(self.expected) bytes")
            }
        }
    }

    /// Checks bytes that arrived, after sabotage if the history is to have any.
    private func accept(_ bytes: UnsafeRawBufferPointer, world: World) {
        var bytes = bytes
        if bytes.count <= self.scratch.count {
            self.scratch.copyMemory(from: bytes)
            let count = world.sabotageStream(self.scratch, count: bytes.count)
            bytes = UnsafeRawBufferPointer(rebasing: self.scratch[..<count])
        }
        if let offset = self.incoming.firstDifference(bytes, from: self.received) {
            world.violate("\(self) received a wrong byte at \(self.received + UInt64(offset))")
        }
        self.received += UInt64(bytes.count)
        if self.received > self.expected {
            world.violate("\(self) received \(self.received), more than \(self.expected) bytes")
        }
        world.digest.add(UInt64(self.plan.number) << 8 | UInt64(self.side.index))
        world.digest.add(bytes)
        world.statistics.streamBytes += UInt64(bytes.count)
    }

    /// Ends a stream that was never meant to end by itself.
    func giveUp(on engine: Engine, world: World, at now: Instant) {
        guard !self.hasReset else { return }
        self.hasReset = true
        engine.reset(self.handle, reason: .aborted, at: now)
        world.streamWasReset(self, reason: .aborted, byApplication: true)
    }
}

extension StreamEnd: CustomStringConvertible {
    var description: String { "stream \(self.plan.number), \(self.side) end," }
}
