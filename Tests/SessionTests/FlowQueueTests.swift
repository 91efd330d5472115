import Primitives
import Testing

@testable import Session

/// How much of a flow may wait, and of all of them together.
@Suite struct FlowQueueTests {
    private let wire = Wire()
    private let payload = [UInt8](repeating: 0x5A, count: 1_200)

    private func openFlow() throws -> FlowHandle {
        let request = OpenRequest(service: "voice", serviceProtocol: .udp)
        return try #require(self.wire.client.openFlow(request, at: self.wire.now))
    }

    private func send(_ count: Int, on flow: FlowHandle) {
        for _ in 0..<count {
            self.payload.withUnsafeBytes { bytes in
                self.wire.client.send(bytes, on: flow, at: self.wire.now)
            }
        }
    }

    private var drops: UInt64 {
        self.wire.client.snapshot(at: self.wire.now).counters.drops[.flowQueueFull]
    }

    /// 300 Mbit/s of 1,200 bytes are 3,125 datagrams in 100 ms.
    @Test func aGapOfTheSchedulerCostsAFastFlowNothing() throws {
        self.wire.run(.seconds(1))
        let flow = try self.openFlow()
        self.send(3_125, on: flow)
        #expect(self.drops == 0)
        self.send(1_000, on: flow)
        #expect(self.drops > 0)
    }

    @Test func manyFlowsTogetherAreBoundedToo() throws {
        self.wire.run(.seconds(1))
        let flows = try (0..<24).map { _ in try self.openFlow() }
        for flow in flows { self.send(3_200, on: flow) }
        let queued = self.wire.client.board.queued
        #expect(queued.count > 60 << 20)
        #expect(queued.count < (64 << 20) + 24 * 65_536)
        for flow in flows { self.wire.client.closeFlow(flow, reason: .aborted, at: self.wire.now) }
        #expect(queued.count == 0)
    }
}
