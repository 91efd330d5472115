import Glibc
import LinuxIO
import Primitives

/// What a download came to, between the end of its warm-up and its own end.
struct BulkResult: Sendable {
    var start = Reading()
    var end = Reading()
    var byteCount: UInt64 = 0
    /// The longest time without a byte, in milliseconds.
    var longestGap = 0.0

    var seconds: Double { Double(self.end.at.since(self.start.at).nanoseconds) / 1e9 }
    /// Application bits a second, in millions.
    var megabits: Double { Double(self.byteCount) * 8 / 1e6 / max(self.seconds, 1e-9) }
}

/// A TCP connection that reads as fast as bytes come.
struct BulkLoad: Sendable {
    var target: SocketAddress
    var warmUp: Instant.Interval
    var duration: Instant.Interval
    /// Kernel TCP's congestion control; `nil` for the default.
    var congestion: String?

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
        try poller.modify(socket.descriptor, token: 0, interest: .readable)
        _ = [LoadServer.sourceMark].withUnsafeBytes { socket.write($0) }
        var result = BulkResult()
        let first = clock.now() + self.warmUp
        _ = try Self.read(socket, poller, until: first, clock)
        meter.beginOutages()
        result.start = meter.read()
        let end = result.start.at + self.duration
        (result.byteCount, result.longestGap) = try Self.read(socket, poller, until: end, clock)
        result.end = meter.read()
        return result
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
