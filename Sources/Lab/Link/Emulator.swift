import Glibc
import LinuxIO
import Netem
import Primitives
import Synchronization

/// A thread that carries IP packets between two TUN devices through two ``Netem/Link``s.
///
/// It sleeps in epoll with nanoseconds and polls for the last 50 µs before a packet is due, so that
/// what a run adds to the link's own delay is small; how late it was is counted.
final class Emulator: Sendable {
    /// What the link did, up to now.
    struct Counts: Sendable {
        var up = LinkCounters()
        var down = LinkCounters()
    }

    private struct State {
        var counts = Counts()
        var lateness = LatenessHistogram()
        /// What begins at this turn of the thread.
        var timeline: (Scenario.Timeline, since: Instant)?
        var isStopping = false
        var hasEnded = false
    }

    private static let spin = Instant.Interval.microseconds(50)
    private let state = Mutex(State())
    private let wakeUp: WakeUp
    private let client: TunDevice
    private let server: TunDevice

    init(client: TunDevice, server: TunDevice) throws(IOError) {
        self.client = client
        self.server = server
        self.wakeUp = try WakeUp()
    }

    func start(_ scenario: Scenario, seed: UInt64, isUrgent: Bool) throws(IOError) {
        try startThread(named: "lab-link") {
            if isUrgent { RealTime.enter(priority: 10) }
            let up = Link(impairment: scenario.up, seed: seed, capacity: 65_536)
            let down = Link(impairment: scenario.down, seed: ~seed, capacity: 65_536)
            try? self.run(up: up, down: down)
            self.state.withLock { $0.hasEnded = true }
        }
    }

    /// The counts at this moment.
    var counts: Counts { self.state.withLock { $0.counts } }

    /// The timeline begins to count now.
    func begin(_ timeline: Scenario.Timeline) {
        let now = BootClock().now()
        self.state.withLock { $0.timeline = (timeline, since: now) }
    }

    /// The 99th percentile and the maximum of how late packets were released, in microseconds.
    var lateness: (p99: Double, maximum: Double) {
        self.state.withLock { state in
            let histogram = state.lateness
            return (histogram.quantileMicroseconds(0.99), Double(histogram.maximumMicroseconds))
        }
    }

    /// Ends the thread and waits for its end.
    func stop() {
        self.state.withLock { $0.isStopping = true }
        self.wakeUp.signal()
        while !self.state.withLock({ $0.hasEnded }) { usleep(1_000) }
    }

    private func run(up: Link, down: Link) throws(IOError) {
        let clock = BootClock()
        let poller = try Poller()
        try poller.add(self.client.descriptor, token: 0, interest: .readable)
        try poller.add(self.server.descriptor, token: 1, interest: .readable)
        try poller.add(self.wakeUp.descriptor, token: 2, interest: .readable)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
        defer { buffer.deallocate() }
        var lateness = LatenessHistogram()
        var events = Events()
        while true {
            let next = min(up.deadline, down.deadline)
            let gap = next.since(clock.now())
            if next == .never {
                _ = try poller.wait(atMost: nil)
            } else if gap > Self.spin {
                _ = try poller.wait(atMost: gap - Self.spin)
            }
            events.happen(up, down, at: clock.now())
            Self.take(from: self.client, buffer) {
                events.translation.translateUp($0)
                up.send(UnsafeRawBufferPointer($0), at: clock.now())
            }
            Self.take(from: self.server, buffer) {
                down.send(UnsafeRawBufferPointer($0), at: clock.now())
            }
            let now = clock.now()
            Self.release(up, to: self.server, now, &lateness) { _ in true }
            Self.release(down, to: self.client, now, &lateness) {
                events.translation.translateDown($0)
            }
            let isStopping = self.state.withLock { state in
                state.counts = Counts(up: up.counters, down: down.counters)
                if let timeline = state.timeline {
                    events.begin(timeline.0, since: timeline.since, up, down)
                    state.timeline = nil
                }
                if state.isStopping { state.lateness = lateness }
                return state.isStopping
            }
            if isStopping { return }
        }
    }

    private static func take(
        from device: TunDevice,
        _ buffer: UnsafeMutableRawBufferPointer,
        _ body: (UnsafeMutableRawBufferPointer) -> Void
    ) {
        for _ in 0..<64 {
            let count = read(device.descriptor, buffer.baseAddress, buffer.count)
            guard count > 0 else { return }
            body(UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
        }
    }

    private static func release(
        _ link: Link,
        to device: TunDevice,
        _ now: Instant,
        _ lateness: inout LatenessHistogram,
        _ passes: (UnsafeMutableRawBufferPointer) -> Bool
    ) {
        while let delivery = link.nextDelivery(at: now) {
            lateness.add(microseconds: now.since(delivery.due).microseconds)
            // The bytes are the link's until the next delivery, and nobody else looks at them.
            guard passes(UnsafeMutableRawBufferPointer(mutating: delivery.bytes)) else { continue }
            // A device that is going down takes nothing; then nobody waits for the packet.
            _ = write(device.descriptor, delivery.bytes.baseAddress, delivery.bytes.count)
        }
    }
}

/// What a timeline does to a link while it runs.
private struct Events {
    var translation = PortTranslation()
    private var changes: [Scenario.Change] = []
    private var start = Instant(nanoseconds: 0)

    mutating func begin(
        _ timeline: Scenario.Timeline,
        since start: Instant,
        _ up: Link,
        _ down: Link
    ) {
        self.start = start
        self.changes = timeline.changes
        for link in [up, down] {
            link.impairment.outages = timeline.outages.map {
                start + $0.lowerBound..<start + $0.upperBound
            }
        }
    }

    mutating func happen(_ up: Link, _ down: Link, at now: Instant) {
        while let change = self.changes.first, self.start + change.at <= now {
            self.changes.removeFirst()
            for link in [up, down] {
                if let rate = change.bitsPerSecond { link.impairment.bitsPerSecond = rate }
                if let size = change.maximumPacketByteCount {
                    link.impairment.maximumPacketByteCount = size
                }
            }
            if change.rebinds { self.translation.rebind() }
        }
    }
}

/// Scheduling of the calling thread.
enum RealTime {
    /// First in, first out, before everything with the usual policy; without the right, nothing.
    static func enter(priority: Int32) {
        var parameters = sched_param()
        parameters.sched_priority = priority
        _ = sched_setscheduler(0, SCHED_FIFO, &parameters)
    }
}
