import PostQuantum
import Primitives
import Sealing
import Synchronization
import Testing

@testable import Session

/// What becomes of exchanges that go wrong, by accident or by a peer's design.
@Suite struct RatchetFaultTests {
    private func session(_ engine: Engine) throws -> PeerSession {
        try #require(engine.sessions.compactMap { $0 }.first)
    }

    private func isPostQuantum(_ engine: Engine) -> [Bool] {
        engine.snapshot(at: .init(nanoseconds: 0)).sessions.map(\.isPostQuantum)
    }

    private func drops(_ engine: Engine, _ reason: DropReason = .ratchet) -> UInt64 {
        engine.snapshot(at: .init(nanoseconds: 0)).counters.drops[reason]
    }

    /// How often a mechanism was asked, which several threads of a process might.
    private final class Count: Sendable {
        let value = Mutex(0)

        func next() -> Int {
            self.value.withLock {
                $0 += 1
                return $0
            }
        }
    }

    /// ML-KEM-768 whose first answers, so many of them, are spoilt on their way.
    private func spoiling(_ count: Int, _ asked: Count = Count()) -> KeyEncapsulation {
        KeyEncapsulation(
            generate: KeyEncapsulation.mlKEM768.generate,
            encapsulate: { publicKey, ciphertext, secret in
                let isDone = KeyEncapsulation.mlKEM768.encapsulate(publicKey, ciphertext, secret)
                if asked.next() <= count { ciphertext[700] ^= 4 }
                return isDone
            }
        )
    }

    private final class Garbage: DecapsulationKey {
        let publicKey = [UInt8](repeating: 0xFF, count: KeyEncapsulation.publicKeyByteCount)

        func decapsulate(
            _ ciphertext: UnsafeRawBufferPointer,
            to secret: UnsafeMutableRawBufferPointer
        ) -> Bool {
            false
        }
    }

    /// Offers what is no public key.
    private let garbage = KeyEncapsulation(
        generate: { Garbage() },
        encapsulate: KeyEncapsulation.mlKEM768.encapsulate
    )

    /// Implicit rejection: the client notes that it has other keys than the server, goes on under
    /// those that both have, and asks again after 5 s.
    @Test func aSpoiltAnswerChangesNothingButACounter() throws {
        let wire = Wire(postQuantum: (.prefer, .prefer), mechanism: self.spoiling(1))
        wire.run(.seconds(4))
        #expect(self.drops(wire.client) == 1)
        #expect(self.isPostQuantum(wire.client) == [false])
        #expect(self.isPostQuantum(wire.server) == [false])
        #expect(self.drops(wire.client, .unauthentic) + self.drops(wire.server, .unauthentic) == 0)
        wire.run(.seconds(2))
        #expect(self.isPostQuantum(wire.client) == [true])
        #expect(self.isPostQuantum(wire.server) == [true])
        #expect(self.drops(wire.client) == 1)
    }

    /// At most one exchange a handshake, and ever fewer handshakes.
    @Test func aServerThatNeverSucceedsIsAskedEverLess() throws {
        let asked = Count()
        let wire = Wire(postQuantum: (.prefer, .prefer), mechanism: self.spoiling(.max, asked))
        wire.run(.seconds(100))
        // After 0, 5, 15, 35 and 75 s.
        #expect(asked.value.withLock { $0 } == 5)
        #expect(self.isPostQuantum(wire.client) == [false])
    }

    @Test func whatIsNoPublicKeyIsLookedAtOnce() throws {
        let wire = Wire(postQuantum: (.prefer, .prefer), mechanism: self.garbage)
        wire.run(.seconds(4))
        #expect(self.drops(wire.server) == 1)
        let server = try self.session(wire.server)
        let before = server.leg.keys.ratchet?.handshake
        let part = [UInt8](repeating: 0xFF, count: Ratchet.offerByteCount / 4)
        for number in UInt8(0)..<4 {
            let body = self.body(try #require(before), number, part)
            try wire.forge([(FrameType.ratchetOffer, body)], from: wire.clientAddress)
        }
        #expect(self.drops(wire.server) == 5)
        #expect(server.leg.keys.next == nil && self.isPostQuantum(wire.server) == [false])
    }

    /// Where an end insists, a session that cannot be strengthened is given up by both.
    @Test func insistingEndsAfterTenSeconds() throws {
        let wire = Wire(postQuantum: (.require, .require), mechanism: self.garbage)
        wire.run(.milliseconds(10_100))
        let told = wire.clientEvents.contains {
            if case .connectFailed(.postQuantum, _) = $0 { true } else { false }
        }
        #expect(told && !wire.client.isSessionUp)
        let sessions = wire.server.sessions.compactMap { $0 }
        #expect(
            sessions.allSatisfy {
                $0.leg.keys.isHeldBack && wire.now.since($0.createdAt) < .seconds(1)
            }
        )
    }

    // MARK: - Parts

    private func body(_ handshake: UInt32, _ part: UInt8, _ bytes: [UInt8]) -> [UInt8] {
        withUnsafeBytes(of: handshake.littleEndian) { [UInt8]($0) } + [part] + bytes
    }

    @Test func partsMayComeInAnyOrder() {
        let bytes = (0..<Ratchet.offerByteCount).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        for order in [[UInt8(0), 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [2, 2, 0, 0, 3, 1, 1]] {
            var sent = Ratchet.Message(sending: bytes)
            var received = Ratchet.Message(receivingByteCount: bytes.count)
            var seen: Set<UInt8> = []
            for part in order {
                #expect(!received.isComplete)
                let range = sent.range(of: part)
                let isNew = bytes.withUnsafeBytes {
                    received.receive(part, UnsafeRawBufferPointer(rebasing: $0[range]))
                }
                #expect(isNew == seen.insert(part).inserted)
                if received.isComplete { break }
            }
            #expect(received.isComplete && received.bytes == bytes)
            #expect((0..<4).allSatisfy { sent.takeDue() == $0 } && sent.takeDue() == nil)
            sent.repeatPart(2)
            #expect(sent.takeDue() == 2 && sent.takeDue() == nil)
        }
    }

    /// Frames that are cut short, too long, for another handshake, out of turn or from the wrong
    /// end are counted, and an exchange under way goes on as if they had not been.
    @Test func hostilePartsChangeNothing() throws {
        let wire = Wire(postQuantum: (.prefer, .prefer))
        var isOpen = true
        // What the client sends up to the first parts arrives, the other parts do not.
        var count = 0
        wire.passes = { fromClient in
            guard fromClient, isOpen else { return !fromClient }
            count += 1
            return count <= 3
        }
        wire.run(.milliseconds(45))
        let server = try self.session(wire.server)
        let ratchet = try #require(server.leg.keys.ratchet)
        let incoming = try #require(ratchet.incoming)
        #expect(incoming.parts != 0 && !incoming.isComplete)
        let part = [UInt8](repeating: 1, count: Ratchet.offerByteCount / 4)
        let name = ratchet.handshake
        let forgeries: [(DropReason, UInt8, [UInt8])] = [
            (.ratchet, 19, self.body(name, 3, part.dropLast())),
            (.ratchet, 19, self.body(name, 3, part + [1])),
            (.ratchet, 19, self.body(name, 0, part)),
            (.ratchet, 19, self.body(name ^ 1, 3, part)),
            (.malformed, 19, self.body(name, 4, part)),
            (.malformed, 19, [1, 2, 3]),
            (.protocolViolation, 20, self.body(name, 3, part)),
        ]
        for (reason, type, body) in forgeries {
            let before = self.drops(wire.server, reason)
            try wire.forge([(type, body)], from: wire.clientAddress)
            #expect(self.drops(wire.server, reason) == before + 1)
            #expect(
                server.leg.keys.ratchet === ratchet && ratchet.incoming?.parts == incoming.parts
            )
            #expect(ratchet.incoming?.bytes == incoming.bytes)
        }
        isOpen = false
        wire.passes = { _ in true }
        wire.run(.seconds(2))
        #expect(self.isPostQuantum(wire.client) == [true])
        #expect(self.isPostQuantum(wire.server) == [true])
    }

    // MARK: - Reload

    @Test func requiringEndsClassicalSessions() throws {
        let wire = Wire(postQuantum: (.off, .prefer))
        wire.run(.seconds(1))
        wire.server.replace(postQuantum: .require, at: wire.now)
        wire.run(.seconds(1))
        for events in [wire.clientEvents, wire.serverEvents] {
            #expect(
                events.contains {
                    if case .sessionDown(_, _, .postQuantum) = $0 { true } else { false }
                }
            )
        }
        #expect(!wire.client.isSessionUp)
        wire.client.replace(postQuantum: .prefer, at: wire.now)
        wire.run(.seconds(6))
        #expect(self.isPostQuantum(wire.client) == [true])
    }

    /// A change that insists on nothing cuts nothing, and acts on the next handshake.
    @Test func otherChangesCutNothing() throws {
        let wire = Wire(postQuantum: (.off, .prefer))
        wire.run(.seconds(1))
        let session = try self.session(wire.client)
        wire.client.replace(postQuantum: .prefer, at: wire.now)
        wire.run(.seconds(125))
        #expect(try self.session(wire.client) === session && session.leg.keys.current.isPostQuantum)
        wire.client.replace(postQuantum: .off, at: wire.now)
        wire.run(.seconds(125))
        #expect(
            try self.session(wire.client) === session && !session.leg.keys.current.isPostQuantum
        )
        #expect(try !self.session(wire.server).leg.keys.current.isPostQuantum)
    }
}
