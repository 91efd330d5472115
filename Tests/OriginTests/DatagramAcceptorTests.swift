import Primitives
import Testing

@testable import Origin

@Suite struct DatagramAcceptorTests {
    static let proxy = address("198.51.100.9:40000")
    static let alice = ProxyHeader("192.0.2.1:5000", "198.51.100.2:19132", .datagram)
    static let mallory = ProxyHeader("203.0.113.66:5000", "198.51.100.2:19132", .datagram)

    static func v2(_ header: ProxyHeader) -> [UInt8] { written { header.writeV2(into: $0) } }
    static let start = Instant(nanoseconds: 1_000_000_000)

    final class Rig {
        let acceptor: DatagramAcceptor
        var now = DatagramAcceptorTests.start

        convenience init(_ dialect: HeaderDialect, capacity: Int = 100) {
            self.init(.proxyV2(dialect), capacity: capacity)
        }

        init(_ framing: DatagramAcceptor.Framing, capacity: Int = 100) {
            self.acceptor = DatagramAcceptor(
                framing,
                key: HashKey(first: 1, second: 2),
                capacity: capacity
            )
        }

        func accept(
            _ bytes: [UInt8],
            from proxy: SocketAddress = DatagramAcceptorTests.proxy
        ) -> DatagramAcceptor.Outcome {
            bytes.withUnsafeBytes { self.acceptor.accept($0, from: proxy, at: self.now) }
        }

        func pass(seconds: UInt64) { self.now = self.now + .seconds(seconds) }
    }

    @Test func everyDatagramSpeaksForItself() {
        let rig = Rig(.every)
        #expect(rig.accept(Self.v2(Self.alice) + [1]) == .payload(Self.alice, offset: 28))
        #expect(rig.accept(Self.v2(Self.mallory) + [1]) == .payload(Self.mallory, offset: 28))
        // An empty datagram is a datagram.
        #expect(rig.accept(Self.v2(Self.alice)) == .payload(Self.alice, offset: 28))
        #expect(rig.accept([1, 2, 3]) == .refused(.signature))
        #expect(rig.accept([]) == .refused(.signature))
        #expect(!rig.acceptor.remembersFlows)
        let local = written { ProxyHeader.writeLocalV2(into: $0) }
        #expect(rig.accept(local + [1]) == .payload(nil, offset: 16))
    }

    @Test func aHeaderMayNotContinueInTheNextDatagram() {
        let header = Self.v2(Self.alice)
        for dialect in HeaderDialect.allCases {
            for count in 12..<header.count {
                #expect(Rig(dialect).accept(Array(header[..<count])) == .refused(.length))
            }
            for count in 0..<12 {
                let fault = dialect == .every ? HeaderFault.signature : .unannounced
                #expect(Rig(dialect).accept(Array(header[..<count])) == .refused(fault))
            }
            var stream = header
            stream[13] = 0x11
            #expect(Rig(dialect).accept(stream) == .refused(.transport))
        }
    }

    @Test func firstThenBare() {
        let rig = Rig(.first)
        #expect(rig.accept([1]) == .refused(.unannounced))
        #expect(rig.accept(Self.v2(Self.alice) + [1]) == .payload(Self.alice, offset: 28))
        #expect(rig.accept([1, 2]) == .payload(Self.alice, offset: 0))
        #expect(rig.accept([]) == .payload(Self.alice, offset: 0))
        #expect(rig.accept(Self.v2(Self.alice) + [1]) == .payload(Self.alice, offset: 28))
        #expect(rig.accept([1], from: address("198.51.100.9:40001")) == .refused(.unannounced))
        // The first datagram of a flow may be an empty one.
        #expect(Rig(.first).accept(Self.v2(Self.alice)) == .payload(Self.alice, offset: 28))
    }

    /// As nginx sends it.
    @Test func aLineOfVersionOneThenBare() {
        let line = Array("PROXY TCP4 192.0.2.1 198.51.100.2 5000 19132\r\n".utf8)
        let player = ProxyHeader("192.0.2.1:5000", "198.51.100.2:19132", .stream)
        let rig = Rig(.proxyV1First)
        #expect(rig.acceptor.remembersFlows)
        #expect(rig.accept([1, 2]) == .refused(.unannounced))
        #expect(rig.accept(line + [1, 2]) == .payload(player, offset: line.count))
        #expect(rig.accept([3]) == .payload(player, offset: 0))
        #expect(rig.accept(line + [4]) == .payload(player, offset: line.count))
        #expect(rig.accept(Array("PROXY TCP4".utf8)) == .refused(.length))
        let other = Array("PROXY TCP4 203.0.113.66 198.51.100.2 5000 19132\r\n".utf8)
        #expect(rig.accept(other) == .refused(.conflict))
        #expect(rig.accept([5]) == .refused(.conflict))
        let unknown = Array("PROXY UNKNOWN\r\n".utf8)
        #expect(Rig(.proxyV1First).accept(unknown + [1]) == .payload(nil, offset: unknown.count))
    }

    @Test func anotherVersionIsNamed() {
        let line = Array("PROXY TCP4 192.0.2.1 198.51.100.2 5000 19132\r\n".utf8)
        for dialect in HeaderDialect.allCases {
            #expect(Rig(dialect).accept(line) == .refused(.versionOne))
        }
        #expect(Rig(.proxyV1First).accept(Self.v2(Self.alice)) == .refused(.versionTwo))
        #expect(Rig(.simple).accept(Self.v2(Self.alice)) == .refused(.versionTwo))
        #expect(Rig(.simple).accept(line) == .refused(.versionOne))
        for (versions, bytes, fault) in [
            (.v1, Self.v2(Self.alice), .versionTwo), (.v2, line, .versionOne),
        ] as [(ProxyHeaderParser.Versions, [UInt8], HeaderFault)] {
            var parser = ProxyHeaderParser(accepting: versions)
            #expect(bytes.withUnsafeBytes { parser.feed($0) } == .invalid(fault))
        }
    }

    @Test func firstAloneThenBare() {
        let rig = Rig(.firstAlone)
        #expect(rig.accept(Self.v2(Self.alice) + [1]) == .refused(.length))
        #expect(rig.accept(Self.v2(Self.alice)) == .announcement)
        #expect(rig.accept([1]) == .payload(Self.alice, offset: 0))
        #expect(rig.accept(Self.v2(Self.alice)) == .announcement)
    }

    @Test(arguments: [HeaderDialect.first, .firstAlone])
    func aPlayerCannotPoseAsAnother(dialect: HeaderDialect) {
        for payload in [[], [1]] as [[UInt8]] {
            let rig = Rig(dialect)
            _ = rig.accept(Self.v2(Self.alice) + (dialect == .first ? [1] : []))
            #expect(rig.accept(Self.v2(Self.mallory) + payload) == .refused(.conflict))
            // Whoever is right, nobody is believed until the proxy has forgotten the flow too.
            for _ in 0..<100 {
                rig.pass(seconds: 29)
                #expect(rig.accept([1]) == .refused(.conflict))
                rig.acceptor.replied(to: Self.proxy, at: rig.now)
            }
            #expect(rig.accept(Self.v2(Self.mallory)) == .refused(.conflict))
            rig.pass(seconds: 30)
            #expect(rig.accept([1]) == .refused(.unannounced))
        }
    }

    @Test func flowsAreForgottenAfterSilenceInBothDirections() {
        let rig = Rig(.firstAlone)
        _ = rig.accept(Self.v2(Self.alice))
        for _ in 0..<5 {
            rig.pass(seconds: 20)
            rig.acceptor.replied(to: Self.proxy, at: rig.now)
        }
        rig.pass(seconds: 29)
        #expect(rig.accept([1]) == .payload(Self.alice, offset: 0))
        rig.pass(seconds: 30)
        #expect(rig.accept([1]) == .refused(.unannounced))
        #expect(rig.accept(Self.v2(Self.mallory)) == .announcement)
        #expect(rig.accept([1]) == .payload(Self.mallory, offset: 0))
    }

    @Test func anyLearnsWhatTheProxySpeaks() {
        let every = Rig(.any)
        #expect(every.accept(Self.v2(Self.alice) + [1]) == .payload(Self.alice, offset: 28))
        #expect(every.accept(Self.v2(Self.mallory) + [1]) == .payload(Self.mallory, offset: 28))
        #expect(every.accept([1]) == .refused(.signature))
        let first = Rig(.any)
        #expect(first.accept(Self.v2(Self.alice) + [1]) == .payload(Self.alice, offset: 28))
        #expect(first.accept([1]) == .payload(Self.alice, offset: 0))
        #expect(first.accept(Self.v2(Self.mallory) + [1]) == .refused(.conflict))
        let alone = Rig(.any)
        #expect(alone.accept(Self.v2(Self.alice)) == .announcement)
        #expect(alone.accept(Self.v2(Self.mallory) + [1]) == .refused(.conflict))
    }

    @Test func aFullTableKeepsThePlayersItHas() {
        let rig = Rig(.firstAlone, capacity: 50)
        let proxies = (0..<60).map { Self.proxy.with(port: UInt16(1000 + $0)) }
        for proxy in proxies.prefix(50) {
            #expect(rig.accept(Self.v2(Self.alice), from: proxy) == .announcement)
        }
        rig.pass(seconds: 20)
        _ = rig.accept([1], from: proxies[7])
        #expect(rig.accept(Self.v2(Self.alice), from: proxies[55]) == .refused(.crowded))
        rig.pass(seconds: 15)
        #expect(rig.accept(Self.v2(Self.alice), from: proxies[55]) == .announcement)
        #expect(rig.accept([1], from: proxies[7]) == .payload(Self.alice, offset: 0))
        #expect(rig.accept([1], from: proxies[8]) == .refused(.unannounced))
        #expect(rig.acceptor.associationCount <= 50)
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func theTableAgreesWithADictionary(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var table = AssociationTable(
            capacity: 40,
            lifetime: .seconds(30),
            key: HashKey(first: seed, second: 0)
        )
        var model: [SocketAddress: (header: ProxyHeader, lastUse: Instant)] = [:]
        var now = Self.start
        for _ in 0..<5000 {
            now = now + .milliseconds(generator.below(1500))
            let proxy = Self.proxy.with(port: UInt16(generator.below(60)))
            let known = model[proxy].flatMap { now.since($0.lastUse) < .seconds(30) ? $0 : nil }
            if let slot = table.find(proxy, at: now) {
                #expect(table[slot].header == known?.header)
                if generator.chance(1, in: 2) {
                    table.touch(slot, at: now)
                    model[proxy]?.lastUse = now
                }
            } else {
                #expect(known == nil)
                let live = model.values.filter { now.since($0.lastUse) < .seconds(30) }.count
                let header = generator.header(.datagram)
                let isIn = table.insert(proxy, header, .announced, at: now)
                #expect(isIn == (live < 40))
                if isIn { model[proxy] = (header, now) }
            }
            #expect(table.count <= 40)
        }
    }

    @Test(arguments: HeaderDialect.allCases)
    func noChangeOfAByteYieldsAnotherPlayer(dialect: HeaderDialect) {
        let tlvs = ProxyTLVs(uniqueID: [1, 2, 3], hasChecksum: true) ?? .none
        let original = written { Self.alice.writeV2(tlvs, into: $0) }
        for place in original.indices {
            // The parser is the same for all; the other dialects add what they remember.
            let changes = dialect == .every ? Array(1...255) : (0..<8).map { UInt8(1) << $0 }
            for change in changes {
                var bytes = original
                bytes[place] ^= change
                let rig = Rig(dialect)
                if case .payload(let header, _) = rig.accept(bytes) {
                    #expect(header == Self.alice)
                }
                // What a damaged announcement left behind is either Alice or nobody.
                if case .payload(let header, 0) = rig.accept([1]) {
                    #expect(header == Self.alice)
                }
            }
        }
    }

    @Test func noiseNeverTraps() {
        var generator = SeededGenerator(seed: 11)
        for dialect in HeaderDialect.allCases {
            let rig = Rig(dialect, capacity: 20)
            for _ in 0..<2000 {
                let proxy = Self.proxy.with(port: UInt16(generator.below(40)))
                var bytes = Self.v2(generator.header(.datagram))
                bytes = Array(bytes.prefix(Int(generator.below(UInt64(bytes.count + 1)))))
                if generator.chance(1, in: 2), !bytes.isEmpty {
                    let place = Int(generator.below(UInt64(bytes.count)))
                    bytes[place] ^= 1 << UInt8(generator.below(8))
                }
                bytes += generator.bytes(Int(generator.below(20)))
                rig.now = rig.now + .milliseconds(generator.below(2000))
                if case .payload(_, let offset) = rig.accept(bytes, from: proxy) {
                    #expect((0...bytes.count).contains(offset))
                }
                rig.acceptor.replied(to: proxy, at: rig.now)
            }
        }
    }

    @Test func simpleProxyProtocol() {
        let acceptor = DatagramAcceptor(.simple, key: HashKey(first: 0, second: 0))
        let accept = { (bytes: [UInt8]) in
            bytes.withUnsafeBytes { acceptor.accept($0, from: Self.proxy, at: Self.start) }
        }
        let header = written { Self.alice.writeSimple(into: $0) }
        #expect(accept(header) == .payload(Self.alice, offset: 38))
        #expect(accept(header + [1]) == .payload(Self.alice, offset: 38))
        #expect(accept(Array(header.dropLast())) == .refused(.length))
        #expect(accept(Array(repeating: 0, count: 40)) == .refused(.signature))
    }

    @Test func whatGoesBeforeADatagram() {
        let steps = { (dialect: HeaderDialect) in
            var schedule = HeaderSchedule(dialect)
            let before = [schedule.next(), schedule.next()]
            schedule.restart()
            return before + [schedule.next(), schedule.next()]
        }
        #expect(steps(.every) == [.prefixed, .prefixed, .prefixed, .prefixed])
        #expect(steps(.first) == [.prefixed, .bare, .prefixed, .bare])
        #expect(steps(.firstAlone) == [.headerThenBare, .bare, .headerThenBare, .bare])
    }
}
