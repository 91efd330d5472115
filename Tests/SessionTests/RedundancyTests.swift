import Erasure
import Primitives
import Testing

@testable import Session

/// What copies and repairs save, on a link of 60 ms that loses in bursts of 8 ms.
@Suite struct RedundancyTests {
    /// Loses whole stretches of time, 3 % of it, independently each way.
    private final class Bursts {
        private var dice: SeededGenerator
        private var lostUntil = [Instant(nanoseconds: 0), Instant(nanoseconds: 0)]
        private var nextAt = [Instant(nanoseconds: 0), Instant(nanoseconds: 0)]

        init(seed: UInt64) { self.dice = SeededGenerator(seed: seed) }

        func passes(_ way: Int, at now: Instant) -> Bool {
            while self.nextAt[way] <= now {
                let start = self.nextAt[way]
                self.lostUntil[way] = start + .microseconds(4000 + self.dice.below(8000))
                self.nextAt[way] = start + .microseconds(100_000 + self.dice.below(320_000))
            }
            return now >= self.lostUntil[way]
        }
    }

    private func run(
        _ request: OpenRequest,
        messages: Int,
        size: Int,
        gap: Instant.Interval,
        seed: UInt64,
        isLossy: Bool = true
    ) -> (wire: Wire, delivered: Int) {
        let wire = Wire(seed: seed)
        wire.delay = .milliseconds(30)
        let bursts = Bursts(seed: seed)
        wire.run(.seconds(1))
        guard let flow = wire.client.openFlow(request, at: wire.now) else { return (wire, 0) }
        if isLossy {
            wire.passes = { [unowned wire] in bursts.passes($0 ? 0 : 1, at: wire.now) }
        }
        for number in 0..<messages {
            var message = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: size)
            message[0] = UInt8(number >> 8)
            message[1] = UInt8(truncatingIfNeeded: number)
            message.withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
            wire.run(gap)
        }
        wire.run(.seconds(1))
        let numbers = wire.serverDatagrams.map { Int($0[0]) << 8 | Int($0[1]) }
        #expect(numbers.count == Set(numbers).count, "a datagram came twice")
        #expect(wire.serverDatagrams.allSatisfy { $0.count == size })
        return (wire, numbers.count)
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func copiesSaveSmallMessages(seed: UInt64) {
        let request = OpenRequest(service: "voice", serviceProtocol: .udp)
        let (wire, delivered) = self.run(
            request,
            messages: 3600,
            size: 100,
            gap: .microseconds(16_667),
            seed: seed
        )
        #expect(delivered >= 3600 - 18, "0.5 % may be lost")
        let counters = wire.client.snapshot(at: wire.now).counters
        #expect(counters.redundancyBytes > 0)
        // 60 seconds of at most 500 kbit/s.
        #expect(counters.redundancyBytes < 60 * 500_000 / 8)
        #expect(wire.server.snapshot(at: wire.now).counters.packetsRecovered > 0)
    }

    /// A copy that comes before the flow's OPEN is of no use to anybody, and its acknowledgement
    /// must not count for the message.
    @Test(arguments: [Delivery.datagram, .deadline])
    func singleQuestionsFromNewFlowsAreSavedToo(delivery: Delivery) {
        let wire = Wire(seed: 5)
        wire.delay = .milliseconds(30)
        let bursts = Bursts(seed: 5)
        wire.run(.seconds(1))
        wire.passes = { [unowned wire] in bursts.passes($0 ? 0 : 1, at: wire.now) }
        var request = OpenRequest(service: "voice", serviceProtocol: .udp)
        request.delivery = delivery
        request.maximumAge = .milliseconds(200)
        var asked = 0
        for number in 0..<600 {
            guard let flow = wire.client.openFlow(request, at: wire.now) else { continue }
            var message = [UInt8](repeating: 0, count: 64)
            message[0] = UInt8(number >> 8)
            message[1] = UInt8(truncatingIfNeeded: number)
            message.withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
            wire.run(.milliseconds(50))
            asked += 1
        }
        wire.run(.seconds(1))
        let came = Set(wire.serverDatagrams.map { Int($0[0]) << 8 | Int($0[1]) })
        #expect(asked == 600)
        #expect(came.count >= 598, "\(600 - came.count) questions of 600 lost")
    }

    @Test func repairsSaveAFastFlow() {
        var request = OpenRequest(service: "voice", serviceProtocol: .udp)
        request.trafficClass = .realtime
        let (wire, delivered) = self.run(
            request,
            messages: 6000,
            size: 1000,
            gap: .milliseconds(4),
            seed: 4
        )
        #expect(delivered >= 6000 - 60, "1 % may be lost, of 3")
        #expect(wire.server.snapshot(at: wire.now).counters.packetsRecovered > 60)
    }

    @Test(arguments: [Delivery.deadline, .reliable], [100, 3000])
    func retransmissionSavesWhatCopiesDoNot(delivery: Delivery, size: Int) {
        var request = OpenRequest(service: "voice", serviceProtocol: .udp)
        request.delivery = delivery
        request.redundancy = .off
        let (wire, delivered) = self.run(
            request,
            messages: 2000,
            size: size,
            gap: .microseconds(16_667),
            seed: 8
        )
        #expect(delivered >= (delivery == .reliable ? 2000 : 1990))
        let numbers = wire.serverDatagrams.map { Int($0[0]) << 8 | Int($0[1]) }
        if delivery == .reliable { #expect(numbers == numbers.sorted()) }
        #expect(wire.clientDatagrams.count >= delivered - 10)
    }

    @Test func aCleanPathCostsNothing() {
        let request = OpenRequest(service: "voice", serviceProtocol: .udp)
        let (wire, delivered) = self.run(
            request,
            messages: 1000,
            size: 100,
            gap: .microseconds(16_667),
            seed: 5,
            isLossy: false
        )
        #expect(delivered == 1000)
        #expect(wire.client.snapshot(at: wire.now).counters.redundancyBytes == 0)
    }

    @Test func offMeansOff() {
        var request = OpenRequest(service: "voice", serviceProtocol: .udp)
        request.redundancy = .off
        let (wire, delivered) = self.run(
            request,
            messages: 1000,
            size: 100,
            gap: .microseconds(16_667),
            seed: 6
        )
        #expect(delivered < 990)
        #expect(wire.client.snapshot(at: wire.now).counters.redundancyBytes == 0)
    }

    /// A dialogue over a stream: the 99th percentile of the answer's delay.
    @Test func copiesHurryMessageStreams() {
        let wire = Wire(seed: 7)
        wire.delay = .milliseconds(30)
        let bursts = Bursts(seed: 7)
        var echo: StreamHandle?
        wire.onServerStream = { handle, _ in echo = handle }
        wire.run(.seconds(1))
        wire.passes = { [unowned wire] in bursts.passes($0 ? 0 : 1, at: wire.now) }
        let request = OpenRequest(service: "echo", serviceProtocol: .tcp)
        guard let stream = wire.client.openStream(request, at: wire.now) else { return }
        var sentAt: [Instant] = []
        var delays: [UInt64] = []
        var partial = 0
        for _ in 0..<3000 {
            sentAt.append(wire.now)
            let message = [UInt8](repeating: 1, count: 100)
            #expect(wire.client.write(message[...], to: stream, at: wire.now) == 100)
            wire.run(.microseconds(16_667)) {
                guard let echo else { return }
                let bytes = wire.server.readAll(echo, at: wire.now)
                _ = wire.server.write(bytes[...], to: echo, at: wire.now)
                partial += wire.client.readAll(stream, at: wire.now).count
                while partial >= 100 {
                    partial -= 100
                    delays.append(wire.now.since(sentAt[delays.count]).milliseconds)
                }
            }
        }
        let settled = delays.dropFirst(300).sorted()
        #expect(settled.count > 2600)
        #expect(settled[settled.count * 99 / 100] <= 60 + 45)
    }
}
