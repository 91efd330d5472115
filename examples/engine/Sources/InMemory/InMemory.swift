import Primitives
import Sealing
import Session

/// A packet on its way from one engine to the other.
struct Packet {
    var arrival: Instant
    var source: SocketAddress
    var destination: SocketAddress
    var bytes: [UInt8]
}

/// A client and a server without a network, a clock or a thread: the time is a variable.
struct Pair {
    let clientAddress = SocketAddress(ipv4: 0xC000_0201, port: 5000)
    let serverAddress = SocketAddress(ipv4: 0xC633_6401, port: 4600)
    let delay = Instant.Interval.milliseconds(20)
    var now = Instant(nanoseconds: 1_000_000_000)
    let client: Engine
    let server: Engine
    var packets: [Packet] = []
    private var buffer = [UInt8](repeating: 0, count: 65_536)

    init() {
        // Reproducible, and so never for real keys.
        let entropy = EntropySource.seeded(1)
        let serverKey = SecretKey(entropy: entropy)
        let clientKey = SecretKey(entropy: entropy)
        let directory = PeerDirectory(
            peers: [Peer(name: "edge", publicKey: clientKey.publicKey, services: ["echo"])],
            services: [.init(name: "echo", serviceProtocol: .tcp, allowsCompression: false)]
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
    }

    /// What an engine wants to send goes on its way.
    mutating func collect(from engine: Engine, at source: SocketAddress) {
        let (now, arrival) = (self.now, self.now + self.delay)
        self.packets += self.buffer.withUnsafeMutableBytes { buffer in
            var sent: [Packet] = []
            while let transmit = engine.nextTransmit(into: buffer, at: now) {
                // One buffer may hold many packets: all of one size, but for the last.
                for start in stride(from: 0, to: transmit.byteCount, by: transmit.segmentSize) {
                    let end = min(start + transmit.segmentSize, transmit.byteCount)
                    sent.append(
                        Packet(
                            arrival: arrival,
                            source: source,
                            destination: transmit.destination,
                            bytes: [UInt8](buffer[start..<end])
                        )
                    )
                }
            }
            return sent
        }
    }

    /// Moves the time to whatever happens next: a packet arrives, or an engine wants to be woken.
    mutating func advance() {
        let arrival = self.packets.first?.arrival ?? .never
        self.now = max(self.now, min(arrival, self.client.deadline, self.server.deadline))
        while let packet = self.packets.first, packet.arrival <= self.now {
            self.packets.removeFirst()
            var bytes = packet.bytes
            let engine = packet.destination == self.serverAddress ? self.server : self.client
            // The packet is decrypted where it stands.
            _ = bytes.withUnsafeMutableBytes {
                engine.receive($0, from: packet.source, at: self.now)
            }
        }
        self.client.wake(at: self.now)
        self.server.wake(at: self.now)
    }
}

extension Engine {
    /// Gives a stream as much of `bytes` as there is room for, and takes that off their front.
    func write(_ bytes: inout ArraySlice<UInt8>, to stream: StreamHandle, at now: Instant) {
        while !bytes.isEmpty {
            let region = self.beginWrite(to: stream)
            let count = min(region.count, bytes.count)
            // No room: the stream is reported ready when there is some.
            guard count > 0 else { return }
            region.copyBytes(from: bytes.prefix(count))
            bytes.removeFirst(count)
            self.wrote(count, to: stream, at: now)
        }
    }

    /// Takes all that a stream has got.
    func read(_ stream: StreamHandle, at now: Instant) -> [UInt8] {
        var all: [UInt8] = []
        while true {
            let region = self.beginRead(from: stream)
            guard !region.isEmpty else { return all }
            all += region
            // Tells the peer that it may send more.
            self.consumed(region.count, from: stream, at: now)
        }
    }

    /// Sends back what came, as far as there is room; the rest stays in the stream.
    func echo(_ stream: StreamHandle, at now: Instant) {
        while true {
            // A copy, because a region is valid only until the next call.
            let waiting = [UInt8](self.beginRead(from: stream))
            var rest = waiting[...]
            self.write(&rest, to: stream, at: now)
            guard rest.count < waiting.count else { return }
            self.consumed(waiting.count - rest.count, from: stream, at: now)
        }
    }
}

@main
enum InMemory {
    static func main() {
        var pair = Pair()
        let request = OpenRequest(service: "echo", serviceProtocol: .tcp)
        guard let stream = pair.client.openStream(request, at: pair.now) else { return }
        let message = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0) }
        var (rest, answer) = (message[...], [UInt8]())
        var (isFinished, isOver) = (false, false)

        while !isOver {
            pair.client.write(&rest, to: stream, at: pair.now)
            if rest.isEmpty, !isFinished {
                // Like shutdown(SHUT_WR): what was written still goes out.
                pair.client.finish(stream, at: pair.now)
                isFinished = true
            }
            // Events come first: a stream that is ready may have been opened by one.
            while let event = pair.server.nextEvent() { self.tell("server", event) }
            while let event = pair.client.nextEvent() {
                self.tell("client", event)
                // Both ends have everything; the handle is dead.
                if case .streamClosed = event { isOver = true }
            }
            while let handle = pair.server.nextReadyStream() {
                pair.server.echo(handle, at: pair.now)
                if pair.server.isReceiveFinished(handle) {
                    pair.server.finish(handle, at: pair.now)
                }
            }
            while let handle = pair.client.nextReadyStream() {
                answer += pair.client.read(handle, at: pair.now)
            }
            pair.collect(from: pair.client, at: pair.clientAddress)
            pair.collect(from: pair.server, at: pair.serverAddress)
            pair.advance()
        }
        precondition(answer == message)
        print("in memory: \(answer.count) bytes came back, and no time has passed")
    }

    static func tell(_ end: String, _ event: EngineEvent) {
        switch event {
        case .sessionUp(_, let info): print("\(end): session with \(info.address)")
        case .streamOpened(_, _, let request): print("\(end): stream to \(request.service)")
        case .streamClosed: print("\(end): stream over")
        default: print("\(end): \(event)")
        }
    }
}
