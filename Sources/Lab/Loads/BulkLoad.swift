import Glibc
import LinuxIO
import Primitives
import Synchronization

/// What a download or an upload came to, between the end of its warm-up and its own end.
struct BulkResult: Sendable {
    var start = Reading()
    var end = Reading()
    var byteCount: UInt64 = 0
    /// The longest time without a byte, in milliseconds; `nil` for an upload.
    var longestGap: Double?

    var seconds: Double { Double(self.end.at.since(self.start.at).nanoseconds) / 1e9 }
    /// Application bits a second, in millions.
    var megabits: Double { Double(self.byteCount) * 8 / 1e6 / max(self.seconds, 1e-9) }
}

/// A TCP connection that reads as fast as bytes come, or writes as fast as they go.
struct BulkLoad: Sendable {
    var target: SocketAddress
    var warmUp: Instant.Interval
    var duration: Instant.Interval
    /// Kernel TCP's congestion control; `nil` for the default.
    var congestion: String?
    /// What the connection announces first.
    var claim: OriginClaim?
    /// Where an upload arrives; `nil` for a download.
    var sink: LoadServer.Counts?

    func run(in namespace: NetworkNamespace, meter: Meter, isUrgent: Bool) throws -> BulkResult {
        if isUrgent { RealTime.enter(priority: 5) }
        let clock = BootClock()
        let poller = try Poller()
        let socket = try namespace.inside { try TCPSocket.connect(to: self.target) }
        defer { socket.close() }
        if let name = self.congestion { _ = KernelCongestion.set(name, on: socket.descriptor) }
        try poller.add(socket.descriptor, token: 0, interest: .writable)
        guard try poller.wait(atMost: .seconds(15)) > 0 else {
            throw LabFailure("no connection to \(self.target) within 15 s")
        }
        if let error = socket.connectResult() { throw error }
        let mark = self.sink == nil ? LoadServer.sourceMark : LoadServer.sinkMark
        let greeting = (self.claim?.header(.tcp) ?? []) + [mark]
        _ = greeting.withUnsafeBytes { socket.write($0) }
        if let sink = self.sink { return try self.upload(socket, poller, into: sink, meter) }
        try poller.modify(socket.descriptor, token: 0, interest: .readable)
        var result = BulkResult()
        let first = clock.now() + self.warmUp
        _ = try Self.read(socket, poller, until: first, clock)
        meter.begin()
        result.start = meter.read()
        let end = result.start.at + self.duration
        (result.byteCount, result.longestGap) = try Self.read(socket, poller, until: end, clock)
        result.end = meter.read()
        return result
    }

    private func upload(
        _ socket: TCPSocket,
        _ poller: Poller,
        into sink: LoadServer.Counts,
        _ meter: Meter
    ) throws -> BulkResult {
        let clock = BootClock()
        var result = BulkResult()
        try Self.write(socket, poller, until: clock.now() + self.warmUp, clock)
        meter.begin()
        result.start = meter.read()
        let before = sink.sunk.load(ordering: .relaxed)
        try Self.write(socket, poller, until: result.start.at + self.duration, clock)
        result.byteCount = sink.sunk.load(ordering: .relaxed) - before
        result.end = meter.read()
        return result
    }

    private static func write(
        _ socket: TCPSocket,
        _ poller: Poller,
        until end: Instant,
        _ clock: BootClock
    ) throws {
        var random = SeededGenerator(seed: 5)
        // Bytes that no compression makes smaller.
        let bytes = (0..<65_536).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        while clock.now() < end {
            switch bytes.withUnsafeBytes({ socket.write($0) }) {
            case .moved: break
            case .wouldBlock: _ = try poller.wait(atMost: end.since(clock.now()))
            case .finished, .failed: throw LabFailure("the connection ended during the upload")
            }
        }
    }

    private static func read(
        _ socket: TCPSocket,
        _ poller: Poller,
        until end: Instant,
        _ clock: BootClock
    ) throws -> (byteCount: UInt64, longestGap: Double) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 262_144, alignment: 16)
        defer { buffer.deallocate() }
        var byteCount: UInt64 = 0
        var gap = Instant.Interval.zero
        var last = clock.now()
        while true {
            let now = clock.now()
            if now >= end {
                return (byteCount, Double(max(gap, now.since(last)).nanoseconds) / 1e6)
            }
            switch socket.read(into: buffer) {
            case .moved(let count):
                byteCount += UInt64(count)
                gap = max(gap, now.since(last))
                last = now
            case .wouldBlock: _ = try poller.wait(atMost: end.since(now))
            case .finished, .failed: throw LabFailure("the connection ended during the download")
            }
        }
    }
}
