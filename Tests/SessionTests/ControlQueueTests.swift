import Primitives
import Testing

@testable import Session

/// Words about ids that nobody here has: each is said once, again when it is lost, and not without
/// bound.
@Suite struct ControlQueueTests {
    private let log = FrameLog()

    /// The bodies of the frames that a packet with so much room takes, by type.
    private func write(
        _ queue: inout ControlQueue,
        room: Int = 1000,
        isHere: (ChannelID) -> Bool = { _ in true }
    ) -> [(type: UInt8, body: [UInt8])] {
        withUnsafeTemporaryAllocation(byteCount: 1500, alignment: 16) { buffer in
            guard let base = buffer.baseAddress else { return [] }
            let size = room + RecordLayout.header + RecordLayout.tag
            var packet = PacketBuilder(base: base, size: size, number: 1, log: self.log)
            queue.write(into: &packet, isHere: isHere)
            let plain = base + RecordLayout.header
            var reader = ByteReader(plain, count: packet.writer.count)
            var frames: [(type: UInt8, body: [UInt8])] = []
            while let type: UInt8 = reader.read(), let count: UInt16 = reader.read(),
                let body = reader.read(count: Int(count))
            {
                frames.append((type, Array(body)))
            }
            return frames
        }
    }

    @Test func oneWordAboutAnIDIsEnough() {
        var queue = ControlQueue()
        let wasDue = queue.isDue
        let taken = [
            queue.refuse(ChannelID(0, 7), .limit), queue.refuse(ChannelID(0, 7), .serviceUnknown),
            queue.refuse(ChannelID(1, 7), .flowUnknown),
        ]
        #expect(!wasDue && taken == [true, true, true])
        let frames = self.write(&queue)
        #expect(frames.map(\.body) == [[0, 7, 0, 0, 0, 8], [1, 7, 0, 0, 0, 16]])
        #expect(frames.allSatisfy { $0.type == FrameType.reset })
        let isDue = queue.isDue
        #expect(!isDue)
    }

    @Test func whatIsLostIsSaidAgain() {
        var queue = ControlQueue()
        _ = queue.refuse(ChannelID(1, 300), .idle)
        queue.allowDeflating(ChannelID(0, 5))
        let said = self.write(&queue)
        #expect(said.map(\.type) == [FrameType.reset, FrameType.mayDeflate])
        #expect(self.log.tail == 2)
        for place in 0..<2 as Range<UInt64> { queue.lost(self.log[place]) }
        let again = self.write(&queue)
        #expect(again.map(\.body) == said.map(\.body))
    }

    @Test func waitsForRoomInOrder() {
        var queue = ControlQueue()
        for id in 0..<5 as Range<UInt32> { _ = queue.refuse(ChannelID(0, id), .limit) }
        var seen: [UInt8] = []
        while queue.isDue {
            let frames = self.write(&queue, room: 2 * ResetFrame.byteCount + 1)
            #expect((1...2).contains(frames.count))
            seen += frames.map { $0.body[1] }
        }
        #expect(seen == [0, 1, 2, 3, 4])
    }

    @Test func isBounded() {
        var queue = ControlQueue()
        for id in 0..<400 as Range<UInt32> {
            let isTaken = queue.refuse(ChannelID(0, id), .limit)
            #expect(isTaken == (id < 256))
            queue.allowDeflating(ChannelID(0, id))
        }
        let counts = [queue.refusalCount, queue.permissionCount]
        #expect(counts == [ControlQueue.refusalLimit, ControlQueue.permissionLimit])
    }

    @Test func aWithdrawalGoesFirstAndWhatHasEndedNeedsNoPermission() {
        var queue = ControlQueue()
        queue.allowDeflating(ChannelID(0, 1))
        queue.allowDeflating(ChannelID(1, 2))
        queue.withdrawDeflating()
        queue.withdrawDeflating()
        let frames = self.write(&queue) { $0.kind == ChannelKind.flow }
        #expect(frames.map(\.body) == [[2, 0, 0, 0, 0], [1, 2, 0, 0, 0]])
    }

    @Test func aClientRemembersPermissionsByService() {
        var queue = ControlQueue()
        let web = OpenRequest(service: "web", serviceProtocol: .tcp)
        let game = OpenRequest(service: "web", serviceProtocol: .udp)
        var answers: [[Bool]] = []
        answers.append([queue.mayDeflate(web), queue.mayDeflate(game)])
        queue.deflates(web)
        answers.append([queue.mayDeflate(web), queue.mayDeflate(game)])
        queue.deflates(game)
        queue.forgetDeflating(web)
        answers.append([queue.mayDeflate(web), queue.mayDeflate(game)])
        queue.forgetDeflating()
        answers.append([queue.mayDeflate(web), queue.mayDeflate(game)])
        #expect(answers == [[false, false], [true, false], [false, true], [false, false]])
    }

    @Test func theOperatorHearsOfAHundredASecond() {
        var queue = ControlQueue()
        let now = Instant(nanoseconds: 5_000_000_000)
        var heard = 0
        for _ in 0..<300 where queue.takeReport(at: now) { heard += 1 }
        #expect(heard == 100)
        let isHeard = queue.takeReport(at: now + .seconds(1))
        #expect(isHeard)
    }
}
