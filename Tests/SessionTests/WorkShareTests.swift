import Primitives
import Testing

@testable import Session

/// What a session may cost in a turn of its driver.
@Suite struct WorkShareTests {
    private static let ping: (type: UInt8, body: [UInt8]) = (FrameType.ping, [])

    /// A RESET of a flow that is not here.
    private static let reset: (type: UInt8, body: [UInt8]) = (FrameType.reset, [1, 9, 9, 0, 0, 1])

    private func give(_ packet: inout [UInt8], to wire: Wire, isLate: Bool = false) -> Disposition {
        let source = wire.clientAddress
        return packet.withUnsafeMutableBytes {
            wire.server.receive($0, from: source, at: wire.now, isLate: isLate)
        }
    }

    @Test func ordinaryPacketsCostNothing() {
        let segment = [FrameType.ack, 4, 0, 1, 2, 3, 4, FrameType.stream, 100, 0]
        let packet = segment + [UInt8](repeating: 0, count: 100)
        #expect(packet.withUnsafeBytes { WorkShare.units(of: $0) } == 0)
        let datagrams = [[UInt8]](repeating: [FrameType.datagram, 1, 0, 7], count: 4).flatMap { $0 }
        #expect(datagrams.withUnsafeBytes { WorkShare.units(of: $0) } == 0)
        #expect([UInt8]().withUnsafeBytes { WorkShare.units(of: $0) } == 0)
    }

    @Test func smallFramesAddUpToThePadding() {
        let opens = [[UInt8]](repeating: [FrameType.open, 1, 0, 7], count: 10).flatMap { $0 }
        #expect(opens.withUnsafeBytes { WorkShare.units(of: $0) } == 40 - WorkShare.freePerPacket)
        let padded = opens + [FrameType.padding] + opens
        #expect(padded.withUnsafeBytes { WorkShare.units(of: $0) } == 40 - WorkShare.freePerPacket)
        // A frame that reaches beyond the packet ends it.
        let cut = [FrameType.reset, 0xFF, 0xFF] + opens
        #expect(cut.withUnsafeBytes { WorkShare.units(of: $0) } == 0)
    }

    /// Beyond its share a session's packets wait, in order, until another turn; and they come as
    /// they were.
    @Test func packetsWaitBeyondTheShare() throws {
        let wire = Wire()
        wire.run(.seconds(1))
        wire.server.beginTurn()
        let dense = [(type: UInt8, body: [UInt8])](repeating: Self.reset, count: 40)
        let units = 4 * dense.count - WorkShare.freePerPacket
        var outcomes: [Disposition] = []
        for _ in 0..<(WorkShare.perTurn + units - 1) / units {
            var packet = try wire.sealed(dense)
            outcomes.append(self.give(&packet, to: wire))
        }
        #expect(outcomes.allSatisfy { $0 == .consumed })
        let share = try (0..<outcomes.count).map { _ in try wire.sealed(dense) }
        var third = try wire.sealed([Self.ping])
        var second = share[0]
        let copy = second
        let slot = try #require(wire.server.sessions.compactMap { $0 }.first?.slot)
        let later = Disposition.later(session: slot)
        outcomes = [self.give(&second, to: wire), self.give(&third, to: wire)]
        #expect(outcomes == [later, later])
        #expect(second == copy)
        // Late ones wait as well while the turn is the same.
        outcomes = [self.give(&second, to: wire, isLate: true)]
        wire.server.beginTurn()
        outcomes.append(self.give(&third, to: wire))
        for var packet in share { outcomes.append(self.give(&packet, to: wire, isLate: true)) }
        outcomes.append(self.give(&third, to: wire, isLate: true))
        let taken = [Disposition](repeating: .consumed, count: share.count)
        #expect(outcomes == [later, later] + taken + [later])
        wire.server.beginTurn()
        outcomes = [self.give(&third, to: wire, isLate: true)]
        wire.server.hasCaughtUp(slot)
        var fourth = try wire.sealed([Self.ping])
        outcomes.append(self.give(&fourth, to: wire))
        #expect(outcomes == [.consumed, .consumed])
        let drops = wire.server.snapshot(at: wire.now).counters.drops
        #expect(drops[.replayed] == 0 && drops[.unauthentic] == 0)
    }

    /// Who never speaks of turns never has to wait.
    @Test func withoutTurnsNothingWaits() throws {
        let wire = Wire()
        wire.run(.seconds(1))
        let dense = [(type: UInt8, body: [UInt8])](repeating: Self.reset, count: 40)
        for _ in 0..<20 {
            var packet = try wire.sealed(dense)
            let outcome = self.give(&packet, to: wire)
            #expect(outcome == .consumed)
        }
    }
}
