import Primitives
import Testing

@testable import Balancing

@Suite struct ProbeTests {
    static func receive(_ exchange: inout ProbeExchange, _ bytes: [UInt8]) -> ProbeExchange.Step {
        bytes.withUnsafeBytes { exchange.receive($0) }
    }

    static let query = [0xFF, 0xFF, 0xFF, 0xFF, 0x54] + Array("Source Engine Query".utf8) + [0]

    @Test func sourceQueryWithChallenge() {
        var exchange = ProbeExchange(.a2s, nonce: 1)
        #expect(exchange.request == Self.query)
        let challenge: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0x41, 0x0A, 0x08, 0x5E, 0xEA]
        #expect(Self.receive(&exchange, challenge) == .sendAgain)
        #expect(exchange.request == Self.query + [0x0A, 0x08, 0x5E, 0xEA])
        let info = [0xFF, 0xFF, 0xFF, 0xFF, 0x49, 0x11] + Array("A server".utf8)
        #expect(Self.receive(&exchange, info) == .alive)
    }

    @Test func sourceQueryIsNotLedInCircles() {
        var exchange = ProbeExchange(.a2s, nonce: 1)
        let challenge: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0x41, 1, 2, 3, 4]
        #expect(Self.receive(&exchange, challenge) == .sendAgain)
        #expect(Self.receive(&exchange, challenge) == .sendAgain)
        #expect(Self.receive(&exchange, challenge) == .wrong)
        var other = ProbeExchange(.a2s, nonce: 1)
        for count in 0..<9 {
            #expect(Self.receive(&other, Array(challenge.prefix(count))) == .wait)
        }
        #expect(Self.receive(&other, [0xFE, 0xFF, 0xFF, 0xFF] + Array(0..<8)) == .alive)
        #expect(Self.receive(&other, [1, 2, 3, 4, 0x49, 1]) == .wait)
    }

    @Test func rakNetPingAndPong() {
        var exchange = ProbeExchange(.raknet, nonce: 0x0102_0304_0506_0708)
        let magic: [UInt8] = [
            0, 0xFF, 0xFF, 0, 0xFE, 0xFE, 0xFE, 0xFE, 0xFD, 0xFD, 0xFD, 0xFD, 0x12, 0x34, 0x56,
            0x78,
        ]
        let time: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
        #expect(Array(exchange.request[..<25]) == [0x01] + time + magic)
        #expect(exchange.request.count == 33)
        let pong =
            [0x1C] + time + Array(repeating: 9, count: 8) + magic + [0, 4] + Array("MCPE".utf8)
        #expect(Self.receive(&exchange, pong) == .alive)
        for count in 0..<33 { #expect(Self.receive(&exchange, Array(pong[..<count])) == .wait) }
        for place in Array(0..<9) + Array(17..<33) {
            var changed = pong
            changed[place] ^= 1
            #expect(Self.receive(&exchange, changed) == .wait)
        }
    }

    @Test func minecraftStatus() {
        let exchange = ProbeExchange(.minecraft(host: "mc.example", port: 25_565), nonce: 0)
        let expected: [UInt8] =
            [20, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 10] + Array("mc.example".utf8)
            + [0x63, 0xDD, 0x01] + [0x01, 0x00]
        #expect(exchange.request == expected)
        let text = Array("{\"version\":{}}".utf8)
        let answer = [UInt8(text.count + 2), 0x00, UInt8(text.count)] + text
        for cut in 0...answer.count {
            var split = exchange
            let early = Self.receive(&split, Array(answer[..<cut]))
            #expect(early == (cut < 4 ? .wait : .alive))
            #expect(Self.receive(&split, Array(answer[cut...])) == .alive)
        }
        let long = [0x88, 0x80, 0x02, 0x00, 0x84, 0x80, 0x02] + Array("{".utf8)
        var exchangeOfLong = exchange
        #expect(Self.receive(&exchangeOfLong, long) == .alive)
    }

    @Test(
        arguments: [
            [5, 1, 3, 123, 125, 0], [5, 0, 9, 123], [5, 0, 3, 91], [2, 0, 0, 1], [0, 0, 0, 0],
            [0x80, 0x80, 0x80, 0x80, 0x80, 1],
            [0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0, 0xFF, 0xFF, 0xFF, 0xFF, 15],
            Array("HTTP/1.1 400 Bad Request".utf8), Array("SSH-2.0-OpenSSH".utf8),
        ] as [[UInt8]]
    )
    func whatIsNotMinecraft(bytes: [UInt8]) {
        var exchange = ProbeExchange(.minecraft(host: "a", port: 1), nonce: 0)
        #expect(Self.receive(&exchange, bytes) == .wrong)
    }

    @Test func aNameIsAskedFor() {
        let query = ProbeExchange(.dns(name: "db.a-b.example"), nonce: 1).request
        let name: [UInt8] =
            [2] + Array("db".utf8) + [3] + Array("a-b".utf8) + [7] + Array("example".utf8) + [0]
        #expect(query == [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + name + [0, 1, 0, 1])
    }

    @Test func nameServers() {
        var exchange = ProbeExchange(.dns(name: nil), nonce: 0xABCD)
        let query = exchange.request
        #expect(query == [0xAB, 0xCD, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1])
        for (code, step) in [
            (0, .alive), (2, .wrong), (3, .alive), (5, .alive),
        ] as [(UInt8, ProbeExchange.Step)] {
            var answer = query
            answer[2] = 0x81
            answer[3] = 0x80 | code
            #expect(Self.receive(&exchange, answer) == step)
            answer[1] ^= 1
            #expect(Self.receive(&exchange, answer) == .wait)
        }
        #expect(Self.receive(&exchange, query) == .wait)
        #expect(Self.receive(&exchange, Array(query.prefix(11))) == .wait)
    }

    @Test func expectedBytesAreFoundHoweverTheyAreCut() {
        let pattern = Array("aabaaab".utf8)
        let text = Array("aabaaabaabaab-xaabaabaaab".utf8)
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<500 {
            let length = Int(generator.below(UInt64(text.count + 1)))
            let haystack = Array(text.suffix(length))
            let isThere = (0...max(0, haystack.count - pattern.count)).contains {
                haystack[$0...].starts(with: pattern)
            }
            var exchange = ProbeExchange(.sendExpect(send: [1], expect: pattern), nonce: 0)
            var last = ProbeExchange.Step.wait
            var place = 0
            while place < haystack.count, last == .wait {
                let next = min(haystack.count, place + Int(1 + generator.below(4)))
                last = Self.receive(&exchange, Array(haystack[place..<next]))
                place = next
            }
            #expect((last == .alive) == isThere)
        }
    }

    @Test func anEmptyExpectationIsMetByAnythingAndEndlessTalkByNothing() {
        var anything = ProbeExchange(.sendExpect(send: [7], expect: []), nonce: 0)
        #expect(anything.request == [7])
        #expect(Self.receive(&anything, []) == .alive)
        var endless = ProbeExchange(.sendExpect(send: [], expect: [1]), nonce: 0)
        let talk = [UInt8](repeating: 2, count: 40_000)
        #expect(Self.receive(&endless, talk) == .wait)
        #expect(Self.receive(&endless, talk) == .wrong)
    }

    @Test func noiseNeverTraps() {
        var generator = SeededGenerator(seed: 8)
        let kinds: [ProbeKind] = [
            .connect, .a2s, .raknet, .dns(name: "a.example"), .minecraft(host: "a", port: 1),
            .sendExpect(send: [], expect: [1, 2]),
        ]
        for round in 0..<6000 {
            var exchange = ProbeExchange(kinds[round % kinds.count], nonce: generator.next())
            for _ in 0..<3 {
                let count = Int(generator.below(70))
                var bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
                if generator.chance(1, in: 2) {
                    for place in 0..<min(4, count) { bytes[place] = 0xFF }
                }
                _ = Self.receive(&exchange, bytes)
            }
            #expect(exchange.request.count <= 300)
        }
    }
}
