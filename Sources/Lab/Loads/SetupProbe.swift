import Glibc
import LinuxIO
import Primitives

/// How long a new TCP connection takes until its first byte has come back.
struct SetupProbe: Sendable {
    var target: SocketAddress
    var namespace: NetworkNamespace
    /// Kernel TCP's congestion control; `nil` for the default.
    var congestion: String?
    /// What every connection announces first.
    var claim: OriginClaim?

    /// From `start` until a connection to the target has echoed, in milliseconds; tries every two
    /// milliseconds as long as the port is closed.
    func coldStart(
        _ bed: TestBed,
        since start: Instant,
        _ interruptions: Interruptions
    ) throws -> Double {
        let clock = BootClock()
        let end = start + .seconds(15)
        while clock.now() < end {
            try interruptions.check()
            if try self.echoOnce(until: end) != nil {
                return Double(clock.now().since(start).nanoseconds) / 1e6
            }
            try interruptions.sleep(.milliseconds(2))
        }
        throw LabFailure("no answer through the tunnel within 15 s\n\(bed.lastWords())")
    }

    /// `count` connections one after the other, in milliseconds.
    func run(_ count: Int) throws -> [Double?] {
        let clock = BootClock()
        return try (0..<count).map { _ in
            let end = clock.now() + .seconds(10)
            let time = try self.echoOnce(until: end)
            usleep(20_000)
            return time
        }
    }

    /// The time to connect, send one byte and have it back; `nil` when that fails.
    private func echoOnce(until end: Instant) throws -> Double? {
        let clock = BootClock()
        let poller = try Poller()
        let start = clock.now()
        guard let socket = try? self.namespace.inside({ try TCPSocket.connect(to: self.target) })
        else {
            return nil
        }
        defer { socket.close() }
        if let name = self.congestion { _ = KernelCongestion.set(name, on: socket.descriptor) }
        try poller.add(socket.descriptor, token: 0, interest: .writable)
        guard try poller.wait(atMost: end.since(clock.now())) > 0, socket.connectResult() == nil
        else { return nil }
        let message = (self.claim?.header(.tcp) ?? []) + [LoadServer.echoMark, 1]
        guard message.withUnsafeBytes({ socket.write($0) }) == .moved(message.count) else {
            return nil
        }
        try poller.modify(socket.descriptor, token: 0, interest: .readable)
        guard try poller.wait(atMost: end.since(clock.now())) > 0 else { return nil }
        var answer: [UInt8] = [0, 0]
        guard case .moved = answer.withUnsafeMutableBytes({ socket.read(into: $0) }) else {
            return nil
        }
        return Double(clock.now().since(start).nanoseconds) / 1e6
    }
}
