public import Erasure
public import Netem
public import Primitives
public import Session
import Sealing

/// A game's rhythm over an impaired path: what is measured, and on which path.
public struct EchoSettings: Sendable {
    /// What each direction of the path does, the delay aside, which ``roundTrip`` gives.
    public var impairment = Impairment()
    /// The round trip of the empty path.
    public var roundTrip = Instant.Interval.milliseconds(60)
    /// Flows of one session.
    public var flows = 1
    /// How long messages are sent, in seconds.
    public var seconds: UInt64 = 60
    /// The rate of each flow, evenly spaced.
    public var messagesPerSecond: UInt64 = 60
    /// The payload of each message, in bytes.
    public var messageByteCount = 100
    /// `fec` of both ends.
    public var redundancy = RedundancyLevel.auto
    /// `delivery` of the flows.
    public var delivery = Delivery.datagram
    /// `max_age` of the flows, for delivery by deadline.
    public var maximumAge = Instant.Interval.milliseconds(150)
    /// `class` of the flows or streams.
    public var trafficClass = TrafficClass.auto
    /// A TCP connection for each flow instead of datagrams.
    public var isStream = false
    /// A download beside it that takes all the link has.
    public var hasBulk = false
    /// Seconds at the start whose messages are not looked at.
    public var warmUp: UInt64 = 0

    /// One flow like a game's, for a minute on a clean path of 60 ms.
    public init() {}
}

/// What became of the messages of one trial, or of several pooled.
public struct EchoResult: Sendable {
    /// Messages that were sent and are looked at.
    public var sent = 0
    /// Microseconds from sending to the echo, of every message whose echo came.
    public var roundTrips: [UInt32] = []
    /// Echoes that came once more, which must not be.
    public var duplicates = 0
    /// Packets and UDP payload both ways.
    public var packets: UInt64 = 0
    /// The same in bytes of UDP payload.
    public var bytes: UInt64 = 0
    /// What the engines counted as redundancy, both ways.
    public var redundancyBytes: UInt64 = 0
    /// Seconds of sending, summed over the flows.
    public var flowSeconds: UInt64 = 0
    /// What the download brought.
    public var bulkBytes: UInt64 = 0
    /// Undelivered messages that were sent in the first five seconds.
    public var earlyLosses = 0

    /// Nothing sent yet.
    public init() {}

    /// Share of messages without an echo, from 0 to 1.
    public var undelivered: Double { 1 - Double(self.roundTrips.count) / Double(max(1, self.sent)) }

    /// IP bytes per message and direction, acknowledgements and all else included.
    public var bytesPerMessage: Double {
        Double(self.bytes + 28 * self.packets) / Double(max(1, 2 * self.sent))
    }

    /// Packets per message and direction.
    public var packetsPerMessage: Double { Double(self.packets) / Double(max(1, 2 * self.sent)) }

    /// The download, in Mbit/s of one flow's time.
    public var bulkRate: Double {
        Double(self.bulkBytes) * 8 / 1e6 / Double(max(1, self.flowSeconds))
    }

    /// Redundancy of a flow and direction, in kbit/s.
    public var redundancyRate: Double {
        Double(self.redundancyBytes) * 8 / 1000 / Double(max(1, 2 * self.flowSeconds))
    }

    /// Milliseconds; infinite where so many messages are missing.
    ///
    /// The messages that never came count as the slowest.
    public func quantile(_ share: Double) -> Double {
        let sorted = self.roundTrips.sorted()
        let rank = Int((Double(self.sent) * share).rounded(.up)) - 1
        return rank < sorted.count ? Double(sorted[max(0, rank)]) / 1000 : .infinity
    }

    /// Share of messages without an echo in `limit`.
    public func undelivered(within limit: Instant.Interval) -> Double {
        let late = self.roundTrips.count { UInt64($0) > limit.microseconds }
        return self.undelivered + Double(late) / Double(max(1, self.sent))
    }

    /// The figures in a line.
    public var summary: String {
        let missing = self.sent - self.roundTrips.count
        return "\(missing) of \(self.sent) undelivered, p50 \(self.quantile(0.5)) ms, "
            + "p99 \(self.quantile(0.99)) ms, redundancy \(self.redundancyRate) kbit/s, "
            + "\(self.bytesPerMessage) bytes a message, \(self.duplicates) duplicates"
    }

    /// Pools another result with this one.
    public mutating func add(_ other: Self) {
        self.sent += other.sent
        self.roundTrips += other.roundTrips
        self.duplicates += other.duplicates
        self.packets += other.packets
        self.bytes += other.bytes
        self.redundancyBytes += other.redundancyBytes
        self.flowSeconds += other.flowSeconds
        self.bulkBytes += other.bulkBytes
        self.earlyLosses += other.earlyLosses
    }
}

/// One session of the shipped engines over a ``Link`` each way, with flows whose every message
/// is echoed at the far end, in virtual time.
///
/// The link is bad from the first packet on, so that each trial starts cold.
public final class EchoTrial {
    private static let serverAddress = SocketAddress(ipv4: 0xC633_6401, port: 4600)
    private static let clientAddress = SocketAddress(ipv4: 0xC000_0201, port: 5000)

    private let settings: EchoSettings
    private let client: Engine
    private let server: Engine
    private let up: Link
    private let down: Link
    private var now = Instant(nanoseconds: 1_000_000_000)
    private var handles: [FlowHandle] = []
    private var streams: [StreamHandle] = []
    /// Bytes of each stream that have come back.
    private var echoedBytes: [Int] = []
    private var download: StreamHandle?
    private var upload: StreamHandle?
    private var sentAt: [[Instant]] = []
    private var hasEcho: [[Bool]] = []
    private var result = EchoResult()
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 64)
    private let packet = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 64)

    /// A trial before its first instant; keys and links draw from `seed`.
    public init(_ settings: EchoSettings, seed: UInt64) {
        self.settings = settings
        let entropy = EntropySource.seeded(seed)
        let serverKey = SecretKey(entropy: entropy)
        let clientKey = SecretKey(entropy: entropy)
        let directory = PeerDirectory(
            peers: [Peer(name: "edge", publicKey: clientKey.publicKey, services: ["*"])],
            services: [
                .init(
                    name: "game",
                    serviceProtocol: settings.isStream ? .tcp : .udp,
                    allowsCompression: false,
                    redundancy: settings.redundancy
                ),
                .init(name: "bulk", serviceProtocol: .tcp, allowsCompression: false),
            ]
        )
        var serverSettings = ServerSettings(privateKey: serverKey, directory: directory)
        serverSettings.redundancy = settings.redundancy
        var clientSettings = ClientSettings(
            servers: [Self.serverAddress],
            serverPublicKey: serverKey.publicKey,
            privateKey: clientKey
        )
        clientSettings.redundancy = settings.redundancy
        let limits = EngineLimits()
        self.server = Engine(server: serverSettings, limits: limits, entropy: entropy, at: self.now)
        self.client = Engine(client: clientSettings, limits: limits, entropy: entropy, at: self.now)
        var impairment = settings.impairment
        impairment.delay = settings.roundTrip / 2
        self.up = Link(impairment: impairment, seed: seed &* 2 &+ 77)
        self.down = Link(impairment: impairment, seed: seed &* 2 &+ 78)
    }

    deinit {
        self.buffer.deallocate()
        self.packet.deallocate()
    }

    /// Runs the trial to its end, two seconds after the last message.
    public func run() -> EchoResult {
        self.openFlows()
        while !self.client.isSessionUp, self.now < Instant(nanoseconds: 20_000_000_000) {
            self.pass(until: self.now + .milliseconds(50))
        }
        let before = (self.up.counters, self.down.counters)
        let start = self.now
        let flows = UInt64(self.settings.flows)
        let rate = self.settings.messagesPerSecond * flows
        for index in 0..<self.settings.seconds * rate {
            self.pass(until: start + .seconds(1) * index / rate)
            self.send(on: Int(index % flows))
        }
        self.result.packets =
            self.up.counters.sent - before.0.sent + self.down.counters.sent - before.1.sent
        self.result.bytes =
            self.up.counters.bytesSent - before.0.bytesSent + self.down.counters.bytesSent
            - before.1.bytesSent
        self.pass(until: self.now + .seconds(2))
        self.result.flowSeconds = self.settings.seconds * flows
        for engine in [self.client, self.server] {
            self.result.redundancyBytes += engine.snapshot(at: self.now).counters.redundancyBytes
        }
        let early = Int(5 * self.settings.messagesPerSecond)
        for echoes in self.hasEcho { self.result.earlyLosses += echoes.prefix(early).count { !$0 } }
        return self.result
    }

    /// What the engines dropped, by reason, for whoever looks for a fault.
    public var counters: [EngineCounters] {
        [self.client, self.server].map { $0.snapshot(at: self.now).counters }
    }

    private func openFlows() {
        if self.settings.hasBulk {
            let request = OpenRequest(service: "bulk", serviceProtocol: .tcp)
            self.download = self.client.openStream(request, at: self.now)
        }
        for _ in 0..<self.settings.flows {
            var request = OpenRequest(service: "game", serviceProtocol: .udp)
            request.delivery = self.settings.delivery
            request.maximumAge = self.settings.maximumAge
            request.trafficClass = self.settings.trafficClass
            request.redundancy = self.settings.redundancy
            if self.settings.isStream {
                request.serviceProtocol = .tcp
                request.delivery = .datagram
                guard let stream = self.client.openStream(request, at: self.now) else { continue }
                self.streams.append(stream)
                self.echoedBytes.append(0)
            } else {
                guard let handle = self.client.openFlow(request, at: self.now) else { continue }
                self.handles.append(handle)
            }
            self.sentAt.append([])
            self.hasEcho.append([])
        }
    }

    private func send(on flow: Int) {
        let message = UnsafeMutableRawBufferPointer(
            rebasing: self.packet[..<max(8, self.settings.messageByteCount)]
        )
        message.initializeMemory(as: UInt8.self, repeating: UInt8(truncatingIfNeeded: flow))
        message.storeBytes(of: UInt32(flow), as: UInt32.self)
        message.storeBytes(of: UInt32(self.sentAt[flow].count), toByteOffset: 4, as: UInt32.self)
        self.sentAt[flow].append(self.now)
        self.hasEcho[flow].append(false)
        if self.isMeasured(self.sentAt[flow].count - 1) { self.result.sent += 1 }
        if self.settings.isStream {
            var start = 0
            while start < message.count {
                let room = self.client.beginWrite(to: self.streams[flow])
                let end = min(message.count, start + room.count)
                guard end > start else { break }
                room.copyMemory(from: UnsafeRawBufferPointer(rebasing: message[start..<end]))
                self.client.wrote(end - start, to: self.streams[flow], at: self.now)
                start = end
            }
        } else {
            let bytes = UnsafeRawBufferPointer(message)
            self.client.send(bytes, on: self.handles[flow], at: self.now)
        }
        self.drain()
    }

    private func echoed(_ bytes: UnsafeRawBufferPointer) {
        let flow = Int(bytes.loadUnaligned(as: UInt32.self))
        let number = Int(bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        self.echoed(flow, number)
    }

    private func echoed(_ flow: Int, _ number: Int) {
        guard !self.hasEcho[flow][number] else {
            self.result.duplicates += 1
            return
        }
        self.hasEcho[flow][number] = true
        guard self.isMeasured(number) else { return }
        let roundTrip = self.now.since(self.sentAt[flow][number])
        self.result.roundTrips.append(UInt32(clamping: roundTrip.microseconds))
    }

    private func isMeasured(_ number: Int) -> Bool {
        UInt64(number) >= self.settings.warmUp * self.settings.messagesPerSecond
    }

    // MARK: Time

    private func pass(until end: Instant) {
        self.drain()
        while true {
            let next = min(
                min(self.client.deadline, self.server.deadline),
                min(self.up.deadline, self.down.deadline)
            )
            guard next <= end else { break }
            self.now = max(self.now, next)
            while let delivery = self.up.nextDelivery(at: self.now) {
                self.give(delivery.bytes, to: self.server, from: Self.clientAddress)
            }
            while let delivery = self.down.nextDelivery(at: self.now) {
                self.give(delivery.bytes, to: self.client, from: Self.serverAddress)
            }
            if self.client.deadline <= self.now { self.client.wake(at: self.now) }
            if self.server.deadline <= self.now { self.server.wake(at: self.now) }
            self.drain()
        }
        self.now = max(self.now, end)
    }

    private func give(
        _ bytes: UnsafeRawBufferPointer,
        to engine: Engine,
        from source: SocketAddress
    ) {
        self.packet.copyMemory(from: bytes)
        engine.receive(.init(rebasing: self.packet[..<bytes.count]), from: source, at: self.now)
    }

    private func drain() {
        while let event = self.server.nextEvent() {
            if case .streamOpened(let stream, _, let request) = event, request.service == "bulk" {
                self.upload = stream
            }
        }
        while let (flow, bytes) = self.server.nextDatagram() {
            self.server.send(bytes, on: flow, at: self.now)
        }
        while self.client.nextEvent() != nil {}
        if self.settings.isStream || self.settings.hasBulk { self.drainStreams() }
        while let (_, bytes) = self.client.nextDatagram() { self.echoed(bytes) }
        self.transmit(self.client, to: self.up)
        self.transmit(self.server, to: self.down)
    }

    /// The server sends back what it reads; the client counts what has come back.
    private func drainStreams() {
        self.fillDownload()
        while let stream = self.server.nextReadyStream() {
            while stream != self.upload {
                let region = self.server.beginRead(from: stream)
                let room = self.server.beginWrite(to: stream)
                let count = min(region.count, room.count)
                guard count > 0 else { break }
                room.copyMemory(from: UnsafeRawBufferPointer(rebasing: region[..<count]))
                self.server.wrote(count, to: stream, at: self.now)
                self.server.consumed(count, from: stream, at: self.now)
            }
        }
        while let stream = self.client.nextReadyStream() {
            if stream == self.download {
                while true {
                    let count = self.client.beginRead(from: stream).count
                    guard count > 0 else { break }
                    self.client.consumed(count, from: stream, at: self.now)
                    self.result.bulkBytes += UInt64(count)
                }
            }
            guard let flow = self.streams.firstIndex(of: stream) else { continue }
            while true {
                let count = self.client.beginRead(from: stream).count
                guard count > 0 else { break }
                self.client.consumed(count, from: stream, at: self.now)
                self.echoedBytes[flow] += count
            }
            let size = max(8, self.settings.messageByteCount)
            var number = self.hasEcho[flow].firstIndex(of: false) ?? 0
            while number < self.hasEcho[flow].count, (number + 1) * size <= self.echoedBytes[flow] {
                self.echoed(flow, number)
                number += 1
            }
        }
    }

    private func fillDownload() {
        guard let upload = self.upload else { return }
        while true {
            let room = self.server.beginWrite(to: upload)
            guard !room.isEmpty else { return }
            room.initializeMemory(as: UInt8.self, repeating: 0)
            self.server.wrote(room.count, to: upload, at: self.now)
        }
    }

    private func transmit(_ engine: Engine, to link: Link) {
        while let transmit = engine.nextTransmit(into: self.buffer, at: self.now) {
            var start = 0
            while start < transmit.byteCount {
                let end = min(transmit.byteCount, start + transmit.segmentSize)
                link.send(UnsafeRawBufferPointer(rebasing: self.buffer[start..<end]), at: self.now)
                start = end
            }
        }
    }
}
