import PostQuantum
import Primitives
import Sealing
import Testing

@testable import Session

/// The post-quantum exchange across whole engines, on good paths and bad ones.
@Suite struct RatchetTests {
    private func session(_ engine: Engine) throws -> PeerSession {
        try #require(engine.sessions.compactMap { $0 }.first)
    }

    private func isPostQuantum(_ engine: Engine) -> [Bool] {
        engine.snapshot(at: .init(nanoseconds: 0)).sessions.map(\.isPostQuantum)
    }

    private func drops(_ engine: Engine) -> UInt64 {
        engine.snapshot(at: .init(nanoseconds: 0)).counters.drops[.ratchet]
    }

    private func failures(_ wire: Wire) -> [ConnectFailure] {
        wire.clientEvents.compactMap {
            if case .connectFailed(let failure, _) = $0 { failure } else { nil }
        }
    }

    private func strengthened(_ events: [EngineEvent]) -> Int {
        events.count { if case .sessionStrengthened = $0 { true } else { false } }
    }

    private func ups(_ events: [EngineEvent]) -> Int {
        events.count { if case .sessionUp = $0 { true } else { false } }
    }

    /// Sends a datagram a second for so long; returns how many came back.
    private func chat(_ wire: Wire, seconds: Int) throws -> Int {
        let request = OpenRequest(service: "voice", serviceProtocol: .udp)
        let flow = try #require(wire.client.openFlow(request, at: wire.now))
        let before = wire.clientDatagrams.count
        for _ in 0..<seconds {
            [1].withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
            wire.run(.seconds(1))
        }
        return wire.clientDatagrams.count - before
    }

    /// What the two ends are configured to.
    struct Pair: Sendable {
        let client: PostQuantumPolicy
        let server: PostQuantumPolicy

        init(_ client: PostQuantumPolicy, _ server: PostQuantumPolicy) {
            self.client = client
            self.server = server
        }
    }

    private static let policies: [PostQuantumPolicy] = [.prefer, .require]

    @Test(arguments: policies, policies)
    func strengthens(_ client: PostQuantumPolicy, _ server: PostQuantumPolicy) throws {
        let wire = Wire(postQuantum: (client, server))
        #expect(try self.chat(wire, seconds: 3) == 3)
        #expect(self.isPostQuantum(wire.client) == [true])
        #expect(self.isPostQuantum(wire.server) == [true])
        for events in [wire.clientEvents, wire.serverEvents] {
            #expect(self.strengthened(events) == 1 && self.ups(events) == 1)
        }
        for engine in [wire.client, wire.server] {
            #expect(try self.session(engine).leg.keys.ratchet == nil)
            #expect(self.drops(engine) == 0)
            let counts = engine.snapshot(at: wire.now).unaccountedByteCounts
            #expect(counts.allSatisfy { abs($0) <= 8192 / 2 })
        }
    }

    /// An end that prefers it serves ends that do not have it, as those of older releases.
    @Test(arguments: [Pair(.prefer, .off), Pair(.off, .prefer)])
    func olderPeersAreServed(_ policies: Pair) throws {
        let wire = Wire(postQuantum: (policies.client, policies.server))
        #expect(try self.chat(wire, seconds: 130) == 130)
        #expect(self.isPostQuantum(wire.client) == [false])
        #expect(self.isPostQuantum(wire.server) == [false])
        #expect(self.strengthened(wire.clientEvents + wire.serverEvents) == 0)
    }

    @Test(arguments: [Pair(.require, .off), Pair(.off, .require)])
    func bothEndsNameARefusal(_ policies: Pair) {
        let wire = Wire(postQuantum: (policies.client, policies.server))
        wire.run(.seconds(3))
        #expect(self.failures(wire) == [.postQuantum])
        #expect(
            wire.serverEvents.contains {
                if case .handshakeRefused(.postQuantum, _, _, _) = $0 { true } else { false }
            }
        )
        #expect(!wire.client.isSessionUp)
    }

    /// The server's packets that hold its answer are lost for two seconds: nothing of an
    /// application passes meanwhile, whichever end insists, and nothing is lost of what waited.
    @Test(arguments: [Pair(.require, .prefer), Pair(.prefer, .require)])
    func holdsBack(_ policies: Pair) throws {
        let wire = Wire(postQuantum: (policies.client, policies.server))
        let request = OpenRequest(service: "echo", serviceProtocol: .tcp)
        let stream = try #require(wire.client.openStream(request, at: wire.now))
        let bytes = [UInt8](repeating: 7, count: 5000)
        #expect(wire.client.write(bytes[...], to: stream, at: wire.now) == bytes.count)
        var opened: StreamHandle?
        wire.onServerStream = { handle, _ in opened = handle }
        var answers = 0
        wire.passes = { isFromClient in
            if isFromClient { return true }
            answers += 1
            return answers == 1
        }
        wire.run(.seconds(2))
        #expect(opened == nil && !wire.client.isSessionUp)
        #expect(self.ups(wire.clientEvents + wire.serverEvents) == 0)
        #expect(self.isPostQuantum(wire.server).isEmpty)
        wire.passes = { _ in true }
        wire.run(.seconds(3))
        let handle = try #require(opened)
        #expect(wire.server.readAll(handle, at: wire.now) == bytes)
        #expect(try self.session(wire.server).leg.keys.current.isPostQuantum)
    }

    /// Every session keeps its keys post-quantum for as long as it lives.
    @Test func everyRekeyIsStrengthened() throws {
        let wire = Wire(postQuantum: (.prefer, .require))
        #expect(try self.chat(wire, seconds: 2) == 2)
        let session = try self.session(wire.client)
        let first = session.leg.keys.current.localIndex
        var wasClassical = false
        let request = OpenRequest(service: "voice", serviceProtocol: .udp)
        let flow = try #require(wire.client.openFlow(request, at: wire.now))
        for _ in 0..<300 {
            [1].withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
            wire.run(.seconds(1)) {
                let ends = [wire.client, wire.server].flatMap { $0.sessions.compactMap { $0 } }
                if ends.contains(where: { !$0.leg.keys.current.isPostQuantum }) {
                    wasClassical = true
                }
            }
        }
        #expect(try self.session(wire.client) === session)
        #expect(session.leg.keys.current.localIndex != first && !wasClassical)
        #expect(wire.clientDatagrams.count == 302)
        #expect(self.strengthened(wire.clientEvents) == 1)
        // The indices of the keys in use and perhaps of those before, and no others.
        #expect(1...2 ~= wire.client.indices.count && 1...2 ~= wire.server.indices.count)
    }

    /// A third of all packets vanishes, in either direction, at every size of packet.
    @Test(arguments: [UInt64(1), 2, 3, 4, 5, 6], [512, 1472])
    func survivesLoss(_ seed: UInt64, _ size: Int) throws {
        let wire = Wire(seed: seed, serverPacketSize: size, postQuantum: (.require, .require))
        var dice = SeededGenerator(seed: seed)
        wire.passes = { _ in !dice.chance(1, in: 3) }
        wire.run(.seconds(20))
        #expect(self.isPostQuantum(wire.client) == [true])
        #expect(self.isPostQuantum(wire.server) == [true])
    }
}
