import Glibc
import LinuxIO
import Primitives

/// The game server behind the tunnel: holds what each datagram says against the address it comes
/// from, and sends it back if it is to.
final class Backend {
    private let socket: UDPSocket
    private let poller: Poller
    private let echoes: Bool
    private let received = ReceiveBatch()
    private let outgoing = SendBatch(capacity: 1 << 20)
    private var datagrams: UInt64 = 0
    private var bytes: UInt64 = 0
    /// Datagrams whose source is not the player that they name.
    private var strangers: UInt64 = 0
    private var players: Set<SocketAddress> = []
    private var line: [UInt8] = []

    init(_ address: SocketAddress, echoes: Bool) throws(IOError) {
        var options = UDPOptions()
        options.receiveBuffer = 64 << 20
        options.sendBuffer = 64 << 20
        options.isDualStack = false
        self.socket = try UDPSocket(binding: address, options: options)
        self.echoes = echoes
        self.poller = try Poller()
        try self.poller.add(self.socket.descriptor, token: 0, interest: .readable)
        try self.poller.add(STDIN_FILENO, token: 1, interest: .readable)
    }

    /// Works until standard input ends; answers each of its lines with what was counted so far.
    func run() throws(IOError) {
        while true {
            let count = try self.poller.wait(atMost: nil)
            for event in 0..<count {
                if self.poller.token(event) == 0 {
                    self.serve()
                } else if !self.answer() {
                    return
                }
            }
        }
    }

    private func serve() {
        for _ in 0..<16 {
            guard self.socket.receive(into: self.received) > 0 else { return }
            while let packet = self.received.next() { self.take(packet) }
            self.flush()
            guard self.received.isFull else { return }
        }
    }

    @inline(__always)
    private func take(_ packet: ReceivedPacket) {
        self.datagrams += 1
        self.bytes += UInt64(packet.bytes.count)
        let content = UnsafeRawBufferPointer(packet.bytes)
        if Saying(content)?.player != packet.source { self.strangers += 1 }
        self.players.insert(packet.source)
        guard self.echoes else { return }
        if self.outgoing.append(content, to: packet.source, from: nil) { return }
        self.flush()
        _ = self.outgoing.append(content, to: packet.source, from: nil)
    }

    private func flush() {
        guard !self.outgoing.isEmpty else { return }
        while self.socket.send(self.outgoing) == .blocked { awaitRoom(self.socket) }
    }

    private func answer() -> Bool {
        var byte: UInt8 = 0
        guard read(STDIN_FILENO, &byte, 1) == 1 else { return false }
        guard byte == UInt8(ascii: "\n") else { return true }
        print(
            #"{"datagrams": \#(self.datagrams), "bytes": \#(self.bytes), "#
                + #""players": \#(self.players.count), "strangers": \#(self.strangers), "#
                + #""refused": \#(self.socket.counters.sendRefused)}"#
        )
        fflush(nil)
        return true
    }
}
