import Primitives
import Testing

@testable import Sealing

/// The secret that both ends share beforehand, and what they see when they do not.
@Suite struct PresharedKeyTests {
    private let one = PresharedKey(entropy: .seeded(71))
    private let other = PresharedKey(entropy: .seeded(72))

    private func pair(_ client: PresharedKey?, _ server: PresharedKey?) -> Pair {
        let pair = Pair()
        pair.initiator.presharedKey = client
        pair.decision = .accept(continues: false, presharedKey: server)
        return pair
    }

    @Test func equalKeysMakeEqualTransportKeys() throws {
        let pair = self.pair(self.one, PresharedKey(copying: self.one))
        let (client, server) = try pair.shakeHands()
        #expect(client.handshakeHash == server.handshakeHash)
        let record = sealed([1, 2, 3], client.keys, receiverIndex: 9, counter: 0)
        #expect(opened(record, server.keys, pair.mask) == [1, 2, 3])
        // And others than without: the same seed makes the same ephemeral keys.
        let without = try self.pair(nil, nil).shakeHands()
        #expect(client.handshakeHash != without.client.handshakeHash)
        #expect(opened(record, without.server.keys, pair.mask) == nil)
    }

    @Test(arguments: [(1, 0), (0, 1), (1, 2)])
    func anotherKeyIsNoticedAndEndsNothing(client: Int, server: Int) throws {
        let keys = [nil, self.one, self.other]
        let pair = self.pair(keys[client], keys[server])
        pair.start()
        let (outcome, reply) = pair.deliverToServer(pair.nextInitiation())
        #expect(outcome.established != nil)
        #expect(!pair.initiator.hasUnreadableAnswer)
        #expect(pair.deliverToClient(reply).ignored == .unauthentic)
        #expect(pair.initiator.hasUnreadableAnswer)
        #expect(pair.initiator.isActive)
        // The server learns the right one: the next attempt succeeds.
        pair.responder.forgetAnswers(to: pair.clientKey.publicKey)
        pair.decision = .accept(continues: false, presharedKey: keys[client])
        pair.now = pair.initiator.deadline
        let (second, answer) = pair.deliverToServer(pair.nextInitiation())
        // To a copy, forgotten, whose clock is no news any more: with a cookie.
        #expect(second.isReply)
        #expect(pair.deliverToClient(answer).isCookie)
        let (third, last) = pair.deliverToServer(pair.nextInitiation())
        let established = try #require(third.established)
        let ours = try #require(pair.deliverToClient(last).established)
        #expect(ours.handshakeHash == established.handshakeHash)
        #expect(!pair.initiator.hasUnreadableAnswer)
    }

    /// Whoever knows both public keys can make an answer that fits in everything but Noise.
    @Test func aForgedAnswerOnlyRaisesTheSuspicion() throws {
        let pair = self.pair(self.one, self.one)
        pair.start()
        let (_, reply) = pair.deliverToServer(pair.nextInitiation())
        var forged = try #require(reply)
        forged.withUnsafeMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            pair.mask.applyToHeader(bytes)
            pair.mask.applyToEphemeral(bytes)
            bytes[60] ^= 1
            let key = UnsafeMutableRawPointer.allocate(byteCount: 32, alignment: 16)
            defer { key.deallocate() }
            pair.mask.derive("mac1", pair.clientKey.publicKey, into: key, byteCount: 32)
            Layout.writeMAC(after: bytes.count - 16, of: base, key: key, keyByteCount: 32)
            pair.mask.applyToEphemeral(bytes)
            pair.mask.applyToHeader(bytes)
        }
        #expect(pair.deliverToClient(forged).ignored == .unauthentic)
        #expect(pair.initiator.hasUnreadableAnswer)
        #expect(pair.deliverToClient(reply).established != nil)
    }

    @Test(arguments: RefusalReason.allCases)
    func refusalsAreReadWithWhateverKey(reason: RefusalReason) throws {
        for client in [nil, self.one] {
            let pair = self.pair(client, nil)
            pair.decision = .refuse(reason)
            pair.start()
            let (_, reply) = pair.deliverToServer(pair.nextInitiation())
            #expect(pair.deliverToClient(reply).refused == reason)
            #expect(!pair.initiator.isActive)
        }
    }

    /// What the server decides by itself is said under zeros as well.
    @Test func aCipherMismatchIsReadable() throws {
        let pair = Pair(ciphers: CipherSet(.chacha20Poly1305), serverCiphers: [])
        pair.initiator.presharedKey = self.one
        pair.decision = .accept(continues: false, presharedKey: self.one)
        pair.start()
        let (_, reply) = pair.deliverToServer(pair.nextInitiation())
        #expect(pair.deliverToClient(reply).refused == .cipherMismatch)
    }

    @Test func oldAnswersAreForgottenForOneClientAlone() throws {
        let pair = self.pair(self.one, self.one)
        pair.start()
        let wire = try #require(pair.nextInitiation())
        let (_, reply) = pair.deliverToServer(wire)
        pair.responder.forgetAnswers(to: pair.serverKey.publicKey)
        #expect(pair.deliverToServer(wire).reply == reply)
        pair.responder.forgetAnswers(to: pair.clientKey.publicKey)
        #expect(pair.deliverToServer(wire).reply?.count == Layout.cookieByteCount)
    }

    @Test(arguments: ["\n", "\r\n"])
    func readsItsOwnFilesAndWireGuards(lineEnd: String) throws {
        let text = self.one.keyFileText(created: "2026-11-22T10:00:00Z")
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines[0] == "# created: 2026-11-22T10:00:00Z")
        #expect(lines[1].hasPrefix("FAIRLEAD-PRESHARED-KEY:") && lines[1].hasSuffix("="))
        let again = try PresharedKey(keyFileText: lines.joined(separator: lineEnd))
        #expect(again == self.one && again != self.other)
        let bare = lines[1].dropFirst("FAIRLEAD-PRESHARED-KEY:".count)
        #expect(try PresharedKey(keyFileText: " \(bare)\t\(lineEnd)") == self.one)
    }

    @Test func badFilesAreRefused() {
        let zeros = String(repeating: "A", count: 43) + "="
        let secret = SecretKey(entropy: .seeded(1)).keyFileText(created: "now")
        let cases: [(String, KeyFileError)] = [
            ("# nothing\n", .noKey(.preshared)),
            (secret, .malformed(.preshared, line: 3)),
            ("FAIRLEAD-PRESHARED-KEY:short\n", .malformed(.preshared, line: 1)),
            ("\n\(zeros)\n", .zeros(line: 2)),
            (
                self.one.keyFileText(created: "now") + self.other.keyFileText(created: "now"),
                .severalKeys(.preshared, line: 4)
            ),
        ]
        for (text, error) in cases {
            #expect(throws: error) { _ = try PresharedKey(keyFileText: text) }
        }
        // Nor the other way round.
        let text = self.one.keyFileText(created: "now")
        #expect(throws: KeyFileError.malformed(.secret, line: 2)) {
            _ = try SecretKey(keyFileText: text)
        }
    }

    @Test func itIsNeverPrinted() throws {
        let text = self.one.keyFileText(created: "now")
        let secret = try #require(text.split(separator: ":").last?.dropLast(2))
        var dumped = ""
        dump(self.one, to: &dumped)
        for shown in ["\(self.one)", String(reflecting: self.one), dumped] {
            #expect(!shown.contains(secret) && shown.contains("<preshared>"))
        }
    }
}

extension PresharedKey {
    /// Another object with the same bytes.
    fileprivate convenience init(copying key: PresharedKey) {
        self.init(
            entropy: EntropySource { target in
                target.copyMemory(from: UnsafeRawBufferPointer(start: key.base, count: 32))
            }
        )
    }
}
