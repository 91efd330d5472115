import Primitives
import Testing

@testable import Names

@Suite struct NameLookupTests {
    private func places(_ outcome: NameLookup.Outcome?) -> [String] {
        guard case .found(let answer) = outcome else { return ["\(outcome as Any)"] }
        return answer.places.map(\.address.description).sorted()
    }

    private func seconds(_ outcome: NameLookup.Outcome?) -> UInt64? {
        guard case .found(let answer) = outcome else { return nil }
        return answer.timeToLive.milliseconds / 1_000
    }

    private func isFailed(_ outcome: NameLookup.Outcome?) -> Bool {
        if case .failed = outcome { true } else { false }
    }

    @Test func everyAddressOfBothFamiliesAndTheShortestTime() {
        let server = FakeNameServer { _, type in
            type == 1
                ? .records([.a([192, 0, 2, 1], seconds: 30), .a([192, 0, 2, 2], seconds: 9)])
                : .records([.aaaa(7, seconds: 300)])
        }
        let outcome = server.outcome(of: .host("game.example", port: 7))
        #expect(self.places(outcome) == ["192.0.2.1:7", "192.0.2.2:7", "[2001:db8::7]:7"])
        #expect(self.seconds(outcome) == 9)
    }

    @Test func anAliasEndsWhenItsOwnTimeEnds() {
        let server = FakeNameServer { _, type in
            guard type == 1 else { return .records([]) }
            // The address belongs to the alias' target: a pointer to it is at a known place.
            return .records([.alias("game.example", seconds: 4), .a([192, 0, 2, 1], seconds: 90)])
        }
        let outcome = server.outcome(of: .host("game.example", port: 7))
        #expect(self.places(outcome) == ["192.0.2.1:7"])
        #expect(self.seconds(outcome) == 4)
    }

    @Test func anAliasOfItselfLeadsNowhere() {
        let server = FakeNameServer { name, _ in .records([.alias(name)]) }
        #expect(self.isFailed(server.outcome(of: .host("loop.example", port: 7))))
    }

    @Test func nothingIsAFailureOfItsOwn() {
        for reply in [FakeNameServer.Reply.records([]), .code(3), .code(2), .raw([1, 2, 3])] {
            let server = FakeNameServer { _, _ in reply }
            let outcome = server.outcome(of: .host("void.example", port: 7), seconds: 20)
            #expect(self.isFailed(outcome), "\(reply): \(String(describing: outcome))")
        }
    }

    @Test func oneFamilyIsEnough() {
        let server = FakeNameServer { _, type in
            type == 1 ? .records([.a([192, 0, 2, 1])]) : .code(2)
        }
        let outcome = server.outcome(of: .host("game.example", port: 7), seconds: 20)
        #expect(self.places(outcome) == ["192.0.2.1:7"])
    }

    @Test func aSilentServerIsGivenUp() {
        let server = FakeNameServer { _, _ in .silence }
        let outcome = server.outcome(of: .host("game.example", port: 7), seconds: 20)
        #expect(self.isFailed(outcome))
        // Three tries for each family.
        #expect(server.questions.count == 6)
    }

    @Test func theHostsFileNeedsNoServer() {
        let server = FakeNameServer { _, _ in .silence }
        let outcome = server.outcome(of: .host("localhost", port: 7))
        #expect(self.places(outcome).contains("127.0.0.1:7"))
        #expect(server.questions.isEmpty)
    }

    @Test func ofVeryManyTheSameAreTakenWhateverTheirOrder() {
        var addresses = (0..<400).map { [10, 0, UInt8($0 / 256), UInt8($0 % 256)] }
        // More than a datagram holds, but loopback carries it, and nobody has asked for less.
        let server = FakeNameServer { _, type in
            addresses.shuffle()
            return type == 1 ? .records(addresses.prefix(400).map { .a($0) }) : .records([])
        }
        let first = server.outcome(of: .host("many.example", port: 7))
        let second = server.outcome(of: .host("many.example", port: 7))
        guard case .found(let one) = first, case .found(let other) = second else {
            // c-ares asks again over TCP, where nobody listens.
            #expect(self.isFailed(first) && self.isFailed(second))
            return
        }
        #expect(one.places.count == NameLookup.placeLimit)
        #expect(one.isSame(as: other))
    }

    @Test func aServiceLeadsToItsTargets() {
        let server = FakeNameServer { name, type in
            switch (name, type) {
            case ("_game._udp.example", 33):
                .records([
                    .service(10, 60, 7_001, "a.example", seconds: 20),
                    .service(20, 0, 7_002, "b.example", seconds: 50),
                    .service(20, 5, 7_003, "gone.example", seconds: 50),
                ])
            case ("a.example", 1): .records([.a([192, 0, 2, 1])])
            case ("b.example", 28): .records([.aaaa(2, seconds: 8)])
            case ("gone.example", _): .code(3)
            default: .records([])
            }
        }
        let outcome = server.outcome(of: .service("_game._udp.example"))
        guard case .found(let answer) = outcome else {
            Issue.record("\(String(describing: outcome))")
            return
        }
        #expect(self.seconds(outcome) == 8)
        #expect(self.places(outcome) == ["192.0.2.1:7001", "[2001:db8::2]:7002"])
        #expect(answer.missing.map(\.target) == ["gone.example"])
        #expect(answer.places.map(\.priority).sorted() == [10, 20])
        #expect(answer.places.first { $0.priority == 10 }?.weight == 60)
    }

    @Test func aServiceThatIsDecidedlyNotThereIsAnAnswer() {
        let server = FakeNameServer { _, _ in .records([.service(0, 0, 0, "")]) }
        let outcome = server.outcome(of: .service("_game._udp.example"))
        #expect(outcome == .found(NameAnswer([], timeToLive: .seconds(60))))
    }
}
