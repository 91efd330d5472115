import Primitives
import Testing

@testable import Session

/// Each packet that speaks of a stream or flow has OPEN in it until the peer has one.
@Suite struct OpeningTests {
    private let request = OpenRequest(service: "game", serviceProtocol: .tcp)
    private let channel = ChannelID(ChannelKind.stream, 7)
    private let log = FrameLog()

    /// Does something with a packet of that many bytes of room.
    private func packet<Result>(
        _ number: UInt64,
        room: Int = 1000,
        _ body: (inout PacketBuilder) -> Result
    ) -> Result {
        withUnsafeTemporaryAllocation(byteCount: 1500, alignment: 16) { buffer in
            guard let base = buffer.baseAddress else { preconditionFailure("no memory") }
            let size = room + RecordLayout.header + RecordLayout.tag
            var packet = PacketBuilder(base: base, size: size, number: number, log: self.log)
            return body(&packet)
        }
    }

    private func writes(_ opening: inout Opening, _ number: UInt64, room: Int = 1000) -> Bool {
        self.packet(number, room: room) { packet in
            opening.write(self.request, of: self.channel, slot: 3, to: &packet, leaving: 100)
        }
    }

    @Test func whatThePeerOpenedIsOwedNothing() {
        #expect(Opening.received.isKnown)
        #expect(Opening.received.reserve == 0)
        #expect(self.packet(1) { Opening.received.byteCount(in: $0) } == 0)
    }

    @Test func standsInEachPacketOnceUntilItIsAcknowledged() {
        var opening = Opening(of: self.request)
        let limit = Opening.byteCountLimit(self.request)
        #expect(!opening.isKnown)
        #expect(opening.reserve == limit)
        #expect(self.packet(1) { opening.byteCount(in: $0) } == limit)
        #expect(self.writes(&opening, 1))
        #expect(self.packet(1) { opening.byteCount(in: $0) } == 0)
        #expect(opening.reserve == limit, "the next packet needs it again")
        #expect(self.packet(2) { opening.byteCount(in: $0) } == limit)
        #expect(self.writes(&opening, 2))
        #expect(self.log.tail == 2)
        #expect(self.log[1].kind == .open && self.log[1].packet == 2 && self.log[1].id == 7)
        opening.acknowledged()
        #expect(opening.isKnown)
        #expect(opening.reserve == 0)
        #expect(self.packet(3) { opening.byteCount(in: $0) } == 0)
    }

    @Test func writesNothingWhereItDoesNotFit() {
        var opening = Opening(of: self.request)
        let limit = Opening.byteCountLimit(self.request)
        #expect(!self.writes(&opening, 1, room: limit + 99))
        #expect(self.log.tail == 0)
        #expect(self.packet(1) { opening.byteCount(in: $0) } == limit)
        #expect(self.writes(&opening, 1, room: limit + 100))
        #expect(self.log.tail == 1)
    }

    @Test func isNeverLongerThanItSays() {
        var request = OpenRequest(
            service: String(repeating: "s", count: OpenRequest.serviceByteCountLimit),
            serviceProtocol: .udp
        )
        request.origin = SocketAddress(ipv4: 1, port: 2)
        request.destination = SocketAddress(ipv4: 3, port: 4)
        request.context = OpenContext(
            uniqueID: [UInt8](repeating: 1, count: 128),
            authority: [UInt8](repeating: 2, count: 124)
        )
        var opening = Opening(of: request)
        let used = self.packet(1) { packet in
            let fits = opening.write(request, of: self.channel, slot: 0, to: &packet, leaving: 0)
            return fits ? packet.writer.count : nil
        }
        #expect(used == Opening.byteCountLimit(request))
    }
}
