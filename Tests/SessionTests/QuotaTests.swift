import Primitives
import Sealing
import Testing

@testable import Session

/// What a peer may hold, what happens above that, and who gives way when all are too many.
@Suite struct QuotaTests {
    private static func quota(_ change: (inout PeerQuota) -> Void) -> PeerQuota {
        var quota = PeerQuota()
        change(&quota)
        return quota
    }

    private func refusals(_ crowd: Crowd) -> [ResetReason] {
        crowd.serverEvents.compactMap {
            if case .openRefused(_, _, _, let reason) = $0 { reason } else { nil }
        }
    }

    /// A refused stream held a place until its RESET was acknowledged: a peer that acknowledged
    /// none had all 65,536 of the engine for 1.2 MB.
    @Test(arguments: [false, true])
    func streamsAboveTheLimitAreRefusedAndKeepNothing(isLossy: Bool) throws {
        let crowd = Crowd(quotas: [Self.quota { $0.maximumStreams = 3 }])
        let member = crowd.join(0)
        crowd.run(.seconds(1))
        var chance = SeededGenerator(seed: 11)
        if isLossy { crowd.passes = { _ in chance.next() % 3 != 0 } }
        let streams = crowd.openStreams(member, count: 500)
        #expect(streams.count == 500)
        crowd.run(.seconds(isLossy ? 20 : 5))
        #expect(crowd.resets(member).count { $0 == .limit } == 497)
        #expect(crowd.server.snapshot(at: crowd.now).streams == 3)
        // The operator hears of a hundred a second.
        let told = self.refusals(crowd)
        #expect(told.count >= 100 && told.allSatisfy { $0 == .limit })
        // A place that becomes free can be had again.
        let ended = crowd.members[member].events.compactMap {
            if case .streamReset(let handle, _) = $0 { handle } else { nil }
        }
        let alive = try #require(streams.first { !ended.contains($0) })
        crowd.members[member].engine.reset(alive, reason: .aborted, at: crowd.now)
        crowd.run(.seconds(1))
        crowd.members[member].events = []
        _ = crowd.openStreams(member, count: 1)
        crowd.run(.seconds(2))
        #expect(crowd.resets(member) == [])
        #expect(crowd.server.snapshot(at: crowd.now).streams == 3)
    }

    @Test func flowsAboveTheLimitAreRefusedUntilOneHasBeenSilentForLong() {
        let crowd = Crowd(quotas: [Self.quota { $0.maximumFlows = 3 }])
        let member = crowd.join(0)
        crowd.run(.seconds(1))
        _ = crowd.openFlows(member, count: 5)
        crowd.run(.seconds(3))
        #expect(crowd.resets(member) == [.limit, .limit])
        #expect(self.refusals(crowd) == [.limit, .limit])
        crowd.run(.seconds(10))
        _ = crowd.openFlows(member, count: 1)
        crowd.run(.seconds(1))
        #expect(crowd.resets(member) == [.limit, .limit, .limit])
        #expect(self.refusals(crowd).count == 2)
        #expect(crowd.server.snapshot(at: crowd.now).flows == 3)
    }

    @Test func messagesOfReliableFlowsCountTwice() {
        let crowd = Crowd(quotas: [Self.quota { $0.maximumFlows = 2 }])
        let member = crowd.join(0)
        crowd.run(.seconds(1))
        var request = OpenRequest(service: "voice", serviceProtocol: .udp)
        request.delivery = .reliable
        for _ in 0..<4 {
            let flow = crowd.members[member].engine.openFlow(request, at: crowd.now)
            crowd.speak(member, on: flow.map { [$0] } ?? [])
        }
        crowd.run(.seconds(2))
        let snapshot = crowd.server.snapshot(at: crowd.now)
        #expect(snapshot.flows == 2 && snapshot.streams == 2)
        #expect(self.refusals(crowd) == [.limit, .limit])
    }

    @Test func aFifthSessionIsRefusedWhileFourLive() {
        let crowd = Crowd(quotas: [PeerQuota()])
        let members = (0..<5).map { _ in crowd.join(0) }
        crowd.run(.seconds(4))
        let up = members.filter { crowd.members[$0].engine.isSessionUp }
        #expect(up.count == 4)
        let refused = members.filter { crowd.failures($0).contains(.limit) }
        #expect(refused.count == 1)
        #expect(
            crowd.serverEvents.contains {
                if case .handshakeRefused(.limit, _, peer: "p0", from: _) = $0 {
                    true
                } else {
                    false
                }
            }
        )
        #expect(Set(up).isDisjoint(with: refused))
        crowd.run(.seconds(30))
        #expect(members.filter { crowd.members[$0].engine.isSessionUp } == up)
    }

    /// Two processes shake hands at the same time, and there is a place for one.
    ///
    /// The packet that shows the other to be one too many may say goodbye itself.
    @Test func aSessionTooManyEndsOnce() {
        let crowd = Crowd(quotas: [Self.quota { $0.maximumSessions = 1 }])
        let first = crowd.join(0)
        crowd.run(.milliseconds(2))
        let second = crowd.join(0)
        crowd.run(.milliseconds(6))
        // Both have keys, and neither has shown that yet.
        crowd.passes = { toServer in !toServer }
        crowd.run(.milliseconds(20))
        #expect(crowd.members.allSatisfy { $0.engine.isSessionUp })
        crowd.forge(PingFrame(), from: first)
        crowd.forge(CloseSessionFrame(reason: .shutdown), from: second)
        crowd.run(.milliseconds(1))
        #expect(crowd.server.snapshot(at: crowd.now).sessions.count == 1)
        let ended = crowd.serverEvents.count { event in
            if case .sessionDown = event { true } else { false }
        }
        #expect(ended == 1)
    }

    /// A client that was killed comes back at once; its last session stands in its own way.
    @Test func theDeadMakeRoomForTheirSuccessor() {
        let crowd = Crowd(quotas: [Self.quota { $0.maximumSessions = 1 }])
        let first = crowd.join(0)
        crowd.run(.seconds(20))
        #expect(crowd.members[first].engine.isSessionUp)
        for _ in 0..<3 {
            crowd.members[crowd.members.count - 1].isDead = true
            crowd.run(.seconds(2))
            let next = crowd.join(0)
            crowd.run(.seconds(4))
            #expect(crowd.members[next].engine.isSessionUp)
            #expect(crowd.server.sessions.count { $0?.isConfirmed == true } == 1)
        }
    }

    @Test func aDisabledKeyEndsItsSessionsAndComesBack() {
        let crowd = Crowd(quotas: [PeerQuota(), PeerQuota()])
        let (member, other) = (crowd.join(0), crowd.join(1))
        crowd.run(.seconds(1))
        crowd.change(0) { $0.isEnabled = false }
        crowd.run(.seconds(3))
        #expect(crowd.sessionEnds(member) == [.keyExpired])
        #expect(crowd.failures(member).contains(.keyExpired))
        #expect(!crowd.members[member].engine.isSessionUp)
        #expect(crowd.members[other].engine.isSessionUp && crowd.sessionEnds(other).isEmpty)
        crowd.change(0) { $0.isEnabled = true }
        crowd.run(.seconds(10))
        #expect(crowd.members[member].engine.isSessionUp)
    }

    /// Whoever holds most gives way, its oldest first, when there is no place left for others.
    @Test func theLargestHolderGivesWay() {
        var limits = EngineLimits()
        limits.maximumFlows = 200
        limits.maximumStreams = 200
        let crowd = Crowd(quotas: [PeerQuota(), PeerQuota()], limits: limits)
        let (large, small) = (crowd.join(0), crowd.join(1))
        crowd.run(.seconds(1))
        let flows = crowd.openFlows(large, count: 200)
        let streams = crowd.openStreams(large, count: 200)
        crowd.run(.seconds(1))
        #expect(crowd.server.snapshot(at: crowd.now).flows == 200)
        #expect(crowd.server.snapshot(at: crowd.now).streams == 200)
        let mine = crowd.openFlows(small, count: 50)
        _ = crowd.openStreams(small, count: 50)
        for _ in 0..<40 {
            crowd.speak(large, on: flows)
            crowd.speak(small, on: mine)
            crowd.run(.milliseconds(50))
        }
        #expect(crowd.resets(small) == [])
        #expect(crowd.resets(large).count { $0 == .limit } >= 50)
        let drops = crowd.server.snapshot(at: crowd.now).counters.drops
        #expect(drops[.streamEvicted] == 50)
        #expect(streams.count == 200)
        // The smaller one is not pushed out in turn.
        _ = crowd.openStreams(large, count: 100)
        crowd.run(.seconds(2))
        #expect(crowd.resets(small) == [])
    }

    @Test func descriptorsAreSharedByStreamsAndFlows() {
        var limits = EngineLimits()
        limits.maximumChannels = 100
        let crowd = Crowd(quotas: [PeerQuota(), PeerQuota()], limits: limits)
        let (large, small) = (crowd.join(0), crowd.join(1))
        crowd.run(.seconds(1))
        _ = crowd.openStreams(large, count: 120)
        crowd.run(.seconds(1))
        #expect(crowd.resets(large).count == 20)
        _ = crowd.openFlows(small, count: 20)
        _ = crowd.openStreams(small, count: 10)
        crowd.run(.seconds(1))
        #expect(crowd.resets(small) == [])
        let snapshot = crowd.server.snapshot(at: crowd.now)
        #expect(snapshot.streams + snapshot.flows <= 100)
    }
}
