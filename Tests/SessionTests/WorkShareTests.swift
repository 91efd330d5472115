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

    /// Beyond its share a session waits while others send, and only then.
    @Test func sessionsWaitForOthersOnly() {
        var work = WorkShares()
        let dense = [[UInt8]](repeating: [FrameType.reset, 0, 0], count: 300).flatMap { $0 }
        let spend = { (slot: UInt32) -> Int in
            for count in 0..<100 {
                if work.mustWait(slot, isLate: false) { return count }
                dense.withUnsafeBytes { work.charge(slot, for: $0) }
            }
            return 100
        }
        let perPacket = 4 * 300 - WorkShare.freePerPacket
        let share = (WorkShare.perTurn + perPacket - 1) / perPacket
        work.beginTurn()
        var counts = [spend(7)]
        work.beginTurn()
        counts.append(spend(3))
        work.beginTurn()
        counts.append(spend(7))
        #expect(counts == [100, share, share])
        // Whoever waits goes on in order, in turns to come.
        var answers = [work.mustWait(7, isLate: true)]
        work.beginTurn()
        answers += [work.mustWait(7, isLate: false), work.mustWait(7, isLate: true)]
        work.hasCaughtUp(7)
        answers.append(work.mustWait(7, isLate: false))
        #expect(answers == [true, true, false, false])
        // The other has said nothing for long.
        for _ in 0..<300 { work.beginTurn() }
        let count = spend(7)
        #expect(count == 100)
    }

    /// A packet that has to wait comes back as it was, and is taken when it comes again.
    @Test func packetsWaitAsTheyCame() throws {
        let wire = Wire()
        wire.run(.seconds(1))
        let slot = try #require(wire.server.sessions.compactMap { $0 }.first?.slot)
        wire.server.beginTurn()
        // Somebody else sends as well.
        _ = wire.server.work.mustWait(slot + 1, isLate: false)
        let dense = [(type: UInt8, body: [UInt8])](repeating: Self.reset, count: 40)
        var outcomes: [Disposition] = []
        var copies: [[UInt8]] = []
        for _ in 0..<50 {
            var packet = try wire.sealed(dense)
            let copy = packet
            let outcome = self.give(&packet, to: wire)
            outcomes.append(outcome)
            if outcome != .consumed {
                #expect(packet == copy)
                copies.append(copy)
            }
        }
        let units = 4 * dense.count - WorkShare.freePerPacket
        let share = (WorkShare.perTurn + units - 1) / units
        #expect(outcomes.prefix(share).allSatisfy { $0 == .consumed })
        #expect(outcomes.dropFirst(share).allSatisfy { $0 == .later(session: slot) })
        while !copies.isEmpty {
            wire.server.beginTurn()
            let before = copies.count
            while var packet = copies.first {
                guard self.give(&packet, to: wire, isLate: true) == .consumed else { break }
                copies.removeFirst()
            }
            #expect(before - copies.count == min(before, share))
        }
        wire.server.hasCaughtUp(slot)
        var last = try wire.sealed([Self.ping])
        let outcome = self.give(&last, to: wire)
        #expect(outcome == .consumed)
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
