import CPoison
import Compression
import Primitives
import Testing

@testable import Session

/// Nothing is delivered or sent that nobody wrote.
///
/// The same history runs twice, over memory that the allocator filled with other bytes each time.
/// Whatever the peer says of segments, parts, fragments, copies, repairs and deflated bytes: if a
/// byte that was never written came out anywhere, to the backend or to the client, the two
/// histories would differ.
@Suite(.serialized) struct WrittenMemoryTests {
    private struct History: Equatable {
        var datagrams: [[UInt8]] = []
        var streams: [UInt32: [UInt8]] = [:]
        var packets: UInt64 = 0
        var drops: UInt64 = 0
    }

    private static func little(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }

    private static func little(_ value: Int) -> [UInt8] {
        [UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8)]
    }

    private static func noise(_ count: Int, _ dice: inout SeededGenerator) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: dice.next()) }
    }

    /// Bytes of a compressed direction: stored, deflated, or nearly so.
    private static func block(_ dice: inout SeededGenerator) -> [UInt8] {
        let text = Array("level 7 level 8 level 9 ".utf8) + Self.noise(20, &dice)
        guard dice.chance(2, in: 3) else { return [0] + Self.little(text.count) + text }
        let deflater = StreamDeflater()
        var output = [UInt8](repeating: 0, count: 400)
        let step = text.withUnsafeBytes { source in
            output.withUnsafeMutableBytes { deflater.compress(source, into: $0, flush: true) }
        }
        var content = Array(output[..<step.produced])
        if dice.chance(1, in: 3) {
            // Distances that reach back to before the first byte are among what this makes.
            content[Int(dice.below(UInt64(content.count)))] ^= UInt8(1 << dice.below(8))
        }
        return [1] + Self.little(content.count) + content
    }

    /// One frame that is nearly right.
    private static func frame(
        for turn: UInt32,
        _ dice: inout SeededGenerator
    ) -> (type: UInt8, body: [UInt8]) {
        let flow = 1 + UInt32(dice.below(3))
        let stream = 1 + turn / 40 * 2 + UInt32(dice.below(2))
        let number = UInt32(dice.below(6))
        switch dice.below(8) {
        case 0, 1:
            let off = dice.chance(1, in: 60) ? UInt32(dice.below(700)) : 0
            let isPacked = stream % 2 == 0
            let bytes = isPacked ? Self.block(&dice) : Self.noise(300, &dice)
            let number = isPacked ? 0 : number
            let place = Self.little(number * 300 + off)
            return (FrameType.stream, Self.little(stream) + Self.little(number) + place + bytes)
        case 2, 3:
            let stream = stream | 1
            let size = dice.chance(1, in: 60) ? 300 + Int(dice.below(900)) : 300
            let chunk = UInt8(dice.below(3))
            let rest = max(1, size - Int(chunk) * 256)
            let count = dice.chance(1, in: 60) ? Int(dice.below(300)) : min(256, rest)
            let place = Self.little(number * 300) + Self.little(size) + [chunk]
            let head = Self.little(stream) + Self.little(number) + place
            return (FrameType.streamPart, head + Self.noise(count, &dice))
        case 4:
            // Few datagrams at a time, so that many have as many fragments as they say.
            let count = 2 + Int(turn / 48 % 2)
            let total = count * 90 - (dice.chance(1, in: 4) ? Int(dice.below(8)) : 0)
            let index = Int(dice.below(UInt64(count)))
            let offset = dice.chance(1, in: 6) ? Int(dice.below(UInt64(total))) : index * 90
            let place = [UInt8(index), UInt8(count)] + Self.little(offset) + Self.little(total)
            let length = min(90, max(0, total - offset))
            let head = Self.little(UInt32(3)) + Self.little(turn / 48) + place
            return (FrameType.fragment, head + Self.noise(length, &dice))
        case 5:
            let bytes = flow == 2 ? [1] + Self.block(&dice)[3...] + [3, 0] : Self.noise(60, &dice)
            let short = flow == 1 ? bytes.dropLast(Int(dice.below(60))) : bytes[...]
            return (FrameType.datagram, Self.little(flow) + Self.little(turn) + short)
        case 6:
            let count = Int(dice.below(40))
            let claimed = dice.chance(1, in: 6) ? Int(dice.below(400)) : count
            let copy = [UInt8(dice.below(9))] + Self.little(claimed) + Self.noise(count, &dice)
            return (FrameType.copies, Self.little(flow) + Self.little(turn) + copy + copy)
        default:
            let window = UInt8(1 + dice.below(6))
            let head = Self.little(flow) + Self.little(turn) + [window, 3, 0]
            return (FrameType.repair, head + Self.noise(2 + Int(dice.below(80)), &dice))
        }
    }

    private func history(seed: UInt64, poison: Int32) throws -> History {
        CPoison_fill(poison)
        defer { CPoison_stop() }
        var dice = SeededGenerator(seed: seed)
        let wire = Wire(seed: seed)
        var streams: [(id: UInt32, handle: StreamHandle)] = []
        wire.onServerStream = { handle, _ in
            streams.append((UInt32(streams.count + 1), handle))
        }
        wire.run(.seconds(1))
        for number in 0..<3 {
            var request = OpenRequest(service: "voice", serviceProtocol: .udp)
            request.isCompressed = number == 1
            let flow = try #require(wire.client.openFlow(request, at: wire.now))
            [1, 2, 3].withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
        }
        wire.run(.seconds(1))
        var history = History()
        for turn in 0..<900 as Range<UInt32> {
            if turn % 40 == 0 {
                for isCompressed in [false, true] {
                    var request = OpenRequest(service: "echo", serviceProtocol: .tcp)
                    request.isCompressed = isCompressed
                    _ = try #require(wire.client.openStream(request, at: wire.now))
                }
                wire.run(.milliseconds(30))
            }
            try wire.forge([Self.frame(for: turn, &dice)], from: wire.clientAddress)
            wire.run(.milliseconds(turn % 10 == 0 ? 30 : 0)) {
                for (id, handle) in streams {
                    let bytes = wire.server.readAll(handle, at: wire.now)
                    history.streams[id, default: []] += bytes
                    _ = wire.server.write(bytes[...], to: handle, at: wire.now)
                }
            }
        }
        wire.run(.seconds(1))
        history.datagrams = wire.serverDatagrams
        history.packets = wire.fingerprint
        history.drops = wire.server.snapshot(at: wire.now).counters.drops.total
        return history
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func whatMemoryHeldBeforeDoesNotMatter(seed: UInt64) throws {
        let first = try self.history(seed: seed, poison: 0x5A)
        let second = try self.history(seed: seed, poison: 0xA7)
        #expect(first.datagrams == second.datagrams)
        #expect(first.streams == second.streams)
        #expect(first == second)
        // Enough of it was accepted for the comparison to mean something.
        #expect(first.datagrams.count > 100, "\(first.datagrams.count) datagrams")
        let bytes = first.streams.values.reduce(0) { $0 + $1.count }
        #expect(bytes > 2000, "\(bytes) bytes of streams")
        #expect(first.drops > 20)
    }
}
