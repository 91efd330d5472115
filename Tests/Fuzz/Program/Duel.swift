import Primitives
import Recovery
import Sealing

@testable import Session
@testable import Simulation

/// A client and a server engine that hold authentic keys, and an input that is the one or the
/// other whenever it likes: it drives time, seals frames of its own and loses the honest ones.
final class Duel {
    static let home = SocketAddress(ipv4: 0xC000_0201, port: 5000)
    static let serverAddress = SocketAddress(ipv4: 0xC633_6401, port: 4600)
    let client: Engine
    let server: Engine
    var now = Instant(nanoseconds: 1_000_000_000)
    /// Where the client's packets seem to come from.
    ///
    /// What goes elsewhere than home arrives at a victim, which answers nothing.
    var source = Duel.home
    /// Whether honest packets from the client, and from the server, get lost.
    var isMute = (client: false, server: false)
    /// The newest honest packets, if they are kept.
    private(set) var captured: [(fromClient: Bool, bytes: [UInt8])] = []
    let captures: Bool
    private var ledger: [SocketAddress: (received: Int, sent: Int)] = [:]
    private var forgedBytes = 0
    private var heapBefore = 0
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 64)
    private var streams: [StreamHandle] = []
    private var flows: [FlowHandle] = []

    /// What the server and the client may hold of their own accord, whatever comes.
    private static let ownMemory = 48 << 20

    /// With `captures`, honest packets are kept for ``captured``.
    init(captures: Bool = false) {
        self.captures = captures
        let entropy = EntropySource.seeded(1)
        let serverKey = SecretKey(entropy: entropy)
        let clientKey = SecretKey(entropy: entropy)
        let directory = PeerDirectory(
            peers: [Peer(name: "edge", publicKey: clientKey.publicKey, services: ["*"])],
            services: [
                .init(name: "echo", serviceProtocol: .tcp, allowsCompression: true),
                .init(name: "voice", serviceProtocol: .udp, allowsCompression: false),
            ]
        )
        var limits = EngineLimits()
        limits.streamBuffer = 1 << 17
        limits.sessionBuffer = 1 << 20
        limits.maximumStreams = 64
        limits.maximumFlows = 64
        limits.inbox = 1 << 16
        let choice = PostQuantumChoice(.prefer, by: .standIn(seed: 1))
        var serverSettings = ServerSettings(privateKey: serverKey, directory: directory)
        serverSettings.postQuantum = choice
        self.server = Engine(
            server: serverSettings,
            limits: limits,
            entropy: entropy,
            at: self.now
        )
        var clientSettings = ClientSettings(
            servers: [Self.serverAddress],
            serverPublicKey: serverKey.publicKey,
            privateKey: clientKey
        )
        clientSettings.postQuantum = choice
        self.client = Engine(
            client: clientSettings,
            limits: limits,
            entropy: entropy,
            at: self.now
        )
        self.heapBefore = Oracle.heap
    }

    deinit { self.buffer.deallocate() }

    /// Shakes hands and opens a stream and a flow, over an honest wire.
    func begin() {
        for _ in 0..<12 where !self.isUp { self.pass(milliseconds: 5) }
        self.openStream()
        self.openFlow()
        // Both are told to the server with the first bytes.
        self.write(100, toStream: 0)
        self.send(100, onFlow: 0)
        for _ in 0..<4 { self.pass(milliseconds: 5) }
    }

    private var isUp: Bool {
        [self.client, self.server].allSatisfy { engine in engine.sessions.contains { $0 != nil } }
    }

    func pass(milliseconds: UInt64) { self.pass(.milliseconds(milliseconds)) }

    func pass(_ interval: Instant.Interval) {
        self.now = self.now + interval
        self.client.wake(at: self.now)
        self.server.wake(at: self.now)
        self.settle()
    }

    // MARK: What the applications do

    func openStream() {
        let request = OpenRequest(service: "echo", serviceProtocol: .tcp)
        guard self.streams.count < 8, let stream = self.client.openStream(request, at: self.now)
        else { return }
        self.streams.append(stream)
    }

    func openFlow() {
        let request = OpenRequest(service: "voice", serviceProtocol: .udp)
        guard self.flows.count < 8, let flow = self.client.openFlow(request, at: self.now) else {
            return
        }
        self.flows.append(flow)
    }

    func write(_ count: Int, toStream index: Int) {
        guard !self.streams.isEmpty else { return }
        let handle = self.streams[index % self.streams.count]
        let region = self.client.beginWrite(to: handle)
        let part = UnsafeMutableRawBufferPointer(rebasing: region.prefix(count))
        guard !part.isEmpty else { return }
        part.initializeMemory(as: UInt8.self, repeating: 0x20)
        self.client.wrote(part.count, to: handle, at: self.now)
    }

    func send(_ count: Int, onFlow index: Int) {
        guard !self.flows.isEmpty else { return }
        [UInt8](repeating: 0x30, count: count).withUnsafeBytes {
            self.client.send($0, on: self.flows[index % self.flows.count], at: self.now)
        }
    }

    // MARK: What the attacker does

    /// Seals frames under the keys of one side and gives the packet to the other.
    func forge(fromClient: Bool, _ frames: [(type: UInt8, body: [UInt8])]) {
        let forger = fromClient ? self.client : self.server
        guard let session = forger.sessions.compactMap({ $0 }).first else { return }
        let packet = UnsafeMutableRawBufferPointer.allocate(byteCount: 1500, alignment: 64)
        defer { packet.deallocate() }
        guard let base = packet.baseAddress else { return }
        var builder = session.leg.begin(base, size: 1400)
        for (type, body) in frames {
            var frame = builder.frameBody
            guard frame.room >= body.count else { break }
            body.withUnsafeBytes { frame.write($0) }
            builder.append(type, frame)
        }
        let length = session.seal(builder, to: session.leg.path.address, at: self.now)
        self.forgedBytes += length
        self.deliver(
            UnsafeMutableRawBufferPointer(rebasing: packet[..<length]),
            fromClient: fromClient
        )
        self.settle()
    }

    /// The number the next packet of the other side will have.
    func nextNumber(ofClient: Bool) -> UInt64 {
        let engine = ofClient ? self.client : self.server
        return engine.sessions.compactMap { $0 }.first?.leg.nextNumber ?? 0
    }

    /// Of the exchange that strengthens the newest keys, if there is one.
    var ratchetHandshake: UInt64 {
        UInt64(self.client.sessions.lazy.compactMap { $0?.leg.keys.ratchet?.handshake }.first ?? 0)
    }

    /// Bytes as they are, sealed by nobody.
    func inject(_ bytes: [UInt8], toServer: Bool) {
        var copy = bytes
        copy.withUnsafeMutableBytes { self.deliver($0, fromClient: toServer) }
        self.settle()
    }

    // MARK: The wire

    private func deliver(_ packet: UnsafeMutableRawBufferPointer, fromClient: Bool) {
        guard fromClient else {
            _ = self.client.receive(packet, from: Self.serverAddress, at: self.now)
            return
        }
        self.ledger[self.source, default: (0, 0)].received += packet.count
        _ = self.server.receive(packet, from: self.source, at: self.now)
    }

    /// Moves what is to be moved until both are silent, and holds them to their promises.
    func settle() {
        for _ in 0..<4 {
            let moved = self.transmit(fromClient: true) || self.transmit(fromClient: false)
            self.take(self.client)
            self.take(self.server)
            if !moved { break }
        }
        for (address, bytes) in self.ledger where address != Self.home {
            Oracle.hold(
                bytes.sent <= 3 * bytes.received,
                "\(address) got \(bytes.sent) bytes for \(bytes.received)"
            )
        }
        let held = Oracle.heap - self.heapBefore
        Oracle.hold(
            held < Self.ownMemory + 64 * self.forgedBytes,
            "\(self.forgedBytes) bytes of frames make \(held) bytes be held"
        )
    }

    private func transmit(fromClient: Bool) -> Bool {
        let engine = fromClient ? self.client : self.server
        var count = 0
        while count < 256, let transmit = engine.nextTransmit(into: self.buffer, at: self.now) {
            count += 1
            var start = 0
            while start < transmit.byteCount {
                let end = min(transmit.byteCount, start + transmit.segmentSize)
                let packet = UnsafeMutableRawBufferPointer(rebasing: self.buffer[start..<end])
                start = end
                if !fromClient {
                    self.ledger[transmit.destination, default: (0, 0)].sent += packet.count
                    guard transmit.destination == Self.home else { continue }
                }
                // What went to a victim nobody has, or it would not be one.
                if self.captures { self.capture(packet, fromClient) }
                guard !(fromClient ? self.isMute.client : self.isMute.server) else { continue }
                self.deliver(packet, fromClient: fromClient)
            }
        }
        return count > 0
    }

    private func capture(_ packet: UnsafeMutableRawBufferPointer, _ fromClient: Bool) {
        if self.captured.count == 16 { self.captured.removeFirst() }
        self.captured.append((fromClient, [UInt8](packet)))
    }

    private func take(_ engine: Engine) {
        while let event = engine.nextEvent() {
            if case .streamOpened(let handle, _, _) = event, self.streams.count < 8 {
                _ = engine.beginWrite(to: handle)
            }
        }
        while let (_, bytes) = engine.nextDatagram() {
            Oracle.isWritten(bytes, "a datagram")
        }
        while let handle = engine.nextReadyStream() {
            while true {
                let region = engine.beginRead(from: handle)
                guard !region.isEmpty else { break }
                Oracle.isWritten(region, "a stream")
                engine.consumed(region.count, from: handle, at: self.now)
            }
        }
    }
}
