import Configuration
import Glibc
import LinuxIO
import PostQuantum
import Primitives
import Recovery
import Runtime
import Sealing
import Session

/// A client of its own for a few seconds: the shipped engine over a socket that serves nobody else.
///
/// To the server it is one more session of the same key, and it says goodbye.
final class TunnelProbe {
    enum Answer {
        case session
        case failure(ConnectFailure)
        /// Nothing, not even a refusal.
        case silence(ServerReach.Finding)
    }

    /// What became of one service.
    enum Permission: Equatable {
        case granted
        case refused(ResetReason)
    }

    struct Quality {
        var roundTrip: Instant.Interval
        var packetSize: Int
        var sent: Int
        var lost: Int
    }

    private static let handshakePatience = Instant.Interval.milliseconds(3_000)
    /// A backend that refuses is told within a second and a round trip.
    private static let openingPatience = Instant.Interval.milliseconds(1_300)
    private static let searchPatience = Instant.Interval.milliseconds(2_500)
    private static let probeInterval = Instant.Interval.milliseconds(50)

    private let server: SocketAddress
    private let socket: UDPSocket
    private let poller: Poller
    private let engine: Engine
    private let outgoing = SendBatch()
    private let incoming = ReceiveBatch()
    private let clock = BootClock()
    private var isUp = false
    private var failure: ConnectFailure?
    private var refusedStreams: [StreamHandle: ResetReason] = [:]
    private var refusedFlows: [FlowHandle: ResetReason] = [:]

    init(
        _ loaded: LoadedConfiguration<ClientConfiguration>,
        server: SocketAddress
    ) throws(IOError) {
        let configuration = loaded.configuration
        var options = UDPOptions()
        options.forbidsFragments = true
        let any = server.isIPv4 ? SocketAddress.anyIPv4(port: 0) : .anyIPv6(port: 0)
        self.server = server
        self.socket = try UDPSocket(binding: any, options: options)
        self.poller = try Poller()
        try self.poller.add(self.socket.descriptor, token: 0, interest: .readable)
        var settings = ClientSettings(
            servers: [server],
            serverPublicKey: configuration.serverPublicKey,
            privateKey: loaded.privateKey
        )
        settings.presharedKey = loaded.presharedKey
        settings.cipher = configuration.transport.cipher
        settings.postQuantum = PostQuantumChoice(
            configuration.transport.postQuantum,
            by: .mlKEM768
        )
        settings.maximumPacketSize = configuration.transport.maximumPacketSize
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let wall = UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
        let now = self.clock.now()
        settings.wallClockOffset = wall &- now.nanoseconds / 1_000_000
        self.engine = Engine(client: settings, limits: EngineLimits(), entropy: .kernel(), at: now)
    }

    // MARK: Questions

    /// Shakes hands, or finds out why not.
    func connect() -> Answer {
        let reach = ServerReach(self.server)
        self.turn(atMost: Self.handshakePatience) { self.isUp || self.failure != nil }
        if self.isUp { return .session }
        if let failure = self.failure, failure != .serverSilent { return .failure(failure) }
        return .silence(reach.finding())
    }

    /// Opens what each forward would, and closes it again; the answers in the order of `forwards`.
    func permissions(_ forwards: [Forward]) -> [Permission] {
        let now = self.clock.now()
        var streams: [Int: StreamHandle] = [:]
        var flows: [Int: FlowHandle] = [:]
        for (index, forward) in forwards.enumerated() {
            let isTCP = forward.transportProtocol == .tcp
            var request = OpenRequest(
                service: forward.service,
                serviceProtocol: isTCP ? .tcp : .udp
            )
            request.isCompressed = forward.isCompressed
            if isTCP {
                streams[index] = self.engine.openStream(request, at: now)
            } else if let flow = self.engine.openFlow(request, at: now) {
                flows[index] = flow
                // The request travels with a datagram; an empty one asks a backend for nothing.
                self.engine.send(UnsafeRawBufferPointer(start: nil, count: 0), on: flow, at: now)
            }
        }
        self.turn(atMost: Self.openingPatience) {
            self.refusedStreams.count == streams.count && self.refusedFlows.count == flows.count
        }
        let answers = forwards.indices.map { index -> Permission in
            let reason =
                streams[index].flatMap { self.refusedStreams[$0] }
                ?? flows[index].flatMap { self.refusedFlows[$0] }
            return reason.map { .refused($0) } ?? .granted
        }
        let end = self.clock.now()
        for stream in streams.values where self.refusedStreams[stream] == nil {
            self.engine.reset(stream, reason: .aborted, at: end)
        }
        for flow in flows.values where self.refusedFlows[flow] == nil {
            self.engine.closeFlow(flow, reason: .idle, at: end)
        }
        return answers
    }

    /// Measures the path with `count` probes of its own.
    func quality(probes count: Int) -> Quality? {
        // Only a size that is settled is worth telling.
        var size = 0
        var steady = 0
        self.turn(atMost: Self.searchPatience, every: .milliseconds(100)) {
            let now = self.session?.packetSize ?? 0
            steady = now == size ? steady + 1 : 0
            size = now
            return steady > 10
        }
        let before = self.snapshot.counters.packetsLost
        for _ in 0..<count {
            self.engine.ping(at: self.clock.now())
            self.turn(atMost: Self.probeInterval) { false }
        }
        guard let roundTrip = self.session?.roundTrip else { return nil }
        // Until the last is acknowledged or given up.
        self.turn(atMost: max(.milliseconds(500), roundTrip * 4)) { false }
        guard let session = self.session else { return nil }
        let lost = self.snapshot.counters.packetsLost &- before
        return Quality(
            roundTrip: session.roundTrip,
            packetSize: session.packetSize,
            sent: count,
            lost: min(count, Int(clamping: lost))
        )
    }

    /// Says goodbye.
    func close() {
        self.engine.shutDown(at: self.clock.now())
        self.transmit(at: self.clock.now())
    }

    private var snapshot: EngineSnapshot { self.engine.snapshot(at: self.clock.now()) }

    private var session: SessionSnapshot? { self.snapshot.sessions.first }

    // MARK: The loop

    /// Works until `isDone`, which is asked whenever something happened and `every` so often.
    private func turn(
        atMost patience: Instant.Interval,
        every interval: Instant.Interval = .seconds(10),
        until isDone: () -> Bool
    ) {
        let end = self.clock.now() + patience
        while true {
            var now = self.clock.now()
            self.transmit(at: now)
            self.takeEvents()
            guard !isDone(), now < end else { return }
            let deadline = min(self.engine.deadline, end, now + interval)
            guard (try? self.poller.wait(atMost: deadline.since(now))) != nil else { return }
            now = self.clock.now()
            while self.socket.receive(into: self.incoming) > 0 {
                while let packet = self.incoming.next() {
                    self.engine.receive(packet.bytes, from: packet.source, at: now)
                }
            }
            if self.engine.deadline <= now { self.engine.wake(at: now) }
            while self.engine.nextDatagram() != nil {}
            while self.engine.nextReadyStream() != nil {}
        }
    }

    private func transmit(at now: Instant) {
        while let buffer = self.outgoing.freeBuffer,
            let transmit = self.engine.nextTransmit(into: buffer, at: now)
        {
            self.outgoing.commit(
                byteCount: transmit.byteCount,
                segmentSize: transmit.segmentSize,
                to: transmit.destination,
                from: nil
            )
        }
        // A full socket takes the rest at the next turn.
        _ = self.socket.send(self.outgoing)
    }

    private func takeEvents() {
        while let event = self.engine.nextEvent() {
            switch event {
            case .sessionUp: self.isUp = true
            case .sessionDown: self.isUp = false
            case .connectFailed(let failure, _): self.failure = failure
            case .streamReset(let handle, let reason): self.refusedStreams[handle] = reason
            case .flowClosed(let handle, let reason): self.refusedFlows[handle] = reason
            default: break
            }
        }
    }
}
