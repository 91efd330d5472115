import Balancing
import Configuration
import LinuxIO
import Origin
import Primitives

/// One question to one backend, on a socket of its own that never blocks.
final class BackendProbe {
    /// Buffers that all probes of a thread use in turn.
    final class Memory {
        let sent = SendBatch(capacity: 128 << 10)
        let received = ReceiveBatch()
        let stream = UnsafeMutableRawBufferPointer.allocate(byteCount: 4_096, alignment: 16)

        deinit { self.stream.deallocate() }
    }

    enum Outcome {
        case wait
        /// The question is asked: wait for bytes.
        case listen
        case alive
        case failed(String)
    }

    private enum Socket {
        case stream(TCPSocket)
        case datagram(UDPSocket)
    }

    let token: UInt64
    private let address: SocketAddress
    private let socket: Socket
    private let memory: Memory
    private var exchange: ProbeExchange
    private var isConnecting: Bool
    /// What goes before the question where the backend expects a header.
    private var header: [UInt8] = []
    private var isHeaderAlone = false
    /// Set where answers may repeat the header (Simple Proxy Protocol).
    private var simple: ProxyHeader?

    init(
        _ kind: ProbeKind,
        to address: SocketAddress,
        of service: Service,
        overStream isStream: Bool,
        nonce: UInt64,
        token: UInt64,
        memory: Memory
    ) throws(IOError) {
        self.token = token
        self.address = address
        self.memory = memory
        self.exchange = ProbeExchange(kind, nonce: nonce)
        self.isConnecting = isStream
        if isStream {
            self.socket = .stream(try TCPSocket.connect(to: address))
            self.writeHeader(service, isStream: true, from: address)
        } else {
            var options = UDPOptions()
            options.receiveBuffer = 64 << 10
            options.sendBuffer = 64 << 10
            let socket = try UDPSocket(connectingTo: address, options: options)
            self.socket = .datagram(socket)
            self.writeHeader(service, isStream: false, from: socket.localAddress)
            self.ask(socket)
        }
    }

    /// Probes are the server's own, so their headers name no player.
    private func writeHeader(_ service: Service, isStream: Bool, from local: SocketAddress) {
        let given = service.origin
        let buffer = UnsafeMutableRawBufferPointer(rebasing: self.memory.stream[..<128])
        var count = 0
        if isStream, service.transportProtocol == .tcp {
            if given == .proxyV1 { count = ProxyHeader.writeUnknownV1(into: buffer) }
            if given == .proxyV2 { count = ProxyHeader.writeLocalV2(into: buffer) }
        } else if !isStream, given == .proxyV2 {
            count = ProxyHeader.writeLocalV2(into: buffer)
            self.isHeaderAlone = service.dialect == .firstAlone
        } else if !isStream, given == .simpleProxy {
            let simple = ProxyHeader(
                source: local,
                destination: self.address,
                transport: .datagram
            )
            count = simple.writeSimple(into: buffer)
            self.simple = simple
        }
        self.header = Array(buffer[..<count])
    }

    var descriptor: Int32 {
        switch self.socket {
        case .stream(let socket): socket.descriptor
        case .datagram(let socket): socket.descriptor
        }
    }

    var interest: Readiness { self.isConnecting ? .writable : .readable }

    /// A backend that has answered sees a tidy end, which its log does not take for a fault; with
    /// any other nothing is kept.
    func close(isTidy: Bool = false) {
        guard case .stream(let socket) = self.socket else { return }
        isTidy ? socket.close() : socket.abort()
    }

    func ready(_ readiness: Readiness) -> Outcome {
        switch self.socket {
        case .stream(let socket):
            return self.isConnecting ? self.connected(socket) : self.readStream(socket)
        case .datagram(let socket):
            return self.readDatagrams(socket)
        }
    }

    private func connected(_ socket: TCPSocket) -> Outcome {
        if let error = socket.connectResult() { return .failed(error.reason) }
        self.isConnecting = false
        let isAsked = self.ask(socket)
        if self.exchange.kind == .connect { return .alive }
        return isAsked ? .listen : .failed("the question could not be sent")
    }

    /// A question is far smaller than a fresh socket's buffer, so it is taken whole or not at all.
    private func ask(_ socket: TCPSocket) -> Bool {
        let request = self.header + self.exchange.request
        self.header = []
        return request.withUnsafeBytes { bytes in
            bytes.isEmpty || socket.write(bytes) == .moved(bytes.count)
        }
    }

    private func ask(_ socket: UDPSocket) {
        if self.isHeaderAlone {
            self.header.withUnsafeBytes { bytes in
                _ = self.memory.sent.append(bytes, to: self.address, from: nil)
            }
        }
        let header = self.isHeaderAlone ? [] : self.header
        (header + self.exchange.request).withUnsafeBytes { bytes in
            _ = self.memory.sent.append(bytes, to: self.address, from: nil)
        }
        // What cannot be sent gets no answer, which is all that a probe asks about.
        if socket.send(self.memory.sent) == .blocked { _ = self.memory.sent.discard() }
    }

    private func readStream(_ socket: TCPSocket) -> Outcome {
        while true {
            switch socket.read(into: self.memory.stream) {
            case .moved(let count):
                let bytes = UnsafeRawBufferPointer(rebasing: self.memory.stream[..<count])
                switch self.exchange.receive(bytes) {
                case .wait: continue
                case .sendAgain:
                    guard self.ask(socket) else { return .failed("the connection is stuck") }
                case .alive: return .alive
                case .wrong: return .failed("an unexpected answer")
                }
            case .wouldBlock: return .wait
            case .finished: return .failed("closed before the answer")
            case .failed(let code): return .failed(IOError(code: code, call: "recv").reason)
            }
        }
    }

    private func readDatagrams(_ socket: UDPSocket) -> Outcome {
        let errors = socket.counters.receiveErrors
        _ = socket.receive(into: self.memory.received)
        while let packet = self.memory.received.next() {
            var bytes = UnsafeRawBufferPointer(packet.bytes)
            if let simple = self.simple {
                let count = simple.simpleByteCount(ofReply: bytes)
                bytes = UnsafeRawBufferPointer(rebasing: bytes[count...])
            }
            switch self.exchange.receive(bytes) {
            case .wait: continue
            case .sendAgain: self.ask(socket)
            case .alive: return .alive
            case .wrong: return .failed("an unexpected answer")
            }
        }
        return socket.counters.receiveErrors == errors ? .wait : .failed("nobody listens there")
    }
}
