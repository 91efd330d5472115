import Primitives
import Testing

@testable import Session

/// What becomes of players when there are more than may be.
@Suite struct FlowLimitTests {
    private static let limit = 100

    private let wire: Wire

    init() {
        var limits = EngineLimits()
        limits.maximumFlows = Self.limit
        self.wire = Wire(limits: limits)
    }

    private func openFlow() -> FlowHandle? {
        let request = OpenRequest(service: "voice", serviceProtocol: .udp)
        return self.wire.client.openFlow(request, at: self.wire.now)
    }

    private func speak(on flow: FlowHandle) {
        let bytes = [UInt8](repeating: 7, count: 40)
        bytes.withUnsafeBytes { self.wire.client.send($0, on: flow, at: self.wire.now) }
    }

    private func fill() throws -> [FlowHandle] {
        self.wire.run(.seconds(1))
        let flows = try (0..<Self.limit).map { _ in try #require(self.openFlow()) }
        for flow in flows { self.speak(on: flow) }
        self.wire.run(.milliseconds(100))
        return flows
    }

    @Test func whoeverWasSilentForLongGivesWay() throws {
        let flows = try self.fill()
        let active = flows.prefix(10)
        for _ in 0..<30 {
            for flow in active { self.speak(on: flow) }
            self.wire.run(.milliseconds(100))
        }
        #expect(self.openFlow() == nil)
        for _ in 0..<50 {
            let victim = try #require(self.wire.client.evictFlow(at: self.wire.now))
            #expect(!active.contains(victim))
            let fresh = try #require(self.openFlow())
            self.speak(on: fresh)
            for flow in active { self.speak(on: flow) }
            self.wire.run(.milliseconds(20))
        }
        self.wire.run(.milliseconds(100))
        let server = self.wire.server.snapshot(at: self.wire.now)
        #expect(server.flows == Self.limit)
        #expect(self.wire.client.snapshot(at: self.wire.now).counters.drops[.flowEvicted] == 50)
    }

    @Test func nobodyWhoSpeaksGivesWay() throws {
        let flows = try self.fill()
        for flow in flows { self.speak(on: flow) }
        #expect(self.wire.client.evictFlow(at: self.wire.now) == nil)
        #expect(self.openFlow() == nil)
    }
}
