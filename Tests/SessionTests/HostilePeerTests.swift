import Primitives
import Testing

@testable import Session

/// Peers with valid keys that say what no peer of ours would say.
@Suite struct HostilePeerTests {
    private func little(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }

    private func open(_ id: UInt32) -> [UInt8] {
        var body = [UInt8](repeating: 0, count: 600)
        let count = body.withUnsafeMutableBytes { raw -> Int in
            guard let base = raw.baseAddress else { return 0 }
            var writer = ByteWriter(base, capacity: 600)
            writer.write(ChannelKind.stream)
            writer.write(id)
            OpenRequest(service: "echo", serviceProtocol: .tcp).write(to: &writer)
            return writer.count
        }
        return Array(body[..<count])
    }

    /// Streams that are opened and reset at once, from changing ports, so that the server may send
    /// next to nothing: its queues grew by an entry for each, for ever.
    @Test func queuesForgetReleasedStreams() throws {
        let wire = Wire()
        wire.run(.seconds(1))
        let server = try #require(wire.server.sessions.compactMap { $0 }.first)
        for id in 1...5000 as ClosedRange<UInt32> {
            var source = wire.clientAddress
            source.port = UInt16(20_000 + id % 2)
            // A CLOSE with a segment count that contradicts itself resets the stream: something
            // to say about it.
            let close = self.little(id) + self.little(0)
            let other = self.little(id) + self.little(9)
            let reset = [ChannelKind.stream] + self.little(id) + [7]
            try wire.forge(
                [
                    (FrameType.open, self.open(id)), (FrameType.close, close),
                    (FrameType.close, other), (FrameType.reset, reset),
                ],
                from: source
            )
        }
        let isCrowded = server.streams.queues.isCrowded(streamCount: server.streams.count)
        #expect(!isCrowded)
        #expect(server.streams.count == 0)
    }
}
