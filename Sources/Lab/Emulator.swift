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
        var outages: [Range<Instant>]?
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

    /// The blackouts begin to count now.
    func begin(outages: [Range<Instant.Interval>]) {
        let now = BootClock().now()
        self.state.withLock { state in
            state.outages = outages.map { now + $0.lowerBound..<now + $0.upperBound }
        }
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
        while true {
            let next = min(up.deadline, down.deadline)
            let gap = next.since(clock.now())
            if next == .never {
                _ = try poller.wait(atMost: nil)
            } else if gap > Self.spin {
                _ = try poller.wait(atMost: gap - Self.spin)
            }
            Self.take(from: self.client, into: up, buffer, clock)
            Self.take(from: self.server, into: down, buffer, clock)
            let now = clock.now()
            Self.release(up, to: self.server, now, &lateness)
            Self.release(down, to: self.client, now, &lateness)
            let isStopping = self.state.withLock { state in
                state.counts = Counts(up: up.counters, down: down.counters)
                if let outages = state.outages {
                    up.impairment.outages = outages
                    down.impairment.outages = outages
                    state.outages = nil
                }
                if state.isStopping { state.lateness = lateness }
                return state.isStopping
            }
            if isStopping { return }
        }
    }

    private static func take(
        from device: TunDevice,
        into link: Link,
        _ buffer: UnsafeMutableRawBufferPointer,
        _ clock: BootClock
    ) {
        for _ in 0..<64 {
            let count = read(device.descriptor, buffer.baseAddress, buffer.count)
            guard count > 0 else { return }
            link.send(UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: clock.now())
        }
    }

    private static func release(
        _ link: Link,
        to device: TunDevice,
        _ now: Instant,
        _ lateness: inout LatenessHistogram
    ) {
        while let delivery = link.nextDelivery(at: now) {
            lateness.add(microseconds: now.since(delivery.due).microseconds)
            // A device that is going down takes nothing; then nobody waits for the packet.
            _ = write(device.descriptor, delivery.bytes.baseAddress, delivery.bytes.count)
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
