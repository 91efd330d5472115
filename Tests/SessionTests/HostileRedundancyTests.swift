import Erasure
import Primitives
import Recovery
import Testing

@testable import Session

/// A client with valid keys that breaks the rules of copies and repairs.
@Suite struct HostileRedundancyTests {
    /// A wire over which some flows have carried a few datagrams each.
    private func wire(flows: Int, seed: UInt64) throws -> (Wire, [FlowHandle]) {
        let wire = Wire(seed: seed)
        wire.run(.seconds(1))
        var handles: [FlowHandle] = []
        for _ in 0..<flows {
            let request = OpenRequest(service: "voice", serviceProtocol: .udp)
            let flow = try #require(wire.client.openFlow(request, at: wire.now))
            handles.append(flow)
            for _ in 0..<3 {
                [UInt8](repeating: 7, count: 50).withUnsafeBytes {
                    wire.client.send($0, on: flow, at: wire.now)
                }
            }
            wire.run(.milliseconds(20))
        }
        wire.run(.seconds(1))
        #expect(wire.serverDatagrams.count == 3 * flows)
        return (wire, handles)
    }

    /// Seals a frame under the client's keys and gives it to the server.
    private func forge(_ type: UInt8, _ body: [UInt8], over wire: Wire) throws {
        try wire.forge([(type, body)], from: wire.clientAddress)
    }

    private func little(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }

    private func noise(_ count: Int, _ dice: inout SeededGenerator) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: dice.next()) }
    }

    private func drops(_ wire: Wire, _ reason: DropReason) -> UInt64 {
        wire.server.snapshot(at: wire.now).counters.drops[reason]
    }

    @Test func copiesCutShortAreCounted() throws {
        let (wire, _) = try self.wire(flows: 1, seed: 1)
        let message: [UInt8] = [0, 20, 0] + [UInt8](repeating: 9, count: 20)
        let whole = self.little(1) + self.little(100) + message
        for count in 0..<whole.count {
            let before = self.drops(wire, .malformed)
            try self.forge(FrameType.copies, Array(whole[..<count]), over: wire)
            // Flow and number alone carry nothing, and break no rule.
            #expect(self.drops(wire, .malformed) == before + (count == 8 ? 0 : 1), "\(count)")
        }
        let delivered = wire.serverDatagrams.count
        try self.forge(FrameType.copies, whole, over: wire)
        try self.forge(FrameType.copies, whole, over: wire)
        wire.run(.milliseconds(50))
        #expect(wire.serverDatagrams.count == delivered + 1)
    }

    @Test func resetsOfUnknownKindsAreIgnored() throws {
        let (wire, _) = try self.wire(flows: 1, seed: 4)
        let request = OpenRequest(service: "echo", serviceProtocol: .tcp)
        _ = try #require(wire.client.openStream(request, at: wire.now))
        wire.run(.milliseconds(100))
        let session = try #require(wire.server.sessions.compactMap { $0 }.first)
        #expect(session.streams.count == 1)
        for (kind, left) in [(2, 1), (255, 1), (0, 0)] as [(UInt8, Int)] {
            for id in 0..<8 as Range<UInt32> {
                try self.forge(FrameType.reset, [kind] + self.little(id) + [1], over: wire)
            }
            #expect(session.streams.count == left, "kind \(kind)")
        }
    }

    @Test func unknownFlowsAreRefusedWithinBounds() throws {
        let (wire, _) = try self.wire(flows: 1, seed: 2)
        for id in 1000..<3000 as Range<UInt32> {
            let type = id % 2 == 0 ? FrameType.copies : FrameType.repair
            try self.forge(type, self.little(id) + [UInt8](repeating: 1, count: 40), over: wire)
        }
        #expect(self.drops(wire, .unknownFlow) == 2000)
        let session = try #require(wire.server.sessions.compactMap { $0 }.first)
        #expect(session.control.refusalCount <= ControlQueue.refusalLimit)
        #expect(session.flows.decoderCount == 0)
    }

    @Test func decodersAreFew() throws {
        let (wire, _) = try self.wire(flows: 40, seed: 3)
        let session = try #require(wire.server.sessions.compactMap { $0 }.first)
        for round in 0..<3 as Range<UInt32> {
            for id in 1...40 as ClosedRange<UInt32> {
                let header = self.little(3 + round) + [4, 1, 0]
                let body = self.little(id) + header + [UInt8](repeating: 0xA5, count: 60)
                try self.forge(FrameType.repair, body, over: wire)
            }
        }
        #expect(session.flows.decoderCount == 32)
        #expect(self.drops(wire, .reassemblyFull) == 3 * 8)
    }

    /// Whatever the frames say: no trap, bounded memory, and the other flow does not notice.
    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func nonsenseHurtsNobodyElse(seed: UInt64) throws {
        let (wire, handles) = try self.wire(flows: 2, seed: seed)
        var dice = SeededGenerator(seed: seed)
        for step in 0..<1500 {
            let isRepair = dice.chance(1, in: 2)
            // Numbers near, far ahead, far behind and at the wrap.
            let number = [
                UInt32(truncatingIfNeeded: step), 0, .max, 1 << 31, 1 << 31 &- 1,
                UInt32(truncatingIfNeeded: dice.next()),
            ][Int(dice.below(6))]
            var body = self.little(1) + self.little(number)
            if isRepair {
                let window = UInt8(truncatingIfNeeded: dice.below(140))
                body += [window, UInt8(truncatingIfNeeded: dice.next()), 0]
                body += self.noise(Int(dice.below(1200)), &dice)
            } else {
                for _ in 0..<dice.below(4) {
                    let count = Int(dice.below(300))
                    let claimed = dice.chance(1, in: 8) ? Int(dice.below(65_536)) : count
                    body += [
                        UInt8(truncatingIfNeeded: dice.next()),
                        UInt8(claimed & 0xFF), UInt8(claimed >> 8),
                    ]
                    body += self.noise(count, &dice)
                }
            }
            try self.forge(isRepair ? FrameType.repair : FrameType.copies, body, over: wire)
            if step % 50 == 0 { wire.run(.milliseconds(5)) }
        }
        wire.run(.milliseconds(200))
        #expect(self.drops(wire, .malformed) > 0)
        let session = try #require(wire.server.sessions.compactMap { $0 }.first)
        #expect(session.flows.decoderCount <= 1)
        let before = wire.serverDatagrams.count
        [UInt8](repeating: 3, count: 77).withUnsafeBytes {
            wire.client.send($0, on: handles[1], at: wire.now)
        }
        wire.run(.milliseconds(200))
        #expect(wire.serverDatagrams.count == before + 1)
        #expect(wire.serverDatagrams.last == [UInt8](repeating: 3, count: 77))
    }

    /// Copies that a packet has no room for wait for the next one, and none is forgotten.
    @Test func copiesOfLargeMessagesNeedSeveralPackets() throws {
        let wire = Wire(seed: 9)
        wire.delay = .milliseconds(40)
        wire.run(.seconds(1))
        var request = OpenRequest(service: "voice", serviceProtocol: .udp)
        request.redundancy = .high
        let flows = (0..<5).compactMap { _ in wire.client.openFlow(request, at: wire.now) }
        var dice = SeededGenerator(seed: 9)
        wire.passes = { _ in !dice.chance(1, in: 20) }
        for number in 0..<400 {
            for flow in flows {
                [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 390).withUnsafeBytes {
                    wire.client.send($0, on: flow, at: wire.now)
                }
            }
            wire.run(.milliseconds(25))
        }
        wire.run(.seconds(1))
        #expect(wire.serverDatagrams.count >= 2000 - 2)
        #expect(wire.serverDatagrams.count <= 2000)
        #expect(wire.client.snapshot(at: wire.now).counters.redundancyBytes > 100_000)
    }
}
