import LinuxIO
import Primitives

/// Datagrams on their way to players or backends, gathered while they go through one socket.
///
/// What a full local socket does not take is dropped and counted: to hold a datagram back would
/// only make it late.
final class DatagramSender {
    /// The largest payload of a UDP datagram over IPv4.
    private static let datagramLimit = 65_507

    private let batch = SendBatch(capacity: 256 << 10)
    private let scratch = UnsafeMutableRawBufferPointer.allocate(
        byteCount: DatagramSender.datagramLimit,
        alignment: 16
    )
    private var socket: UDPSocket?
    private let tallies: Tallies

    init(tallies: Tallies) { self.tallies = tallies }

    deinit { self.scratch.deallocate() }

    /// Sends `bytes` behind `header`, in one datagram.
    func send(
        _ header: UnsafeRawBufferPointer,
        _ bytes: UnsafeRawBufferPointer,
        through socket: UDPSocket,
        to destination: SocketAddress,
        from source: SocketAddress?
    ) {
        let total = header.count + bytes.count
        guard total <= Self.datagramLimit else {
            self.tallies.drop(.datagramTooLarge)
            return
        }
        self.scratch.copyMemory(from: header)
        UnsafeMutableRawBufferPointer(rebasing: self.scratch[header.count...])
            .copyMemory(from: bytes)
        let datagram = UnsafeRawBufferPointer(rebasing: self.scratch[..<total])
        self.send(datagram, through: socket, to: destination, from: source)
    }

    func send(
        _ bytes: UnsafeRawBufferPointer,
        through socket: UDPSocket,
        to destination: SocketAddress,
        from source: SocketAddress?
    ) {
        if self.socket !== socket {
            self.flush()
            self.socket = socket
        }
        if self.batch.append(bytes, to: destination, from: source) { return }
        self.flush()
        self.socket = socket
        if !self.batch.append(bytes, to: destination, from: source) {
            self.tallies.drop(.localSocketFull)
        }
    }

    /// Sends what was gathered; must be called before the worker sleeps.
    func flush() {
        guard let socket = self.socket else { return }
        if !self.batch.isEmpty, socket.send(self.batch) == .blocked {
            self.tallies.drop(.localSocketFull, count: self.batch.discard())
        }
        self.socket = nil
    }
}
