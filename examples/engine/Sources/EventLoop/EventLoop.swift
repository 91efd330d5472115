import Glibc
import Primitives
import Sealing
import Session

/// One engine and its UDP socket; `serve` is what this end does with its streams.
struct Endpoint {
    let engine: Engine
    let descriptor: Int32
    private var buffer = [UInt8](repeating: 0, count: 65_536)

    init(_ engine: Engine, _ descriptor: Int32) {
        self.engine = engine
        self.descriptor = descriptor
    }

    /// Gives the engine every packet that has come.
    mutating func receive(at now: Instant) {
        let (engine, descriptor) = (self.engine, self.descriptor)
        self.buffer.withUnsafeMutableBytes { buffer in
            var source = sockaddr_in()
            while true {
                var length = socklen_t(MemoryLayout<sockaddr_in>.size)
                let count = withUnsafeMutablePointer(to: &source) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        recvfrom(descriptor, buffer.baseAddress, buffer.count, 0, $0, &length)
                    }
                }
                guard count >= 0 else { return }
                engine.receive(
                    UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]),
                    from: SocketAddress(source),
                    at: now
                )
            }
        }
    }

    /// Sends every packet that the engine has.
    mutating func transmit(at now: Instant) {
        let (engine, descriptor) = (self.engine, self.descriptor)
        self.buffer.withUnsafeMutableBytes { buffer in
            while let transmit = engine.nextTransmit(into: buffer, at: now) {
                var address = sockaddr_in(transmit.destination)
                let length = socklen_t(MemoryLayout<sockaddr_in>.size)
                for start in stride(from: 0, to: transmit.byteCount, by: transmit.segmentSize) {
                    let end = min(start + transmit.segmentSize, transmit.byteCount)
                    let packet = UnsafeRawBufferPointer(rebasing: buffer[start..<end])
                    // A packet that the kernel does not take is a packet that was lost.
                    _ = withUnsafePointer(to: &address) {
                        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                            sendto(descriptor, packet.baseAddress, packet.count, 0, $0, length)
                        }
                    }
                }
            }
        }
    }
}

/// Sleeps until one of `endpoints` has a packet or wants to be woken.
func sleep(_ endpoints: [Endpoint]) {
    let now = Clock.now()
    let deadline = endpoints.map(\.engine.deadline).min() ?? .never
    // Rounded up, or the loop would turn without rest in the last millisecond.
    let wait = (deadline.since(now) + .microseconds(999)).milliseconds
    var waiting = endpoints.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
    poll(&waiting, nfds_t(waiting.count), Int32(clamping: wait))
}

/// The time an engine is driven with: it never goes back, and it counts while the machine sleeps.
enum Clock {
    static func now() -> Instant {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return Instant(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }
}

extension EntropySource {
    /// The kernel's unpredictable bytes, by Swift's own generator.
    static var system: Self {
        Self { bytes in
            var generator = SystemRandomNumberGenerator()
            for index in bytes.indices {
                bytes[index] = UInt8(truncatingIfNeeded: generator.next() as UInt64)
            }
        }
    }
}

extension SocketAddress {
    init(_ address: sockaddr_in) {
        let port = UInt16(bigEndian: address.sin_port)
        self.init(ipv4: UInt32(bigEndian: address.sin_addr.s_addr), port: port)
    }
}

extension sockaddr_in {
    init(_ address: SocketAddress) {
        self.init()
        self.sin_family = sa_family_t(AF_INET)
        self.sin_port = address.port.bigEndian
        self.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.low).bigEndian
    }
}

/// A socket that does not block, on a port of 127.0.0.1 that the kernel chooses.
func openSocket() -> (descriptor: Int32, address: SocketAddress) {
    let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let descriptor = socket(AF_INET, type, 0)
    var address = sockaddr_in(SocketAddress(ipv4: 0x7F00_0001, port: 0))
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
            bind(descriptor, address, length) | getsockname(descriptor, address, &length)
        }
    }
    precondition(result == 0, "no UDP socket: error \(errno)")
    return (descriptor, SocketAddress(address))
}

@main
enum EventLoop {
    static func main() {
        let serverKey = SecretKey(entropy: .system)
        let clientKey = SecretKey(entropy: .system)
        let (serverSocket, serverAddress) = openSocket()
        let (clientSocket, _) = openSocket()
        let directory = PeerDirectory(
            peers: [Peer(name: "edge", publicKey: clientKey.publicKey, services: ["*"])],
            services: [.init(name: "voice", serviceProtocol: .udp, allowsCompression: false)]
        )
        let start = Clock.now()
        let server = Engine(
            server: ServerSettings(privateKey: serverKey, directory: directory),
            limits: EngineLimits(),
            entropy: .system,
            at: start
        )
        let settings = ClientSettings(
            servers: [serverAddress],
            serverPublicKey: serverKey.publicKey,
            privateKey: clientKey
        )
        let client = Engine(client: settings, limits: EngineLimits(), entropy: .system, at: start)
        self.run(Endpoint(client, clientSocket), Endpoint(server, serverSocket))
    }

    /// Ten datagrams there and back.
    static func run(_ client: Endpoint, _ server: Endpoint) {
        var endpoints = [client, server]
        let request = OpenRequest(service: "voice", serviceProtocol: .udp)
        let start = Clock.now()
        guard let flow = client.engine.openFlow(request, at: start) else { return }
        for number in UInt8(0)..<10 {
            // There is no session yet: the flow keeps a few datagrams for a second.
            [number].withUnsafeBytes { client.engine.send($0, on: flow, at: start) }
        }
        var answers = 0
        while answers < 10 {
            let now = Clock.now()
            // Time and packets in.
            for index in endpoints.indices { endpoints[index].receive(at: now) }
            for endpoint in endpoints where endpoint.engine.deadline <= now {
                endpoint.engine.wake(at: now)
            }
            // What came of it, until there is nothing more; events first.
            while let event = server.engine.nextEvent() { print("server: \(event)") }
            while let event = client.engine.nextEvent() { print("client: \(event)") }
            while let (flow, bytes) = server.engine.nextDatagram() {
                let echo = [UInt8](bytes)
                echo.withUnsafeBytes { server.engine.send($0, on: flow, at: now) }
            }
            while client.engine.nextDatagram() != nil { answers += 1 }
            // Packets out, last: whatever was decided above leaves now.
            for index in endpoints.indices { endpoints[index].transmit(at: now) }
            sleep(endpoints)
        }
        print("event loop: \(answers) datagrams came back")
    }
}
