import Glibc
import LinuxIO
import Primitives
import Synchronization

/// The far end of every load: echoes UDP datagrams and TCP streams, and is a source and a sink.
///
/// The first byte of a TCP connection chooses: ``echoMark``, ``sourceMark`` or ``sinkMark``.
final class LoadServer: Sendable {
    static let echoMark = UInt8(ascii: "E")
    static let sourceMark = UInt8(ascii: "S")
    static let sinkMark = UInt8(ascii: "U")

    /// What the thread counts.
    final class Counts: Sendable {
        /// Bytes that went into the sink.
        let sunk = Atomic<UInt64>(0)
        /// Connections and datagrams that came from another address than the expected one.
        let strangers = Atomic<UInt64>(0)
    }

    let counts: Counts
    private let thread: LoopThread

    /// Opens the sockets inside `namespace` and serves from a thread of its own.
    ///
    /// - Parameters:
    ///   - player: whose address everyone must come from; `nil` when nobody minds.
    ///   - congestion: the kernel's for the connections; `nil` for its default.
    init(
        in namespace: NetworkNamespace,
        at address: SocketAddress,
        expecting player: SocketAddress?,
        congestion: String?,
        isUrgent: Bool
    ) throws {
        let (wakeUp, counts) = (try WakeUp(), Counts())
        self.counts = counts
        // Opened here, used by the thread alone.
        nonisolated(unsafe) let loop = try namespace.inside {
            try LoadServerLoop(
                address: address,
                player: player,
                congestion: congestion,
                counts: counts,
                wakeUp: wakeUp
            )
        }
        self.thread = try LoopThread(
            named: "lab-server",
            priority: isUrgent ? 5 : nil,
            wakeUp: wakeUp,
            turn: { try loop.turn() },
            close: { loop.close() }
        )
    }

    func stop() { self.thread.stop() }
}

/// Congestion control of kernel TCP sockets.
enum KernelCongestion {
    /// False when the kernel does not have it.
    static func set(_ name: String, on descriptor: Int32) -> Bool {
        var bytes = Array(name.utf8)
        let protocolNumber = Int32(IPPROTO_TCP)
        let length = socklen_t(bytes.count)
        return setsockopt(descriptor, protocolNumber, TCP_CONGESTION, &bytes, length) == 0
    }
}

/// What ``LoadServer``'s thread does.
private final class LoadServerLoop {
    private struct Connection {
        let socket: TCPSocket
        let peer: SocketAddress
        var mode: UInt8 = 0
        /// Echo that did not fit into the socket.
        var backlog: [UInt8] = []
        var isWatchingWrites = false
    }

    private static let udpToken: UInt64 = 1
    private static let listenerToken: UInt64 = 2

    private let poller: Poller
    private let udp: UDPSocket
    private let listener: TCPListener
    private let wakeUp: WakeUp
    private let counts: LoadServer.Counts
    private let player: SocketAddress?
    private let received = ReceiveBatch()
    private let outgoing = SendBatch()
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    private let source = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    private var connections: [UInt64: Connection] = [:]
    private var nextToken: UInt64 = 16

    init(
        address: SocketAddress,
        player: SocketAddress?,
        congestion: String?,
        counts: LoadServer.Counts,
        wakeUp: WakeUp
    ) throws {
        self.poller = try Poller()
        self.udp = try UDPSocket(binding: address, options: UDPOptions())
        self.listener = try TCPListener(binding: address)
        self.wakeUp = wakeUp
        self.counts = counts
        self.player = player
        if let congestion, !KernelCongestion.set(congestion, on: self.listener.descriptor) {
            throw LabFailure("this kernel has no \(congestion)")
        }
        // Bytes that no compression makes smaller.
        var random = SeededGenerator(seed: 7)
        for index in self.source.indices {
            self.source[index] = UInt8(truncatingIfNeeded: random.next())
        }
        try self.poller.add(wakeUp.descriptor, token: 0, interest: .readable)
        try self.poller.add(self.udp.descriptor, token: Self.udpToken, interest: .readable)
        try self.poller.add(
            self.listener.descriptor,
            token: Self.listenerToken,
            interest: .readable
        )
    }

    deinit {
        self.buffer.deallocate()
        self.source.deallocate()
    }

    func close() {
        for connection in self.connections.values { connection.socket.abort() }
        self.connections = [:]
    }

    func turn() throws {
        let count = try self.poller.wait(atMost: nil)
        for index in 0..<count {
            switch self.poller.token(index) {
            case 0: self.wakeUp.clear()
            case Self.udpToken: self.echoDatagrams()
            case Self.listenerToken: try self.accept()
            case let token: try self.serve(token)
            }
        }
    }

    private func echoDatagrams() {
        guard self.udp.receive(into: self.received) > 0 else { return }
        while let packet = self.received.next() {
            if packet.bytes.count >= 8 { self.check(packet.source) }
            while !self.outgoing.append(.init(packet.bytes), to: packet.source, from: nil) {
                self.flush()
            }
        }
        self.flush()
    }

    /// Whoever says something must be the player; a tunnel's own probes say nothing.
    private func check(_ source: SocketAddress) {
        guard let player = self.player, source.with(port: 0) != player else { return }
        self.counts.strangers.wrappingAdd(1, ordering: .relaxed)
    }

    private func flush() {
        if !self.outgoing.isEmpty, case .blocked = self.udp.send(self.outgoing) {
            self.outgoing.discard()
        }
    }

    private func accept() throws {
        while case .done(let accepted) = try self.listener.accept() {
            let token = self.nextToken
            self.nextToken += 1
            self.connections[token] = Connection(socket: accepted.socket, peer: accepted.peer)
            try self.poller.add(accepted.socket.descriptor, token: token, interest: .readable)
        }
    }

    private func serve(_ token: UInt64) throws {
        guard var connection = self.connections[token] else { return }
        var isAlive = connection.mode != Self.none || self.readMode(&connection)
        switch connection.mode {
        case LoadServer.echoMark where isAlive: isAlive = self.echo(&connection)
        case LoadServer.sourceMark where isAlive: isAlive = self.pour(&connection)
        case LoadServer.sinkMark where isAlive: isAlive = self.swallow(&connection)
        default: break
        }
        guard isAlive else {
            connection.socket.close()
            self.connections[token] = nil
            return
        }
        let watches = connection.mode == LoadServer.sourceMark || !connection.backlog.isEmpty
        if watches != connection.isWatchingWrites {
            connection.isWatchingWrites = watches
            let interest: Readiness = watches ? [.readable, .writable] : .readable
            try self.poller.modify(
                connection.socket.descriptor,
                token: token,
                interest: interest
            )
        }
        self.connections[token] = connection
    }

    private static let none: UInt8 = 0

    private func readMode(_ connection: inout Connection) -> Bool {
        let one = UnsafeMutableRawBufferPointer(rebasing: self.buffer[..<1])
        switch connection.socket.read(into: one) {
        case .moved:
            connection.mode = self.buffer[0]
            self.check(connection.peer)
        case .wouldBlock: break
        case .finished, .failed: return false
        }
        return true
    }

    private func echo(_ connection: inout Connection) -> Bool {
        if !connection.backlog.isEmpty {
            let result = connection.backlog.withUnsafeBytes { connection.socket.write($0) }
            switch result {
            case .moved(let count): connection.backlog.removeFirst(count)
            case .wouldBlock: return true
            case .finished, .failed: return false
            }
            if !connection.backlog.isEmpty { return true }
        }
        while true {
            switch connection.socket.read(into: self.buffer) {
            case .moved(let count):
                let bytes = UnsafeRawBufferPointer(rebasing: self.buffer[..<count])
                guard Self.write(bytes, to: &connection) else { return false }
                if !connection.backlog.isEmpty { return true }
            case .wouldBlock: return true
            case .finished, .failed: return false
            }
        }
    }

    private static func write(
        _ bytes: UnsafeRawBufferPointer,
        to connection: inout Connection
    ) -> Bool {
        switch connection.socket.write(bytes) {
        case .moved(let count): connection.backlog += bytes.dropFirst(count)
        case .wouldBlock: connection.backlog += bytes
        case .finished, .failed: return false
        }
        return true
    }

    /// Fills the socket; a few blocks at a turn, so that echoes do not wait behind it.
    private func pour(_ connection: inout Connection) -> Bool {
        let one = UnsafeMutableRawBufferPointer(rebasing: self.buffer[..<1])
        if case .failed = connection.socket.read(into: one) { return false }
        for _ in 0..<4 {
            switch connection.socket.write(UnsafeRawBufferPointer(self.source)) {
            case .moved(let count):
                if count < self.source.count { return true }
            case .wouldBlock: return true
            case .finished, .failed: return false
            }
        }
        return true
    }

    private func swallow(_ connection: inout Connection) -> Bool {
        while true {
            switch connection.socket.read(into: self.buffer) {
            case .moved(let count):
                self.counts.sunk.wrappingAdd(UInt64(count), ordering: .relaxed)
            case .wouldBlock: return true
            case .finished, .failed: return false
            }
        }
    }
}
