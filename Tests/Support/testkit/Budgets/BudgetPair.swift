import CMallocCount
import Primitives
import Sealing
import Session

/// A client and a server engine, joined by nothing but a loop.
///
/// What goes out of one goes into the other at once; time passes by a millisecond a turn.
final class BudgetPair {
    let client: Engine
    let server: Engine
    private(set) var packets: UInt64 = 0
    private(set) var bytes: UInt64 = 0
    private(set) var datagrams: UInt64 = 0
    /// One packet in so many gets lost; 0 for none.
    var lossInterval: UInt64 = 0
    private(set) var now = Instant(nanoseconds: 1_000_000_000)
    private var serverStream: StreamHandle?
    private var serverFlow: FlowHandle?
    private let clientAddress = SocketAddress(ipv4: 0xC000_0201, port: 5_000)
    private let serverAddress = SocketAddress(ipv4: 0xC633_6401, port: 4_600)
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 64)
    private let packet = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 64)
    private let payload = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 64)

    init() {
        let entropy = EntropySource.seeded(1)
        let serverKey = SecretKey(entropy: entropy)
        let clientKey = SecretKey(entropy: entropy)
        let directory = PeerDirectory(
            peers: [Peer(name: "edge", publicKey: clientKey.publicKey, services: ["*"])],
            services: [
                .init(name: "bulk", serviceProtocol: .tcp, allowsCompression: true),
                .init(name: "voice", serviceProtocol: .udp, allowsCompression: true),
            ]
        )
        self.server = Engine(
            server: ServerSettings(privateKey: serverKey, directory: directory),
            limits: EngineLimits(),
            entropy: entropy,
            at: self.now
        )
        self.client = Engine(
            client: ClientSettings(
                servers: [self.serverAddress],
                serverPublicKey: serverKey.publicKey,
                privateKey: clientKey
            ),
            limits: EngineLimits(),
            entropy: entropy,
            at: self.now
        )
        self.payload.initializeMemory(as: UInt8.self, repeating: 0x5A)
    }

    deinit {
        self.buffer.deallocate()
        self.packet.deallocate()
        self.payload.deallocate()
    }

    func openStream() -> StreamHandle? {
        let request = OpenRequest(service: "bulk", serviceProtocol: .tcp)
        return self.client.openStream(request, at: self.now)
    }

    func openFlow(_ trafficClass: TrafficClass = .auto) -> FlowHandle? {
        var request = OpenRequest(service: "voice", serviceProtocol: .udp)
        request.trafficClass = trafficClass
        return self.client.openFlow(request, at: self.now)
    }

    /// One turn in which the client writes up to `count` bytes; the server swallows them.
    func write(_ count: Int, to stream: StreamHandle) {
        var rest = count
        while rest > 0 {
            let room = self.client.beginWrite(to: stream)
            guard !room.isEmpty else { break }
            let part = min(rest, room.count)
            UnsafeMutableRawBufferPointer(rebasing: room[..<part])
                .copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: self.payload[..<min(part, 65_536)])
                )
            self.client.wrote(min(part, 65_536), to: stream, at: self.now)
            rest -= min(part, 65_536)
        }
        self.turn()
    }

    /// One turn in which the client sends one datagram, which the server sends back.
    func send(_ count: Int, on flow: FlowHandle) {
        let bytes = UnsafeRawBufferPointer(rebasing: self.payload[..<count])
        self.client.send(bytes, on: flow, at: self.now)
        self.turn()
    }

    /// Moves everything there is to move, a millisecond later.
    func turn() {
        self.now = self.now + .milliseconds(1)
        for _ in 0..<4 {
            self.serve(self.client, isClient: true)
            self.serve(self.server, isClient: false)
        }
    }

    private func serve(_ engine: Engine, isClient: Bool) {
        if engine.deadline <= self.now { engine.wake(at: self.now) }
        while let event = engine.nextEvent() {
            if case .streamOpened(let handle, _, _) = event { self.serverStream = handle }
            if case .flowOpened(let handle, _, _) = event { self.serverFlow = handle }
        }
        while let handle = engine.nextReadyStream() {
            while true {
                let region = engine.beginRead(from: handle)
                guard !region.isEmpty else { break }
                self.bytes += UInt64(region.count)
                engine.consumed(region.count, from: handle, at: self.now)
            }
        }
        while let (flow, bytes) = engine.nextDatagram() {
            self.datagrams += 1
            if !isClient {
                self.packet.copyMemory(from: bytes)
                let copy = UnsafeRawBufferPointer(rebasing: self.packet[..<bytes.count])
                engine.send(copy, on: flow, at: self.now)
            }
        }
        self.transmit(from: engine, isClient: isClient)
    }

    private func transmit(from engine: Engine, isClient: Bool) {
        let other = isClient ? self.server : self.client
        let source = isClient ? self.clientAddress : self.serverAddress
        while let transmit = engine.nextTransmit(into: self.buffer, at: self.now) {
            var offset = 0
            while offset < transmit.byteCount {
                let end = min(offset + transmit.segmentSize, transmit.byteCount)
                let bytes = UnsafeMutableRawBufferPointer(rebasing: self.buffer[offset..<end])
                self.packets += 1
                // Scattered, so that it does not always meet the same kind of packet.
                let draw = (self.packets &* 0x9E37_79B9_7F4A_7C15) >> 40
                if self.lossInterval == 0 || draw % self.lossInterval > 0 {
                    other.receive(bytes, from: source, at: self.now)
                }
                offset = end
            }
        }
    }
}
