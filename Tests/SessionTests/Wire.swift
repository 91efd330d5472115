import PostQuantum
import Primitives
import Recovery
import Sealing
import Testing

@testable import Session

/// A client and a server engine joined by a wire of fixed delay in virtual time.
final class Wire {
    let client: Engine
    private(set) var server: Engine
    /// What the server was told at its start.
    let directory: PeerDirectory
    private let makeServer: (Instant) -> Engine
    var clientAddress = SocketAddress(ipv4: 0xC000_0201, port: 5000)
    let serverAddress = SocketAddress(ipv4: 0xC633_6401, port: 4600)
    var now = Instant(nanoseconds: 1_000_000_000)
    var delay = Instant.Interval.milliseconds(10)
    /// Packets for this address go nowhere.
    var lostDestination: SocketAddress?
    /// The same for any number of addresses.
    var deadAddresses: Set<SocketAddress> = []
    /// Larger packets vanish without a word.
    var largestPacket = Int.max
    /// Says whether a packet arrives; asked for each.
    var passes: (_ fromClient: Bool) -> Bool = { _ in true }
    var clientEvents: [EngineEvent] = []
    var serverEvents: [EngineEvent] = []
    var onServerStream: (StreamHandle, OpenRequest) -> Void = { _, _ in }
    /// Datagrams the server's flows got; each is sent back as it came.
    var serverDatagrams: [[UInt8]] = []
    var clientDatagrams: [[UInt8]] = []
    private var inFlight: [(at: Instant, toServer: Bool, from: SocketAddress, bytes: [UInt8])] = []
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 64)
    var packetCount = 0
    /// Of every packet's tag, which depends on every byte of it.
    var fingerprint: UInt64 = 0
    /// Bytes sent to ``lostDestination``.
    var lostByteCount = 0
    /// UDP payload that the client sent from an address, and that the server sent to it.
    var bytesFrom: [SocketAddress: Int] = [:]
    var bytesTo: [SocketAddress: Int] = [:]

    init(
        services: [String] = ["*"],
        clientKnown: Bool = true,
        seed: UInt64 = 1,
        limits: EngineLimits = EngineLimits(),
        serverPacketSize: Int? = nil,
        allowsCompression: Bool = true,
        presharedKeys: (client: PresharedKey?, server: PresharedKey?) = (nil, nil),
        postQuantum: (client: PostQuantumPolicy, server: PostQuantumPolicy) = (.off, .off),
        mechanism: KeyEncapsulation = .mlKEM768
    ) {
        let entropy = EntropySource.seeded(seed)
        let serverKey = SecretKey(entropy: entropy)
        let clientKey = SecretKey(entropy: entropy)
        var peer = Peer(name: "edge", publicKey: clientKey.publicKey, services: services)
        peer.presharedKey = presharedKeys.server
        self.directory = PeerDirectory(
            peers: clientKnown ? [peer] : [],
            services: [
                .init(
                    name: "echo",
                    serviceProtocol: .tcp,
                    allowsCompression: allowsCompression
                ),
                .init(
                    name: "voice",
                    serviceProtocol: .udp,
                    allowsCompression: allowsCompression
                ),
            ]
        )
        var serverSettings = ServerSettings(privateKey: serverKey, directory: self.directory)
        serverSettings.maximumPacketSize = serverPacketSize
        serverSettings.postQuantum = PostQuantumChoice(postQuantum.server, by: mechanism)
        self.makeServer = { [serverSettings] now in
            Engine(
                server: serverSettings,
                limits: limits,
                entropy: entropy,
                at: now
            )
        }
        self.server = self.makeServer(self.now)
        var clientSettings = ClientSettings(
            servers: [self.serverAddress],
            serverPublicKey: serverKey.publicKey,
            privateKey: clientKey
        )
        clientSettings.presharedKey = presharedKeys.client
        clientSettings.postQuantum = PostQuantumChoice(postQuantum.client, by: mechanism)
        self.client = Engine(
            client: clientSettings,
            limits: limits,
            entropy: entropy,
            at: self.now
        )
    }

    deinit { self.buffer.deallocate() }

    /// The server's process dies and another takes its place, with nothing but the keys.
    func restartServer() { self.server = self.makeServer(self.now) }

    private func drain(_ engine: Engine, fromClient: Bool) {
        while let transmit = engine.nextTransmit(into: self.buffer, at: self.now) {
            var start = 0
            while start < transmit.byteCount {
                let end = min(transmit.byteCount, start + transmit.segmentSize)
                self.packetCount += 1
                for byte in self.buffer[max(start, end - 8)..<end] {
                    self.fingerprint = (self.fingerprint ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
                }
                if fromClient {
                    self.bytesFrom[self.clientAddress, default: 0] += end - start
                } else {
                    self.bytesTo[transmit.destination, default: 0] += end - start
                }
                if transmit.destination == self.lostDestination {
                    self.lostByteCount += end - start
                }
                if self.passes(fromClient), transmit.destination != self.lostDestination,
                    !self.deadAddresses.contains(transmit.destination),
                    end - start <= self.largestPacket
                {
                    self.inFlight.append(
                        (
                            self.now + self.delay, fromClient,
                            fromClient ? self.clientAddress : self.serverAddress,
                            [UInt8](self.buffer[start..<end])
                        )
                    )
                }
                start = end
            }
        }
        while let (flow, bytes) = engine.nextDatagram() {
            let copy = [UInt8](bytes)
            if fromClient {
                self.clientDatagrams.append(copy)
            } else {
                self.serverDatagrams.append(copy)
                copy.withUnsafeBytes { engine.send($0, on: flow, at: self.now) }
            }
        }
        while let event = engine.nextEvent() {
            if fromClient {
                self.clientEvents.append(event)
            } else {
                self.serverEvents.append(event)
                if case .streamOpened(let handle, _, let request) = event {
                    self.onServerStream(handle, request)
                }
            }
        }
    }

    /// Lets the world run for `interval`; `act` is called after every step.
    func run(_ interval: Instant.Interval, act: () -> Void = {}) {
        let end = self.now + interval
        while true {
            self.drain(self.client, fromClient: true)
            self.drain(self.server, fromClient: false)
            act()
            self.drain(self.client, fromClient: true)
            self.drain(self.server, fromClient: false)
            let next = min(
                self.inFlight.first?.at ?? .never,
                self.client.deadline,
                self.server.deadline
            )
            guard next <= end else { break }
            self.now = max(self.now, next)
            while let first = self.inFlight.first, first.at <= self.now {
                var packet = self.inFlight.removeFirst()
                _ = packet.bytes.withUnsafeMutableBytes {
                    (packet.toServer ? self.server : self.client).receive(
                        $0,
                        from: packet.from,
                        at: self.now
                    )
                }
            }
            self.client.wake(at: self.now)
            self.server.wake(at: self.now)
        }
        self.now = end
    }
}

extension Wire {
    /// Seals frames under the client's keys, whatever they say, and gives them to the server at
    /// once.
    func forge(_ frames: [(type: UInt8, body: [UInt8])], from source: SocketAddress) throws {
        var packet = try self.sealed(frames)
        packet.withUnsafeMutableBytes {
            _ = self.server.receive($0, from: source, at: self.now)
        }
    }

    /// The same the other way.
    func forgeFromServer(_ frames: [(type: UInt8, body: [UInt8])]) throws {
        var packet = try self.sealed(frames, by: self.server)
        packet.withUnsafeMutableBytes {
            _ = self.client.receive($0, from: self.serverAddress, at: self.now)
        }
    }

    /// These frames under the client's keys, or those of `sender`.
    func sealed(
        _ frames: [(type: UInt8, body: [UInt8])],
        by sender: Engine? = nil
    ) throws -> [UInt8] {
        let session = try #require((sender ?? self.client).sessions.compactMap { $0 }.first)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1500, alignment: 64)
        defer { buffer.deallocate() }
        var packet = session.leg.begin(try #require(buffer.baseAddress), size: 1400)
        for frame in frames {
            var writer = packet.frameBody
            frame.body.withUnsafeBytes { writer.write($0) }
            packet.append(frame.type, writer)
        }
        let length = session.seal(packet, to: session.leg.path.address, at: self.now)
        return [UInt8](buffer[..<length])
    }
}

extension Engine {
    /// Writes as much of `bytes` as there is room for and returns how much that was.
    func write(_ bytes: ArraySlice<UInt8>, to handle: StreamHandle, at now: Instant) -> Int {
        var written = 0
        while written < bytes.count {
            let region = self.beginWrite(to: handle)
            guard !region.isEmpty else { break }
            let count = min(region.count, bytes.count - written)
            let start = bytes.startIndex + written
            region.copyBytes(from: bytes[start..<start + count])
            self.wrote(count, to: handle, at: now)
            written += count
        }
        return written
    }

    /// Takes everything that can be read.
    func readAll(_ handle: StreamHandle, at now: Instant) -> [UInt8] {
        var all: [UInt8] = []
        while true {
            let region = self.beginRead(from: handle)
            guard !region.isEmpty else { return all }
            all += region
            self.consumed(region.count, from: handle, at: now)
        }
    }
}
