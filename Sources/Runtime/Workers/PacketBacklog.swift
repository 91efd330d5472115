import Primitives
import Synchronization

/// Tunnel packets that reached another worker's socket, on their way to the worker that owns their
/// session: a bounded queue, filled by many threads and emptied by one.
final class PacketBacklog: Sendable {
    /// One queued packet.
    struct Packet {
        var bytes: UnsafeMutableRawBufferPointer
        var source: SocketAddress
        var destination: SocketAddress
        var socket: Int
    }

    private struct Header: BitwiseCopyable {
        var source: SocketAddress
        var destination: SocketAddress
        var socket: Int
        var count: Int
    }

    /// Half of a double buffer; whoever holds it owns the memory.
    private struct Half: @unchecked Sendable {
        let base: UnsafeMutableRawPointer
        var used = 0
    }

    private static let capacity = 1 << 20
    private static let headerSize = MemoryLayout<Header>.stride

    private let filling: Mutex<Half>
    /// Belongs to the worker that empties the queue.
    nonisolated(unsafe) private var draining: Half

    init() {
        let make = { UnsafeMutableRawPointer.allocate(byteCount: Self.capacity, alignment: 64) }
        self.filling = Mutex(Half(base: make()))
        self.draining = Half(base: make())
    }

    deinit {
        self.draining.base.deallocate()
        self.filling.withLock { $0.base.deallocate() }
    }

    /// Copies a packet in; false when there is no room.
    func push(
        _ bytes: UnsafeRawBufferPointer,
        source: SocketAddress,
        destination: SocketAddress,
        socket: Int
    ) -> Bool {
        let header = Header(
            source: source,
            destination: destination,
            socket: socket,
            count: bytes.count
        )
        return self.filling.withLock { half in
            let size = Self.headerSize + (bytes.count + 15) & ~15
            guard half.used + size <= Self.capacity else { return false }
            (half.base + half.used).storeBytes(of: header, as: Header.self)
            if let source = bytes.baseAddress {
                (half.base + half.used + Self.headerSize)
                    .copyMemory(from: source, byteCount: bytes.count)
            }
            half.used += size
            return true
        }
    }

    /// Calls `body` with everything queued so far; the emptying worker only.
    func drain(_ body: (Packet) -> Void) {
        let emptied = Half(base: self.draining.base)
        let filled = self.filling.withLock { half in
            let filled = half
            half = emptied
            return filled
        }
        self.draining = filled
        var offset = 0
        while offset < filled.used {
            let header = (filled.base + offset).load(as: Header.self)
            body(
                Packet(
                    bytes: UnsafeMutableRawBufferPointer(
                        start: filled.base + offset + Self.headerSize,
                        count: header.count
                    ),
                    source: header.source,
                    destination: header.destination,
                    socket: header.socket
                )
            )
            offset += Self.headerSize + (header.count + 15) & ~15
        }
    }
}
