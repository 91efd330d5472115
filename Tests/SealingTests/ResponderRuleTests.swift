import Primitives
import Testing

@testable import Sealing

/// Copies, clocks, refusals, limits: what a server does with initiations that are authentic.
@Suite struct ResponderRuleTests {
    @Test func aCopyGetsTheSameAnswerThreeTimes() throws {
        let pair = Pair()
        pair.start()
        let wire = try #require(pair.nextInitiation())
        let (outcome, first) = pair.deliverToServer(wire)
        #expect(outcome.established != nil)
        for _ in 0..<3 {
            let (again, reply) = pair.deliverToServer(wire)
            #expect(again.isReply)
            #expect(reply == first)
        }
        #expect(pair.deliverToServer(wire).outcome.drop == .replayed)
        #expect(pair.nextIndex == 0x5151_0001)
    }

    /// Whoever sends an initiation with the address of a victim must not learn the answer at home:
    /// its first packet under the keys would prove the victim's address.
    @Test func aCopyFromElsewhereGetsNoAnswer() throws {
        let pair = Pair()
        pair.start()
        let wire = try #require(pair.nextInitiation())
        let home = pair.source
        let (outcome, first) = pair.deliverToServer(wire)
        #expect(outcome.established != nil)
        pair.source = SocketAddress(ipv4: 0xCB00_7101, port: 9)
        #expect(pair.deliverToServer(wire).outcome.drop == .replayed)
        pair.source = home
        let (again, reply) = pair.deliverToServer(wire)
        #expect(again.isReply)
        #expect(reply == first)
    }

    /// Keys that nobody confirmed are gone by then; so should be the way to them.
    @Test func aLateCopyGetsNoAnswer() throws {
        let pair = Pair()
        pair.start()
        let wire = try #require(pair.nextInitiation())
        #expect(pair.deliverToServer(wire).outcome.established != nil)
        pair.now = pair.now + KeyLifetime.pendingLifetime
        #expect(pair.deliverToServer(wire).outcome.drop == .replayed)
    }

    /// The answer was lost, the client asks again, and ends up with the first answer's keys.
    @Test func aLostResponseIsRepeated() throws {
        let pair = Pair()
        pair.start()
        let (outcome, _) = pair.deliverToServer(pair.nextInitiation())
        let server = try #require(outcome.established)
        pair.now = pair.initiator.deadline
        let (_, reply) = pair.deliverToServer(pair.nextInitiation())
        let client = try #require(pair.deliverToClient(reply).established)
        #expect(client.handshakeHash == server.handshakeHash)
        let record = sealed([5], client.keys, receiverIndex: 1, counter: 0)
        #expect(opened(record, server.keys, pair.mask) == [5])
    }

    @Test func aRecordingNeedsACookie() throws {
        let pair = Pair()
        pair.start()
        let recording = try #require(pair.nextInitiation())
        let (_, reply) = pair.deliverToServer(recording)
        _ = pair.deliverToClient(reply)
        // Long after: the memory of copies is gone, the client's last clock reading is not.
        pair.now = pair.now + .seconds(1000)
        pair.source = SocketAddress(ipv4: 0xCB00_7101, port: 9)
        let (outcome, cookie) = pair.deliverToServer(recording)
        #expect(outcome.isReply)
        #expect(cookie?.count == 68)
    }

    @Test func aClockThatWentBackCostsOneRoundTrip() throws {
        let pair = Pair()
        _ = try pair.shakeHands()
        pair.now = pair.now + .seconds(200)
        pair.clock -= 10 * 365 * 86_400_000
        pair.start()
        let (outcome, cookie) = pair.deliverToServer(pair.nextInitiation())
        #expect(outcome.isReply)
        #expect(pair.deliverToClient(cookie).isCookie)
        let (second, reply) = pair.deliverToServer(pair.nextInitiation())
        #expect(second.established != nil)
        #expect(pair.deliverToClient(reply).established != nil)
        // And no more than that the next time.
        pair.now = pair.now + .seconds(200)
        pair.clock += 200_000
        pair.start()
        let (third, another) = pair.deliverToServer(pair.nextInitiation())
        #expect(third.isReply)
        #expect(pair.deliverToClient(another).isCookie)
        #expect(
            pair.deliverToServer(pair.nextInitiation()).outcome.established != nil
        )
    }

    /// One cookie must not open the way for every recording with a higher clock than the last.
    @Test func recordingsTakeNoTokensOfTheirClient() throws {
        let pair = Pair()
        var recordings: [[UInt8]] = []
        for _ in 0..<40 {
            pair.now = pair.now + .seconds(1)
            pair.clock += 1000
            pair.start()
            let wire = try #require(pair.nextInitiation())
            #expect(pair.deliverToServer(wire).outcome.established != nil)
            recordings.append(wire)
        }
        // Long after, when the memory of copies is gone, one older than all of them shows a cookie.
        pair.now = pair.now + .seconds(1000)
        let newest = pair.clock
        pair.clock -= 1_000_000
        pair.start()
        let (_, cookie) = pair.deliverToServer(pair.nextInitiation())
        #expect(pair.deliverToClient(cookie).isCookie)
        #expect(pair.deliverToServer(pair.nextInitiation()).outcome.established != nil)
        let home = pair.source
        pair.source = SocketAddress(ipv4: 0xCB00_7101, port: 9)
        for recording in recordings {
            let (outcome, cookie) = pair.deliverToServer(recording)
            #expect(outcome.isReply)
            #expect(cookie?.count == 68)
        }
        pair.source = home
        pair.clock = newest + 1
        pair.start()
        #expect(pair.deliverToServer(pair.nextInitiation()).outcome.established != nil)
    }

    /// With a valid cookie each, doubtful initiations take tokens of their source alone.
    @Test func doubtfulInitiationsHaveTheirOwnTokens() throws {
        let pair = Pair()
        _ = try pair.shakeHands()
        pair.now = pair.now + .seconds(100)
        let clock = pair.clock
        pair.clock -= 1_000_000
        var accepted = 0
        var limited = 0
        for _ in 0..<40 {
            pair.clock += 1
            pair.start()
            var (outcome, reply) = pair.deliverToServer(pair.nextInitiation())
            if outcome.isReply {
                #expect(pair.deliverToClient(reply).isCookie)
                (outcome, reply) = pair.deliverToServer(pair.nextInitiation())
            }
            if outcome.established != nil { accepted += 1 }
            if outcome.drop == .clientLimit { limited += 1 }
        }
        #expect(accepted == 8)
        #expect(limited == 32)
        pair.clock = clock + 1
        pair.start()
        #expect(pair.deliverToServer(pair.nextInitiation()).outcome.established != nil)
    }

    @Test func aClockOfZeroAlwaysCostsACookie() throws {
        let pair = Pair()
        _ = try pair.shakeHands()
        pair.clock = 0
        for _ in 0..<3 {
            // Longer than a cookie is good for.
            pair.now = pair.now + .seconds(500)
            pair.start()
            let (outcome, cookie) = pair.deliverToServer(pair.nextInitiation())
            #expect(outcome.isReply)
            #expect(pair.deliverToClient(cookie).isCookie)
            #expect(pair.deliverToServer(pair.nextInitiation()).outcome.established != nil)
        }
    }

    @Test func aRestartedServerStartsAtOnce() throws {
        let pair = Pair()
        _ = try pair.shakeHands()
        pair.restartServer()
        pair.clock -= 1000
        _ = try pair.shakeHands()
    }

    /// A restart between the cookie and the next try: the cookie is worthless, the next one is not.
    @Test func aRestartUnderLoadCostsOneMoreCookie() throws {
        let pair = Pair(loadThreshold: 0)
        pair.start()
        let (_, cookie) = pair.deliverToServer(pair.nextInitiation())
        _ = pair.deliverToClient(cookie)
        pair.restartServer(loadThreshold: 0)
        let (outcome, another) = pair.deliverToServer(pair.nextInitiation())
        #expect(outcome.isReply)
        #expect(pair.deliverToClient(another).isCookie)
        pair.now = pair.initiator.deadline
        #expect(
            pair.deliverToServer(pair.nextInitiation()).outcome.established != nil
        )
    }

    @Test(arguments: RefusalReason.allCases)
    func refusalsArriveWithTheirReason(reason: RefusalReason) throws {
        let pair = Pair()
        pair.decision = .refuse(reason)
        pair.start()
        let wire = try #require(pair.nextInitiation())
        let (outcome, reply) = pair.deliverToServer(wire)
        #expect(outcome.isReply)
        let refusal = try #require(reply)
        #expect(refusal.count <= wire.count)
        var forged = refusal
        forged[60] ^= 1
        #expect(pair.deliverToClient(forged).ignored == .unauthentic)
        #expect(pair.deliverToClient(refusal).refused == reason)
        #expect(!pair.initiator.isActive)
        #expect(pair.nextIndex == 0x5151_0000)
    }

    @Test func refusalsAreLimitedPerSource() throws {
        let pair = Pair()
        pair.decision = .refuse(.unknownKey)
        pair.start()
        let wire = try #require(pair.nextInitiation())
        var replies = 0
        for _ in 0..<30 where pair.deliverToServer(wire).reply != nil { replies += 1 }
        #expect(replies == 10)
        pair.source = SocketAddress(ipv4: 0xCB00_7155, port: 1)
        #expect(pair.deliverToServer(wire).reply != nil)
    }

    @Test func nothingInCommonIsACipherMismatch() throws {
        let pair = Pair(
            ciphers: CipherSet(.aes256GCM),
            serverCiphers: CipherSet(.chacha20Poly1305)
        )
        pair.start()
        let (_, reply) = pair.deliverToServer(pair.nextInitiation())
        #expect(pair.deliverToClient(reply).refused == .cipherMismatch)
    }

    @Test(.enabled(if: Cipher.isAESAvailable, "this processor has no AES instructions"))
    func aesIsChosenWhenBothHaveIt() throws {
        let both: CipherSet = [CipherSet(.aes256GCM), CipherSet(.chacha20Poly1305)]
        let chacha = CipherSet(.chacha20Poly1305)
        for (client, server, expected) in [
            (both, both, Cipher.aes256GCM), (both, chacha, .chacha20Poly1305),
            (chacha, both, .chacha20Poly1305),
        ] {
            let keys = try Pair(ciphers: client, serverCiphers: server).shakeHands()
            #expect(keys.client.keys.cipher == expected)
            #expect(keys.server.keys.cipher == expected)
        }
    }

    @Test func oneClientKeyIsLimitedWhereverItComesFrom() throws {
        let pair = Pair()
        var accepted = 0
        for round in 0..<20 {
            pair.clock += 1
            pair.source = SocketAddress(ipv4: UInt32(0xCB00_7100 + round), port: 5)
            pair.start()
            let (outcome, _) = pair.deliverToServer(pair.nextInitiation())
            if outcome.established != nil { accepted += 1 }
            // Whoever finds no token left is asked to show that it receives where it says.
            #expect(outcome.established != nil || outcome.isReply)
        }
        #expect(accepted == 8)
        pair.now = pair.now + .seconds(1)
        pair.clock += 1000
        pair.start()
        #expect(
            pair.deliverToServer(pair.nextInitiation()).outcome.established != nil
        )
    }

    @Test func subscribersShareTheirPrefix() {
        var buckets = SourceBuckets(perSecond: 20, burst: 5, entropy: .seeded(1))
        let now = Instant(nanoseconds: 0)
        var granted = 0
        for host in 0..<10 as Range<UInt64> {
            let source = SocketAddress(high: 0x2001_0DB8_0000_0001, low: host, port: 1)
            if buckets.take(for: source, at: now) { granted += 1 }
        }
        #expect(granted == 5)
        let neighbour = SocketAddress(high: 0x2001_0DB8_0000_0002, low: 1, port: 1)
        let isGranted = buckets.take(for: neighbour, at: now)
        #expect(isGranted)
    }

    @Test func theOldestCopyIsForgottenFirst() {
        var memory = ReplayMemory(entropy: .seeded(1))
        let now = Instant(nanoseconds: 0)
        let client = SecretKey(entropy: .seeded(1)).publicKey
        let source = SocketAddress(ipv4: 0xC000_0201, port: 9)
        let response = [UInt8](repeating: 7, count: 108)
        for hash in 0..<5000 as Range<UInt64> {
            response.withUnsafeBytes {
                memory.remember(
                    hash,
                    client: client,
                    localIndex: UInt32(hash),
                    source: source,
                    response: $0,
                    at: now
                )
            }
        }
        var unseen = 0
        for hash in 0..<5000 as Range<UInt64> {
            if case .unseen = memory.find(hash, from: source, at: now) { unseen += 1 }
        }
        #expect(unseen == 5000 - 4096)
        memory.confirmed(4998)
        if case .spent = memory.find(4998, from: source, at: now) {
        } else {
            Issue.record("the copy of a confirmed handshake was answered")
        }
        if case .resend(let answer) = memory.find(4999, from: source, at: now) {
            #expect(answer.elementsEqual(response))
        } else {
            Issue.record("the newest copy was forgotten")
        }
        var late = 0
        for hash in 904..<5000 as Range<UInt64> {
            if case .unseen = memory.find(hash, from: source, at: now + .seconds(180)) { late += 1 }
        }
        #expect(late == 4096)
    }
}
