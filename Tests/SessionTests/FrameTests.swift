import Primitives
import Testing

@testable import Session

/// Each frame says on the wire what it holds, and holds nothing that it does not say.
@Suite struct FrameTests {
    private func bytes<Kind: Frame>(_ frame: Kind, rest: [UInt8] = []) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xEE, count: Kind.fieldByteCount + rest.count)
        bytes.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            var writer = ByteWriter(base, capacity: buffer.count)
            frame.encode(to: &writer)
            #expect(writer.count == Kind.fieldByteCount)
            rest.withUnsafeBytes { writer.write($0) }
        }
        return bytes
    }

    private func parse<Kind: Frame>(_: Kind.Type, _ bytes: [UInt8]) -> (Kind, rest: [UInt8])? {
        bytes.withUnsafeBytes { buffer in
            var reader = ByteReader(buffer)
            return Kind(parsing: &reader).map { ($0, Array(reader.rest)) }
        }
    }

    /// As it was written, with what follows it; and no shorter body will do.
    private func check<Kind: Frame & Equatable>(_ frame: Kind, type: UInt8) {
        #expect(frame.type == type)
        #expect(Kind.byteCount == Kind.fieldByteCount + 3)
        let bytes = self.bytes(frame, rest: [1, 2, 3])
        let parsed = self.parse(Kind.self, bytes)
        #expect(parsed?.0 == frame)
        #expect(parsed?.rest == [1, 2, 3])
        guard !(frame is CloseSessionFrame) else { return }
        for count in 0..<Kind.fieldByteCount {
            #expect(self.parse(Kind.self, Array(bytes[..<count])) == nil)
        }
    }

    @Test func everyFrameComesBack() {
        let segment = StreamFrame(conversation: 0x0102_0304, number: 5, offset: 0xFFFF_FFFF)
        self.check(segment, type: 4)
        self.check(
            StreamPartFrame(segment: segment, segmentByteCount: 1472, firstChunk: 3),
            type: 13
        )
        self.check(CloseFrame(conversation: 7, segmentCount: .max), type: 5)
        self.check(WindowFrame(conversation: 7, limit: 1 << 40), type: 7)
        for reason in ResetReason.allCases {
            self.check(ResetFrame(channel: ChannelID(1, 9), reason: reason), type: 6)
            self.check(CloseSessionFrame(reason: reason), type: 12)
        }
        let datagram = DatagramFrame(flow: 3, number: 0x8000_0000)
        self.check(datagram, type: 8)
        self.check(
            FragmentFrame(datagram: datagram, index: 2, count: 9, offset: 2400, total: 10_000),
            type: 9
        )
        self.check(CopiesFrame(flow: .max), type: 14)
        self.check(RepairFrame(flow: 1), type: 15)
        self.check(PingFrame(), type: 1)
        self.check(PathFrame(operation: PathFrame.response, token: .max - 1), type: 11)
        self.check(RateFrame(bytesPerSecond: 125_000), type: 16)
        self.check(MayDeflateFrame(channel: ChannelID(MayDeflateFrame.withdrawal, 0)), type: 18)
        self.check(ServiceFrame(state: 0, kind: 1, nameByteCount: 64), type: 21)
        self.check(RatchetFrame(isOffer: true, handshake: 77, part: 3), type: 19)
        #expect(RatchetFrame(isOffer: false, handshake: 77, part: 3).type == 20)
    }

    /// The first bytes of each field are those of docs/PROTOCOL.md: little-endian, in that order.
    @Test func layoutsAreThoseOfTheProtocol() {
        let segment = StreamFrame(conversation: 0x0102_0304, number: 5, offset: 0x0A0B_0C0D)
        #expect(self.bytes(segment) == [4, 3, 2, 1, 5, 0, 0, 0, 0x0D, 0x0C, 0x0B, 0x0A])
        let fragment = FragmentFrame(
            datagram: DatagramFrame(flow: 1, number: 2),
            index: 3,
            count: 4,
            offset: 0x0506,
            total: 0x0708
        )
        #expect(self.bytes(fragment) == [1, 0, 0, 0, 2, 0, 0, 0, 3, 4, 6, 5, 8, 7])
        let reset = ResetFrame(channel: ChannelID(ChannelKind.flow, 0x11), reason: .idle)
        #expect(self.bytes(reset) == [1, 0x11, 0, 0, 0, 14])
        #expect(self.bytes(PathFrame(operation: 1, token: 2))[..<3] == [1, 0, 2])
    }

    @Test func whatLaterVersionsSayIsRead() {
        #expect(self.parse(ResetFrame.self, [0, 1, 0, 0, 0, 200])?.0.reason == .aborted)
        #expect(self.parse(CloseSessionFrame.self, [])?.0.reason == .shutdown)
        #expect(self.parse(CloseSessionFrame.self, [200])?.0.reason == .shutdown)
        #expect(self.parse(RatchetFrame.self, [1, 0, 0, 0, 4]) == nil)
    }

    /// Any bytes at all: what is read is written as it stood, and the rest is left.
    @Test func whatIsReadIsWhatStood() {
        var dice = SeededGenerator(seed: 17)
        for _ in 0..<4_000 {
            let count = Int(dice.below(24))
            let noise = (0..<count).map { _ in UInt8(truncatingIfNeeded: dice.next()) }
            self.compare(StreamFrame.self, noise)
            self.compare(StreamPartFrame.self, noise)
            self.compare(CloseFrame.self, noise)
            self.compare(WindowFrame.self, noise)
            self.compare(DatagramFrame.self, noise)
            self.compare(FragmentFrame.self, noise)
            self.compare(CopiesFrame.self, noise)
            self.compare(RepairFrame.self, noise)
            self.compare(RateFrame.self, noise)
            self.compare(MayDeflateFrame.self, noise)
            self.compare(RatchetFrame.self, noise)
        }
    }

    private func compare<Kind: Frame>(_: Kind.Type, _ noise: [UInt8]) {
        guard let (frame, rest) = self.parse(Kind.self, noise) else {
            #expect(noise.count < Kind.fieldByteCount || Kind.self == RatchetFrame.self)
            return
        }
        #expect(self.bytes(frame) + rest == noise)
    }

    @Test func openComesBack() {
        var request = OpenRequest(service: "game", serviceProtocol: .udp)
        request.context = OpenContext(uniqueID: [1, 2], authority: Array("a.example".utf8))
        let frame = OpenFrame(channel: ChannelID(ChannelKind.flow, 12), request: request)
        var bytes = [UInt8](repeating: 0, count: Opening.byteCountLimit(request))
        let parsed = bytes.withUnsafeMutableBytes { buffer -> OpenFrame? in
            guard let base = buffer.baseAddress else { return nil }
            var writer = ByteWriter(base, capacity: buffer.count)
            frame.encode(to: &writer)
            var reader = ByteReader(UnsafeRawBufferPointer(rebasing: buffer[..<writer.count]))
            return OpenFrame(parsing: &reader)
        }
        #expect(parsed == frame)
    }
}
