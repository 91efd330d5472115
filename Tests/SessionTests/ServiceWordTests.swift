import Primitives
import Testing

@testable import Session

/// What clients are told of services without a backend.
@Suite struct ServiceWordTests {
    private struct Word: Equatable {
        var name: String
        var isServed: Bool
    }

    private func words(_ wire: Wire) -> [Word] {
        wire.clientEvents.compactMap { event in
            guard case .serviceChanged(_, let name, _, let isServed) = event else { return nil }
            return Word(name: name, isServed: isServed)
        }
    }

    @Test func aClientHearsOfAServiceThatGoesAndComes() {
        let wire = Wire()
        wire.run(.seconds(1))
        #expect(self.words(wire).isEmpty)
        wire.server.setServed("echo", .tcp, false)
        wire.run(.milliseconds(11))
        #expect(self.words(wire) == [Word(name: "echo", isServed: false)])
        wire.server.setServed("echo", .tcp, false)
        wire.run(.seconds(1))
        wire.server.setServed("echo", .tcp, true)
        wire.run(.milliseconds(11))
        #expect(self.words(wire).map(\.isServed) == [false, true])
    }

    /// The word is there before a listener could be opened in vain.
    @Test func aNewSessionHearsOfItWithTheFirstPacket() throws {
        let wire = Wire()
        wire.server.setServed("echo", .tcp, false)
        wire.run(.seconds(1))
        let place = { (isIt: (EngineEvent) -> Bool) in wire.clientEvents.firstIndex(where: isIt) }
        let word = try #require(place { if case .serviceChanged = $0 { true } else { false } })
        let heard = try #require(place { if case .sessionHeard = $0 { true } else { false } })
        #expect(word < heard)
        #expect(wire.clientEvents.count { if case .sessionHeard = $0 { true } else { false } } == 1)
    }

    @Test func itIsSaidAgainUntilItIsHeard() {
        let wire = Wire()
        wire.run(.seconds(1))
        var dropped = 0
        wire.passes = { fromClient in
            guard !fromClient, dropped < 3 else { return true }
            dropped += 1
            return false
        }
        wire.server.setServed("echo", .tcp, false)
        wire.run(.seconds(5))
        #expect(dropped == 3)
        #expect(self.words(wire) == [Word(name: "echo", isServed: false)])
    }

    /// What was lost is said again as it is by then, and what comes late is history.
    @Test func theNewestWordCounts() {
        var words = ServiceWords()
        let echo = ServiceName("echo", .tcp)
        var news: [Bool] = []
        for (isServed, packet) in [(true, 3), (false, 7), (true, 6), (true, 8)] as [(Bool, UInt64)]
        {
            news.append(words.heard(echo, isServed: isServed, packet: packet))
        }
        news.append(words.heard(ServiceName("echo", .udp), isServed: false, packet: 1))
        #expect(news == [false, true, false, true, true])
        let wire = Wire()
        wire.run(.seconds(1))
        var isCut = true
        wire.passes = { _ in !isCut }
        wire.server.setServed("echo", .tcp, false)
        wire.run(.milliseconds(100))
        wire.server.setServed("echo", .tcp, true)
        wire.run(.milliseconds(100))
        isCut = false
        wire.run(.seconds(5))
        #expect(self.words(wire).last?.isServed != false)
    }

    @Test func whoMayNotUseAServiceHearsNothingOfIt() {
        let wire = Wire(services: ["voice"])
        wire.server.setServed("echo", .tcp, false)
        wire.run(.seconds(1))
        wire.server.setServed("voice", .udp, false)
        wire.run(.seconds(1))
        #expect(self.words(wire).map(\.name) == ["voice"])
        // Nor of one that there is not.
        wire.server.setServed("other", .tcp, false)
        wire.run(.seconds(1))
        #expect(self.words(wire).count == 1)
        // A reload that grants it tells, and one that takes it away leaves no closed door behind.
        let all = wire.directory.peers.map { peer in
            var peer = peer
            peer.services = ["*"]
            return peer
        }
        wire.server.replace(
            directory: PeerDirectory(peers: all, services: wire.directory.services),
            at: wire.now
        )
        wire.run(.seconds(1))
        #expect(self.words(wire).last == Word(name: "echo", isServed: false))
        wire.server.replace(directory: wire.directory, at: wire.now)
        wire.run(.seconds(1))
        #expect(self.words(wire).last == Word(name: "echo", isServed: true))
    }

    @Test func aServerTakesNoSuchWord() throws {
        let wire = Wire()
        wire.run(.seconds(1))
        let before = wire.server.snapshot(at: wire.now).counters.drops[.protocolViolation]
        try wire.forge([(FrameType.service, [0, 0, 1, 97])], from: wire.clientAddress)
        let after = wire.server.snapshot(at: wire.now).counters.drops[.protocolViolation]
        #expect(after == before + 1)
    }

    @Test func whatAServerMakesUpIsBounded() {
        var words = ServiceWords()
        for number in 0..<2 * ServiceWords.limit {
            _ = words.heard(ServiceName("s\(number)", .tcp), isServed: false, packet: 1)
        }
        #expect(words.words.count == ServiceWords.limit)
    }

    @Test(arguments: [
        [], [0], [0, 0], [0, 0, 0], [0, 0, 2, 97], [0, 0, 1, 10], [0, 0, 1, 255],
        [0, 0, 65] + [UInt8](repeating: 97, count: 65),
    ])
    func whatIsNoWordIsCounted(body: [UInt8]) throws {
        let wire = Wire()
        wire.run(.seconds(1))
        let drops = { wire.client.snapshot(at: wire.now).counters.drops[.malformed] }
        let before = drops()
        try wire.forgeFromServer([(FrameType.service, body)])
        #expect(drops() == before + 1)
        // States, kinds and bytes of later versions say nothing.
        for other: [UInt8] in [[2, 0, 1, 97], [0, 2, 1, 97], [1, 0, 1, 97, 9]] {
            try wire.forgeFromServer([(FrameType.service, other)])
        }
        wire.run(.seconds(1))
        #expect(drops() == before + 1 && self.words(wire).isEmpty)
    }
}
