import Primitives
import Testing

@testable import Runtime

/// Packets that wait for another turn.
@Suite struct WaitingPacketsTests {
    private func packet(_ number: Int, count: Int = 1000) -> WaitingPackets.Packet {
        let place = SocketAddress(ipv4: 1, port: 2)
        let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: count)
        return WaitingPackets.Packet(
            bytes: bytes,
            source: place,
            destination: place,
            socket: number
        )
    }

    @Test func sessionsHaveQueuesOfTheirOwn() {
        var waiting = WaitingPackets()
        for number in 0..<600 {
            let isKept = waiting.append(self.packet(number, count: 100), of: UInt32(number % 3))
            #expect(isKept)
        }
        var seen: [[Int]] = [[], [], []]
        var turns = 0
        while !waiting.isEmpty {
            turns += 1
            // Session 0 costs more than the others, and holds up none of them.
            var budget = [2, 10, 10]
            let emptied = waiting.drain { packet in
                let session = packet.socket % 3
                guard budget[session] > 0 else { return false }
                budget[session] -= 1
                seen[session].append(packet.socket)
                return true
            }
            #expect(emptied.isEmpty || [20, 100].contains(turns))
        }
        #expect(turns == 100)
        for session in 0..<3 {
            #expect(seen[session] == (0..<200).map { $0 * 3 + session })
        }
    }

    @Test func whatWaitsIsBounded() {
        var waiting = WaitingPackets()
        var kept = 0
        for number in 0..<2000 {
            kept += waiting.append(self.packet(number), of: 1) ? 1 : 0
        }
        #expect(kept == WaitingPackets.byteCountOfSession / 1000)
        for number in 0..<100_000 {
            kept += waiting.append(self.packet(number), of: UInt32(2 + number % 200)) ? 1 : 0
        }
        #expect(kept == WaitingPackets.byteCount / 1000)
        // What has left makes room.
        _ = waiting.drain { _ in true }
        #expect(waiting.isEmpty)
        let isKept = waiting.append(self.packet(1), of: 1)
        #expect(isKept)
    }
}
