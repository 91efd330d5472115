import Glibc
import KCP
import LinuxIO
import Primitives

/// KCP as the protocol alone gives it: a conversation for each TCP connection, over bare UDP.
///
/// No multiplexing, no encryption, no redundancy; the settings are those kcptun calls `fast3` with
/// windows of 1024. One thread serves both ends, so that its processor time says nothing.
final class PlainKCPTunnel: Sendable {
    /// Where its parts are.
    struct Places: Sendable {
        var client: NetworkNamespace
        var server: NetworkNamespace
        /// Where connections are taken inside the client's namespace.
        var listen: SocketAddress
        /// The server's address of the link.
        var tunnel: SocketAddress
        /// Where the server connects to.
        var backend: SocketAddress
    }

    private let thread: LoopThread

    init(_ places: Places, isUrgent: Bool) throws {
        let wakeUp = try WakeUp()
        // Opened here, used by the thread alone.
        nonisolated(unsafe) let loop = try PlainKCPLoop(places, wakeUp: wakeUp)
        self.thread = try LoopThread(
            named: "lab-kcp",
            priority: isUrgent ? 3 : nil,
            wakeUp: wakeUp,
            turn: { try loop.turn() },
            close: { loop.close() }
        )
    }

    func stop() { self.thread.stop() }
}

/// One end of one connection: a TCP socket here, a conversation there.
private struct PlainKCPEnd {
    let socket: TCPSocket
    let conversation: StandaloneConversation
    /// Read from the socket, not yet taken by the conversation.
    var inbound: [UInt8] = []
    /// Received, not yet taken by the socket.
    var outbound: [UInt8] = []
    var isWatchingReads = true

    init(_ socket: TCPSocket, conversation identifier: UInt32) {
        var settings = StandaloneSettings(conversation: identifier)
        settings.useFastMode()
        settings.isStream = true
        settings.sendWindow = 1_024
        settings.receiveWindow = 1_024
        settings.maximumDatagram = 1_350
        self.socket = socket
        self.conversation = StandaloneConversation(settings)
    }

    /// Moves what can be moved; false when the socket has ended.
    mutating func move(_ buffer: UnsafeMutableRawBufferPointer) -> Bool {
        while true {
            if !self.inbound.isEmpty {
                let taken = self.inbound.withUnsafeBytes { self.conversation.send($0) } ?? 0
                self.inbound.removeFirst(taken)
                if !self.inbound.isEmpty { break }
            }
            let result = self.socket.read(into: buffer)
            if case .moved(let count) = result {
                self.inbound += buffer[..<count]
                continue
            }
            if result != .wouldBlock { return false }
            break
        }
        while self.outbound.count < 262_144, let count = self.conversation.receive(into: buffer) {
            self.outbound += buffer[..<count]
        }
        guard !self.outbound.isEmpty else { return true }
        switch self.outbound.withUnsafeBytes({ self.socket.write($0) }) {
        case .moved(let count): self.outbound.removeFirst(count)
        case .wouldBlock: break
        case .finished, .failed: return false
        }
        return true
    }
}

/// What ``PlainKCPTunnel``'s thread does.
private final class PlainKCPLoop {
    private static let listenerToken: UInt64 = 1
    private static let socketToken: UInt64 = 2

    private let poller: Poller
    private let wakeUp: WakeUp
    private let listener: TCPListener
    /// The client's and the server's socket of the link.
    private let sockets: [UDPSocket]
    private let places: PlainKCPTunnel.Places
    private var clientAddress: SocketAddress?
    private var ends: [[UInt32: PlainKCPEnd]] = [[:], [:]]
    private var nextConversation: UInt32 = 1
    private let received = ReceiveBatch()
    private let outgoing = SendBatch()
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    private let clock = BootClock()

    init(_ places: PlainKCPTunnel.Places, wakeUp: WakeUp) throws {
        self.poller = try Poller()
        self.wakeUp = wakeUp
        self.places = places
        self.listener = try places.client.inside { try TCPListener(binding: places.listen) }
        let near = try places.client.inside {
            try UDPSocket(connectingTo: places.tunnel, options: UDPOptions())
        }
        let far = try places.server.inside {
            try UDPSocket(binding: places.tunnel, options: UDPOptions())
        }
        self.sockets = [near, far]
        try self.poller.add(wakeUp.descriptor, token: 0, interest: .readable)
        try self.poller.add(
            self.listener.descriptor,
            token: Self.listenerToken,
            interest: .readable
        )
        for (index, socket) in self.sockets.enumerated() {
            let token = Self.socketToken + UInt64(index)
            try self.poller.add(socket.descriptor, token: token, interest: .readable)
        }
    }

    deinit { self.buffer.deallocate() }

    func close() {
        for end in self.ends.joined() { end.value.socket.abort() }
    }

    func turn() throws {
        let deadline = self.ends.joined().map(\.value.conversation.deadline).min() ?? .never
        // Sockets with bytes that wait for room are looked at every millisecond.
        let isMoving = self.ends.joined().contains {
            !$0.value.inbound.isEmpty || !$0.value.outbound.isEmpty
        }
        let rest =
            deadline == .never ? Instant.Interval.seconds(1) : deadline.since(self.clock.now())
        _ = try self.poller.wait(atMost: isMoving ? min(rest, .milliseconds(1)) : rest)
        self.wakeUp.clear()
        try self.accept()
        for side in 0..<2 { try self.receive(side) }
        for side in 0..<2 {
            for identifier in Array(self.ends[side].keys) { try self.serve(side, identifier) }
        }
    }

    private func accept() throws {
        while case .done(let accepted) = try self.listener.accept() {
            let identifier = self.nextConversation
            self.nextConversation += 1
            try self.add(accepted.socket, side: 0, identifier)
        }
    }

    private func add(_ socket: TCPSocket, side: Int, _ identifier: UInt32) throws {
        self.ends[side][identifier] = PlainKCPEnd(socket, conversation: identifier)
        try self.poller.add(socket.descriptor, token: 16, interest: .readable)
    }

    private func receive(_ side: Int) throws {
        while self.sockets[side].receive(into: self.received) > 0 {
            let now = self.clock.now()
            while let packet = self.received.next() {
                guard packet.bytes.count >= 4 else { continue }
                var identifier: UInt32 = 0
                for index in 0..<4 {
                    identifier |= UInt32(packet.bytes[index]) << UInt32(8 * index)
                }
                if side == 1 {
                    self.clientAddress = packet.source
                    if self.ends[1][identifier] == nil, identifier < self.nextConversation {
                        let socket = try self.places.server.inside {
                            try TCPSocket.connect(to: self.places.backend)
                        }
                        try self.add(socket, side: 1, identifier)
                    }
                }
                _ = self.ends[side][identifier]?.conversation.input(.init(packet.bytes), at: now)
            }
        }
    }

    private func serve(_ side: Int, _ identifier: UInt32) throws {
        guard let isAlive = self.ends[side][identifier]?.move(self.buffer),
            let end = self.ends[side][identifier]
        else { return }
        guard isAlive else {
            // The lab closes its connections when it is done; both ends go at once.
            for side in 0..<2 {
                self.ends[side].removeValue(forKey: identifier)?.socket.close()
            }
            return
        }
        if end.isWatchingReads != end.inbound.isEmpty {
            let interest: Readiness = end.inbound.isEmpty ? .readable : []
            try self.poller.modify(end.socket.descriptor, token: 16, interest: interest)
            self.ends[side][identifier]?.isWatchingReads = end.inbound.isEmpty
        }
        let now = self.clock.now()
        end.conversation.update(at: now)
        let target = side == 0 ? self.places.tunnel : self.clientAddress ?? self.places.tunnel
        while let count = end.conversation.nextDatagram(into: self.buffer, at: now) {
            let bytes = UnsafeRawBufferPointer(rebasing: self.buffer[..<count])
            if !self.outgoing.append(bytes, to: target, from: nil) {
                self.flush(side)
                _ = self.outgoing.append(bytes, to: target, from: nil)
            }
        }
        self.flush(side)
    }

    private func flush(_ side: Int) {
        if !self.outgoing.isEmpty, case .blocked = self.sockets[side].send(self.outgoing) {
            self.outgoing.discard()
        }
    }
}
