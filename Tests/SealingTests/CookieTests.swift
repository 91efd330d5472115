import Primitives
import Testing

@testable import Sealing

@Suite struct CookieTests {
    @Test func underLoadACookieIsAskedForAndHelps() throws {
        let pair = Pair(loadThreshold: 0)
        pair.start()
        let first = try #require(pair.nextInitiation())
        let (outcome, reply) = pair.deliverToServer(first)
        #expect(outcome.isReply)
        #expect(pair.responder.isUnderLoad(at: pair.now))
        #expect(pair.nextInitiation() == nil)
        #expect(pair.deliverToClient(reply).isCookie)
        #expect(pair.initiator.deadline <= pair.now)

        let second = try #require(pair.nextInitiation())
        let (accepted, response) = pair.deliverToServer(second)
        let server = try #require(accepted.established)
        let client = try #require(pair.deliverToClient(response).established)
        #expect(client.handshakeHash == server.handshakeHash)

        // The cookie lasts: the next handshake shows it at once.
        pair.now = pair.now + .seconds(60)
        pair.clock += 60_000
        pair.start()
        let third = try #require(pair.nextInitiation())
        #expect(pair.deliverToServer(third).outcome.established != nil)
    }

    /// A cookie that never satisfies the server must not become a ping-pong.
    @Test func oneCookieHurriesOnePacket() throws {
        let pair = Pair(loadThreshold: 0)
        pair.start()
        var sent = 0
        let end = pair.now + .seconds(20)
        while pair.now < end {
            while let wire = pair.nextInitiation() {
                sent += 1
                // The address changes with every packet, as behind a broken NAT.
                pair.source = pair.source.with(port: pair.source.port &+ 1)
                if let reply = pair.deliverToServer(wire).reply {
                    #expect(pair.deliverToClient(reply).isCookie)
                }
            }
            pair.now = pair.now + .milliseconds(10)
        }
        #expect((18...28).contains(sent), "\(sent) packets in 20 s")
    }

    @Test func aCookieBelongsToOneAddressAndPort() throws {
        for change in 0..<3 {
            let pair = Pair(loadThreshold: 0)
            pair.start()
            let (_, reply) = pair.deliverToServer(pair.nextInitiation())
            _ = pair.deliverToClient(reply)
            let wire = try #require(pair.nextInitiation())
            switch change {
            case 0: pair.source = pair.source.with(port: 1)
            case 1: pair.source = SocketAddress(ipv4: 0xC000_0202, port: 40_000)
            default: break
            }
            let (outcome, _) = pair.deliverToServer(wire)
            #expect((outcome.established != nil) == (change == 2))
        }
    }

    @Test func secretsRotateWithOneOverlap() throws {
        for (age, isGood) in [(100, true), (119, true), (230, true), (245, false), (400, false)] {
            let pair = Pair(loadThreshold: 0)
            pair.start()
            let (_, reply) = pair.deliverToServer(pair.nextInitiation())
            _ = pair.deliverToClient(reply)
            let wire = try #require(pair.nextInitiation())
            for step in [120, 240, 360] where step <= age {
                // Others keep the server busy meanwhile.
                let start = pair.now
                pair.now = start + .seconds(UInt64(step))
                var other = wire
                other[0] ^= 1
                _ = pair.deliverToServer(other)
                pair.now = start
            }
            pair.now = pair.now + .seconds(UInt64(age))
            #expect((pair.deliverToServer(wire).outcome.established != nil) == isGood, "\(age) s")
        }
    }

    @Test func aCookieForAnotherHandshakeIsIgnored() throws {
        let pair = Pair(loadThreshold: 0)
        pair.start()
        let (_, reply) = pair.deliverToServer(pair.nextInitiation())
        pair.start()
        _ = pair.nextInitiation()
        #expect(pair.deliverToClient(reply).ignored == .unauthentic)
        pair.initiator.cancel()
        #expect(pair.deliverToClient(reply).ignored == .unexpected)
    }

    @Test func loadIsNoticedAndForgotten() {
        var load = LoadDetector(threshold: 100)
        var now = Instant(nanoseconds: 0) + .seconds(10)
        var loaded = 0
        for _ in 0..<150 {
            if load.note(at: now) { loaded += 1 }
            now = now + .milliseconds(1)
        }
        #expect(loaded == 50)
        #expect(load.isLoaded(at: now))
        #expect(!load.isLoaded(at: now + .seconds(1)))
        let needsCookie = load.note(at: now + .seconds(2))
        #expect(!needsCookie)
    }

    /// Under load even cookie holders share a budget per source.
    @Test func sourcesAreLimitedUnderLoad() throws {
        let pair = Pair(loadThreshold: 0)
        pair.start()
        let (_, reply) = pair.deliverToServer(pair.nextInitiation())
        _ = pair.deliverToClient(reply)
        let wire = try #require(pair.nextInitiation())
        var drops = 0
        for _ in 0..<10 where pair.deliverToServer(wire).outcome.drop == .sourceLimit {
            drops += 1
        }
        #expect(drops == 5)
    }
}
