import Primitives
import Testing

@testable import KCP

@Suite("Standalone KCP on the wire")
struct StandaloneWireTests {
    private func instant(_ milliseconds: UInt64) -> Instant {
        Instant(nanoseconds: milliseconds * 1_000_000)
    }

    /// As captured from a kcptun client: `conv cmd frg wnd ts sn una len`, then the data.
    static let golden: [UInt8] =
        [0x4E, 0xB8, 0x1C, 0x7D, 0x51, 0x00, 0x00, 0x02, 0xE1, 0x01, 0x00, 0x00]
        + [0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0D, 0x00, 0x00, 0x00]
        + [0x02, 0x02, 0x05, 0x00, 0x03, 0x00, 0x00, 0x00, 0x48, 0x45, 0x4C, 0x4C, 0x4F]

    private var goldenSettings: StandaloneSettings {
        var settings = StandaloneSettings(conversation: 0x7D1C_B84E)
        settings.useFastMode()
        settings.receiveWindow = 512
        settings.firstSerial = 0
        return settings
    }

    @Test("reads and writes the header of a captured segment")
    func goldenHeader() {
        let header = Self.golden.withUnsafeBytes { bytes in
            bytes.baseAddress.map { StandaloneSegmentHeader(from: $0) }
        }
        let expected = StandaloneSegmentHeader(
            conversation: 0x7D1C_B84E,
            command: 81,
            fragment: 0,
            window: 512,
            timestamp: 481,
            serial: 1,
            unacknowledged: 0,
            length: 13
        )
        #expect(header == expected)
        var written = [UInt8](repeating: 0xEE, count: 24)
        written.withUnsafeMutableBytes { bytes in
            if let base = bytes.baseAddress { expected.write(to: base) }
        }
        #expect(written == Array(Self.golden[..<24]))
    }

    @Test("sends the bytes of a captured datagram")
    func goldenDatagram() throws {
        let conversation = StandaloneConversation(self.goldenSettings)
        #expect(conversation.send([2, 0, 0, 0, 3, 0, 0, 0]) == 8)
        conversation.flush(at: self.instant(481))
        let first = try #require(conversation.next(at: self.instant(481)))
        #expect(
            first == Array(Self.golden[..<12]) + [0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0]
                + [2, 0, 0, 0, 3, 0, 0, 0]
        )
        #expect(conversation.next(at: self.instant(481)) == nil)
        #expect(conversation.send(Self.golden[24...]) == 13)
        conversation.flush(at: self.instant(481))
        #expect(conversation.next(at: self.instant(481)) == Self.golden)
    }

    @Test("acknowledges by echoing sn and ts, with una and the window")
    func acknowledgement() throws {
        var settings = self.goldenSettings
        settings.firstSerial = 1
        let conversation = StandaloneConversation(settings)
        conversation.input(Self.golden, at: self.instant(600))
        conversation.flush(at: self.instant(600))
        let reply = try #require(conversation.next(at: self.instant(600)))
        #expect(
            reply == [0x4E, 0xB8, 0x1C, 0x7D, 0x52, 0x00, 0xFF, 0x01, 0xE1, 0x01, 0x00, 0x00]
                + [0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00]
        )
    }

    @Test("acknowledges an old segment, and not one beyond the window")
    func oldAndBeyond() {
        var settings = self.goldenSettings
        settings.receiveWindow = 4
        let conversation = StandaloneConversation(settings)
        for (serial, isAcknowledged) in [(4, false), (0, true), (0, true), (4, true)] {
            var segment = Self.golden
            segment[12] = UInt8(serial)
            _ = conversation.receive()
            conversation.input(segment, at: self.instant(5))
            conversation.flush(at: self.instant(5))
            #expect((conversation.next(at: self.instant(5)) != nil) == isAcknowledged)
            while conversation.next(at: self.instant(5)) != nil {}
        }
        #expect(conversation.statistics.refused == 1)
        #expect(conversation.statistics.duplicates == 1)
    }

    @Test("answers a question for its window")
    func answersProbe() throws {
        let conversation = StandaloneConversation(self.goldenSettings)
        var question = Array(Self.golden[..<24])
        question[4] = 83
        question[20] = 0
        conversation.input(question, at: self.instant(5))
        conversation.flush(at: self.instant(5))
        let reply = try #require(conversation.next(at: self.instant(5)))
        #expect(reply.count == 24)
        #expect(reply[4] == 84)
        #expect(Array(reply[6..<8]) == [0, 2])
    }

    @Test("refuses what is cut, foreign or unknown")
    func malformed() {
        let conversation = StandaloneConversation(self.goldenSettings)
        let now = self.instant(1)
        #expect(conversation.input(Self.golden, at: now) == .accepted)
        for count in 1..<Self.golden.count {
            #expect(conversation.input(Array(Self.golden[..<count]), at: now) == .malformed)
        }
        var foreign = Self.golden
        foreign[0] ^= 1
        #expect(conversation.input(foreign, at: now) == .foreignConversation)
        for command in [0, 80, 85, 255] as [UInt8] {
            var unknown = Self.golden
            unknown[4] = command
            #expect(conversation.input(unknown, at: now) == .malformed)
        }
        var huge = Self.golden
        huge[23] = 0xFF
        #expect(conversation.input(huge, at: now) == .malformed)
    }

    @Test("survives hostile segments", arguments: 0..<20 as Range<UInt64>)
    func hostile(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let settings = StandaloneSettings.fast {
            $0.receiveWindow = 16
            $0.ignoresCongestion = seed % 2 == 0
            $0.isStream = seed % 3 == 0
        }
        let conversation = StandaloneConversation(settings)
        for time in 0..<3000 as Range<UInt64> {
            _ = conversation.send(Pattern.bytes(50, seed: seed))
            var header = StandaloneSegmentHeader(
                conversation: 7,
                command: UInt8(81 + generator.below(4)),
                fragment: UInt8(generator.below(256)),
                window: UInt16(generator.below(65536)),
                timestamp: UInt32(truncatingIfNeeded: generator.next()),
                serial: UInt32(generator.below(40)) &- 5,
                unacknowledged: UInt32(generator.below(40)) &- 5
            )
            if generator.chance(1, in: 4) {
                header.serial = UInt32(truncatingIfNeeded: generator.next())
                header.unacknowledged = UInt32(truncatingIfNeeded: generator.next())
            }
            if generator.chance(1, in: 2) { header.timestamp = UInt32(time) }
            header.length = UInt32(generator.below(30))
            var bytes = [UInt8](repeating: 1, count: 24 + 30)
            bytes.withUnsafeMutableBytes { if let base = $0.baseAddress { header.write(to: base) } }
            conversation.input(bytes, at: self.instant(time))
            conversation.update(at: self.instant(time))
            while conversation.next(at: self.instant(time)) != nil {}
            if generator.chance(1, in: 3) { _ = conversation.receive() }
            #expect(conversation.pendingSegments <= 128 + 256)
        }
    }
}
