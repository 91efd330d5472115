import LinuxIO
import Primitives

/// Questions like a resolver's: each from a socket of its own, asked again after five seconds
/// without an answer, and given up after five more (`timeout:5 attempts:2`, resolv.conf(5)).
struct LookupLoad: Sendable {
    var target: SocketAddress
    var count: Int
    var perSecond: UInt64
    var byteCount: Int
    /// What every datagram announces first.
    var claim: OriginClaim?

    private static let timeout = Instant.Interval.seconds(5)

    private struct Question {
        let socket: UDPSocket
        let message: [UInt8]
        let askedAt: Instant
        var isRepeated = false
    }

    func run(in namespace: NetworkNamespace, meter: Meter, isUrgent: Bool) throws -> EchoResult {
        if isUrgent { RealTime.enter(priority: 5) }
        let clock = BootClock()
        let poller = try Poller()
        let (received, outgoing) = (ReceiveBatch(), SendBatch())
        let interval = Instant.Interval.seconds(1) / self.perSecond
        var result = EchoResult()
        result.roundTrips = [Double?](repeating: nil, count: self.count)
        var open: [Int: Question] = [:]
        var next = 0
        meter.begin()
        result.start = meter.read()
        let start = clock.now()
        while next < self.count || !open.isEmpty {
            let now = clock.now()
            while next < self.count, start + interval * UInt64(next) <= now {
                let socket = try namespace.inside {
                    try UDPSocket(connectingTo: self.target, options: UDPOptions())
                }
                try poller.add(socket.descriptor, token: UInt64(next), interest: .readable)
                let message =
                    (self.claim?.header(.udp) ?? [])
                    + [UInt8](repeating: UInt8(truncatingIfNeeded: next), count: self.byteCount)
                open[next] = Question(socket: socket, message: message, askedAt: now)
                self.ask(open[next], outgoing)
                next += 1
            }
            for (index, question) in open {
                if question.socket.receive(into: received) > 0 {
                    while received.next() != nil {}
                    let time = Double(clock.now().since(question.askedAt).nanoseconds) / 1e6
                    result.roundTrips[index] = time
                } else if now.since(question.askedAt) < Self.timeout * (question.isRepeated ? 2 : 1)
                {
                    continue
                } else if !question.isRepeated {
                    open[index]?.isRepeated = true
                    self.ask(question, outgoing)
                    continue
                }
                try poller.remove(question.socket.descriptor)
                open[index] = nil
            }
            let due = next < self.count ? start + interval * UInt64(next) : clock.now() + interval
            _ = try poller.wait(atMost: due.since(clock.now()))
        }
        result.end = meter.read()
        return result
    }

    private func ask(_ question: Question?, _ outgoing: SendBatch) {
        guard let question else { return }
        _ = question.message.withUnsafeBytes { outgoing.append($0, to: self.target, from: nil) }
        if case .blocked = question.socket.send(outgoing) { outgoing.discard() }
    }
}
