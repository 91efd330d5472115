import LinuxIO
import Primitives

/// Packets of sessions that have cost enough for a turn: a bounded queue for each of them.
struct WaitingPackets {
    /// What may wait, of a session and in all, in bytes.
    static let byteCountOfSession = 1 << 20
    static let byteCount = 16 << 20

    struct Packet {
        var bytes: [UInt8]
        let source: SocketAddress
        let destination: SocketAddress
        let socket: Int
    }

    private struct Queue {
        var packets: [Packet] = []
        var head = 0
        var byteCount = 0
    }

    private var queues: [UInt32: Queue] = [:]
    private var heldCount = 0

    var isEmpty: Bool { self.queues.isEmpty }

    /// Copies a packet in; false when there is no room.
    mutating func append(_ packet: ReceivedPacket, socket: Int, of session: UInt32) -> Bool {
        let copy = Packet(
            bytes: [UInt8](packet.bytes),
            source: packet.source,
            destination: packet.destination,
            socket: socket
        )
        return self.append(copy, of: session)
    }

    mutating func append(_ packet: Packet, of session: UInt32) -> Bool {
        let held = self.queues[session]?.byteCount ?? 0
        guard held + packet.bytes.count <= Self.byteCountOfSession,
            self.heldCount + packet.bytes.count <= Self.byteCount
        else { return false }
        self.queues[session, default: Queue()].packets.append(packet)
        self.queues[session]?.byteCount += packet.bytes.count
        self.heldCount += packet.bytes.count
        return true
    }

    /// Gives each session's packets, in order, to `take` until that says that the rest has to wait.
    ///
    /// - Returns: the sessions of which nothing waits any more.
    mutating func drain(_ take: (inout Packet) -> Bool) -> [UInt32] {
        var emptied: [UInt32] = []
        for session in Array(self.queues.keys) {
            guard var queue = self.queues.removeValue(forKey: session) else { continue }
            while queue.head < queue.packets.count, take(&queue.packets[queue.head]) {
                let count = queue.packets[queue.head].bytes.count
                queue.packets[queue.head].bytes = []
                queue.byteCount -= count
                self.heldCount -= count
                queue.head += 1
            }
            if queue.head == queue.packets.count {
                emptied.append(session)
            } else {
                if queue.head > 256 {
                    queue.packets.removeFirst(queue.head)
                    queue.head = 0
                }
                self.queues[session] = queue
            }
        }
        return emptied
    }
}
