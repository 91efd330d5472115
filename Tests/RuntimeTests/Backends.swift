import Glibc
import LinuxIO
import Primitives
import Synchronization

/// Waits until `descriptor` is ready.
func isReady(
    _ descriptor: Int32,
    for readiness: Readiness = .readable,
    within seconds: UInt64 = 5
) throws -> Bool {
    let poller = try Poller()
    try poller.add(descriptor, token: 1, interest: readiness)
    return try poller.wait(atMost: .seconds(seconds)) == 1
}

/// A TCP server on a thread of its own that sends back what it gets, then ends when the peer does.
final class EchoServer: Sendable {
    let address: SocketAddress
    private let isStopped = Atomic(false)

    init(_ wanted: SocketAddress = loopback) throws {
        let listener = try TCPListener(binding: wanted)
        self.address = listener.localAddress
        nonisolated(unsafe) let moved = listener
        try startThread(named: "echo") { [weak self] in
            while let server = self, !server.isStopped.load(ordering: .relaxed) {
                guard let ready = try? isReady(moved.descriptor, within: 1), ready,
                    case .done(let accepted)? = try? moved.accept()
                else { continue }
                try? startThread(named: "echo-one") { Self.echo(accepted.socket) }
            }
        }
    }

    deinit { self.isStopped.store(true, ordering: .relaxed) }

    private static func echo(_ socket: TCPSocket) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
        defer { buffer.deallocate() }
        while true {
            switch socket.read(into: buffer) {
            case .moved(let count):
                let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                guard writeAll(socket, bytes) else { return socket.abort() }
            case .wouldBlock: _ = try? isReady(socket.descriptor, within: 60)
            case .finished:
                return socket.close()
            case .failed: return socket.abort()
            }
        }
    }
}

func writeAll(_ socket: TCPSocket, _ bytes: UnsafeRawBufferPointer) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
        switch socket.write(UnsafeRawBufferPointer(rebasing: rest)) {
        case .moved(let count): rest = rest.dropFirst(count)
        case .wouldBlock:
            guard let ready = try? isReady(socket.descriptor, for: .writable, within: 20), ready
            else { return false }
        case .finished, .failed: return false
        }
    }
    return true
}

/// Everything up to the end; `nil` if the connection failed or stalled for ten seconds.
func readAll(_ socket: TCPSocket) throws -> [UInt8]? {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        switch buffer.withUnsafeMutableBytes({ socket.read(into: $0) }) {
        case .moved(let count): bytes += buffer[..<count]
        case .wouldBlock:
            guard try isReady(socket.descriptor, within: 10) else { return nil }
        case .finished: return bytes
        case .failed: return nil
        }
    }
}

/// The next thing that happens on a socket, waited for.
func nextRead(_ socket: TCPSocket, within seconds: UInt64 = 5) throws -> TransferResult {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let result = buffer.withUnsafeMutableBytes { socket.read(into: $0) }
        guard result == .wouldBlock else { return result }
        guard try isReady(socket.descriptor, within: seconds) else { return .wouldBlock }
    }
}

/// A UDP server on a thread of its own that sends back what it gets.
final class UDPEchoServer: Sendable {
    let address: SocketAddress
    private let isStopped = Atomic(false)

    init(_ wanted: SocketAddress = loopback) throws {
        let socket = try UDPSocket(binding: wanted, options: UDPOptions())
        self.address = socket.localAddress
        nonisolated(unsafe) let moved = socket
        try startThread(named: "udp-echo") { [weak self] in
            let received = ReceiveBatch()
            let batch = SendBatch()
            while let server = self, !server.isStopped.load(ordering: .relaxed) {
                guard let ready = try? isReady(moved.descriptor, within: 1), ready else { continue }
                _ = moved.receive(into: received)
                while let packet = received.next() {
                    let bytes = UnsafeRawBufferPointer(packet.bytes)
                    if !batch.append(bytes, to: packet.source, from: nil) {
                        _ = moved.send(batch)
                        _ = batch.append(bytes, to: packet.source, from: nil)
                    }
                }
                _ = moved.send(batch)
            }
        }
    }

    deinit { self.isStopped.store(true, ordering: .relaxed) }
}

/// A player: a UDP socket that sends to one address.
final class Player {
    let socket: UDPSocket
    private let target: SocketAddress
    private let batch = SendBatch()
    private let received = ReceiveBatch()

    init(_ target: SocketAddress) throws {
        self.socket = try UDPSocket(connectingTo: target, options: UDPOptions())
        self.target = target
    }

    func send(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { _ = self.batch.append($0, to: self.target, from: nil) }
        _ = self.socket.send(self.batch)
    }

    /// The next datagram, or `nil` after `seconds`.
    func next(within seconds: UInt64 = 5) throws -> [UInt8]? {
        if let packet = self.received.next() { return Array(packet.bytes) }
        while try isReady(self.socket.descriptor, within: seconds) {
            if self.socket.receive(into: self.received) > 0, let packet = self.received.next() {
                return Array(packet.bytes)
            }
        }
        return nil
    }
}

/// `count` bytes that differ from one place to the next.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
}
