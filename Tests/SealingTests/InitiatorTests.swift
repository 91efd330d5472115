import Primitives
import Testing

@testable import Sealing

@Suite struct InitiatorTests {
    @Test func retriesOnItsSchedule() throws {
        for seed in 0..<20 as Range<UInt64> {
            let pair = Pair(seed: seed)
            let start = pair.now
            pair.start()
            #expect(pair.initiator.deadline == start)
            #expect(pair.initiator.firstSentAt == nil)
            for milliseconds in [250, 500, 1000, 2000, 2400, 2400, 2400, 2400] as [UInt64] {
                #expect(pair.nextInitiation()?.count == 172)
                #expect(pair.initiator.firstSentAt == start)
                #expect(pair.nextInitiation() == nil)
                let wait = pair.initiator.deadline.since(pair.now).microseconds
                #expect((milliseconds * 800...milliseconds * 1200).contains(wait))
                pair.now = pair.initiator.deadline
            }
        }
    }

    /// The server repeats an answer three times, so four tries share an ephemeral key; where the
    /// client has moved since it does not, so each later one has its own.
    @Test func theFirstFourTriesShareAnEphemeralKey() throws {
        let pair = Pair()
        pair.start()
        var keys: [[UInt8]] = []
        var macs: Set<[UInt8]> = []
        for _ in 0..<9 {
            var wire = try #require(pair.nextInitiation())
            wire.withUnsafeMutableBytes { bytes in
                pair.mask.applyToHeader(bytes)
                pair.mask.applyToEphemeral(bytes)
            }
            keys.append(Array(wire[12..<44]))
            macs.insert(Array(wire[156...]))
            pair.now = pair.initiator.deadline
        }
        #expect(Set(keys[0..<4]).count == 1)
        #expect(Set(keys).count == 6)
        #expect(macs.count == 9)
    }

    /// A satellite's round trip, or a queue: the answer to the previous attempt still counts.
    @Test func anAnswerMayBeOneAttemptLate() throws {
        for (tries, isGood) in [(4, true), (5, true), (6, false)] {
            let pair = Pair()
            pair.start()
            let (_, reply) = pair.deliverToServer(pair.nextInitiation())
            for _ in 1..<tries {
                pair.now = pair.initiator.deadline
                _ = pair.nextInitiation()
            }
            #expect((pair.deliverToClient(reply).established != nil) == isGood, "\(tries)")
        }
    }

    /// The second attempt carries a later time, or the server would take it for a recording.
    @Test func aLaterAttemptIsNotStale() throws {
        let pair = Pair()
        pair.start()
        #expect(pair.deliverToServer(pair.nextInitiation()).outcome.established != nil)
        for _ in 0..<4 {
            pair.now = pair.initiator.deadline
            _ = pair.deliverToServer(pair.nextInitiation())
        }
        #expect(pair.nextIndex == 0x5151_0002)
    }

    @Test func theHeaderLeadsToTheRightWorker() throws {
        let pair = Pair()
        pair.start(localIndex: 0xAABB_CCDD, routeIndex: 0x0102_0304)
        var wire = try #require(pair.nextInitiation())
        wire.withUnsafeMutableBytes { pair.mask.applyToHeader($0) }
        let header = wire.withUnsafeBytes { RecordHeader(unmasked: $0) }
        #expect(header?.recordType == .initiation)
        #expect(header?.receiverIndex == 0x0102_0304)
        #expect(Array(wire[4..<12]) == [0xDD, 0xCC, 0xBB, 0xAA, 1, 0, 0, 1])
    }

    @Test func cancellingForgets() throws {
        let pair = Pair()
        pair.start()
        let (_, reply) = pair.deliverToServer(pair.nextInitiation())
        pair.initiator.cancel()
        #expect(pair.nextInitiation() == nil)
        #expect(pair.deliverToClient(reply).ignored == .unexpected)
    }

    @Test func anEarlierHandshakeIsOver() throws {
        let pair = Pair()
        pair.start()
        let (_, reply) = pair.deliverToServer(pair.nextInitiation())
        pair.start()
        _ = pair.nextInitiation()
        #expect(pair.deliverToClient(reply).ignored == .unauthentic)
    }
}
