import LinuxIO
import Origin
import Primitives
import ReturnPath
import Session

/// What a worker is made of; whatever can fail has been done before.
struct WorkerParts {
    let index: Int
    let engine: Engine
    let tunnel: [UDPSocket]
    /// Of all workers, by index.
    let mailboxes: [Mailbox]
    let log: EventLog
    let side: WorkerSide
    /// Servers only.
    var monitor: HealthMonitor?
    /// Looks names up again that lead nowhere.
    var resolver: Resolver?
    var dialer: TransparentDialer?
    /// Servers only; see ``PseudoIPv4``.
    var pseudonyms = HashKey(first: 0, second: 0)
}

/// Which end of the tunnel this is.
enum WorkerSide {
    case client, server
}

/// One thread's share of the process: an engine, its sockets and its part of the players.
///
/// Workers share nothing but their mailboxes. A turn of the loop is: sleep until a socket, an order
/// or the engine's deadline; read the clock once; take in what the sockets have, a bounded amount
/// of each; then carry out everything the engine asks for.
final class Worker {
    /// What a worker does at its end of the tunnel.
    private enum Side {
        case client(ClientSide)
        case server(ServerSide)
    }

    /// Buffers received from one tunnel socket per turn, of 512 KiB at most.
    private static let receiveRounds = 2
    /// The same with those of which every packet has to wait.
    private static let mostReceiveRounds = 64
    /// Buffers sent per turn, of 512 KiB at most.
    private static let sendRounds = 2
    /// Bytes read from all TCP sockets together per turn, and the least for each.
    private static let streamBudget = 1 << 20
    private static let leastStreamBudget = 16 << 10

    let index: Int
    let engine: Engine
    let log: EventLog
    let poller: Poller
    let clock = BootClock()
    let tallies = Tallies()
    let tunnel: TunnelPort
    let received = ReceiveBatch()
    let streams: StreamRelay
    let sender: DatagramSender
    private let side: Side
    private let mailboxes: [Mailbox]
    private var isStopped = false
    private var hasMoreToSend = false
    /// Servers only.
    var openings = Openings()
    private var waiting = WaitingPackets()
    private let resolver: Resolver?
    /// When a client without an answer has its server's names looked up again.
    private var lookAgainAt = Instant.never
    /// Why this client has no session, as its log told.
    var outage = Outage()

    init(_ parts: WorkerParts) throws(IOError) {
        self.index = parts.index
        self.engine = parts.engine
        self.log = parts.log
        self.mailboxes = parts.mailboxes
        self.resolver = parts.side == .client ? parts.resolver : nil
        self.poller = try Poller()
        let seed: UInt64 = EntropySource.kernel().next()
        self.tunnel = TunnelPort(sockets: parts.tunnel, seed: seed)
        self.streams = StreamRelay(
            engine: parts.engine,
            poller: self.poller,
            tallies: self.tallies,
            readsUp: parts.side == .client
        )
        self.sender = DatagramSender(tallies: self.tallies)
        let common = SideParts(
            engine: parts.engine,
            poller: self.poller,
            tallies: self.tallies,
            streams: self.streams,
            sender: self.sender,
            received: self.received,
            log: parts.log
        )
        switch parts.side {
        case .client: self.side = .client(ClientSide(common, seed: seed))
        case .server:
            let circle = ServerSide.Circle(
                siblings: parts.mailboxes.enumerated().filter { $0.offset != parts.index }
                    .map(\.element),
                monitor: parts.monitor,
                resolver: parts.resolver
            )
            let server = ServerSide(
                common,
                circle: circle,
                dialer: parts.dialer,
                pseudonyms: parts.pseudonyms
            )
            self.side = .server(server)
        }
        self.streams.stalled = { [unowned self] service in self.logStall(service) }
        try self.poller.add(
            parts.mailboxes[parts.index].wakeUp.descriptor,
            token: Token(.mailbox, slot: 0).rawValue,
            interest: .readable
        )
        for (index, socket) in parts.tunnel.enumerated() {
            try self.poller.add(
                socket.descriptor,
                token: Token(.tunnel, slot: index).rawValue,
                interest: .readable
            )
        }
    }

    /// The side, if this is a client's worker.
    var client: ClientSide? { if case .client(let client) = self.side { client } else { nil } }

    /// The side, if this is a server's worker.
    var server: ServerSide? { if case .server(let server) = self.side { server } else { nil } }

    /// Works until told to shut down.
    func run() throws(IOError) {
        while !self.isStopped {
            try self.turn()
        }
    }

    private func turn() throws(IOError) {
        let count = try self.poller.wait(atMost: self.patience())
        let now = self.clock.now()
        self.hasMoreToSend = false
        self.engine.beginTurn()
        let budget = max(Self.leastStreamBudget, Self.streamBudget / max(count, 1))
        for event in 0..<count {
            self.dispatch(
                Token(rawValue: self.poller.token(event)),
                self.poller.readiness(event),
                budget,
                now
            )
        }
        if self.engine.deadline <= now { self.engine.wake(at: now) }
        switch self.side {
        case .client(let client): client.expire(at: now)
        case .server(let server): server.expire(at: now)
        }
        if self.outage.deadline <= now { self.tellSilence(at: now) }
        self.receiveWaiting(at: now)
        self.openWaiting(at: now)
        self.lookAgain(at: now)
        self.carryOut(at: now)
    }

    /// From one look-up to the next while nothing answers.
    private static let lookUpPause = Instant.Interval.seconds(3)

    /// A server that does not answer may be elsewhere; in time with the handshakes, which wake this
    /// thread anyway.
    private func lookAgain(at now: Instant) {
        guard let resolver = self.resolver else { return }
        guard !self.engine.isSessionUp || self.engine.isSessionInDoubt else {
            self.lookAgainAt = .never
            return
        }
        if self.lookAgainAt == .never {
            // The first handshake has its chance; a session has had it when it is in doubt.
            self.lookAgainAt = self.engine.isSessionInDoubt ? now : now + .seconds(1)
        }
        guard self.lookAgainAt <= now else { return }
        self.lookAgainAt = now + Self.lookUpPause
        resolver.doubtAll()
    }

    /// How long to sleep; `nil` for ever.
    private func patience() -> Instant.Interval? {
        if self.hasMoreToSend || !self.openings.isEmpty || !self.waiting.isEmpty { return .zero }
        var deadline = min(self.engine.deadline, self.outage.deadline)
        switch self.side {
        case .client(let client): deadline = min(deadline, client.deadline)
        case .server(let server): deadline = min(deadline, server.deadline)
        }
        return deadline == .never ? nil : deadline.since(self.clock.now())
    }

    @inline(__always)
    private func dispatch(
        _ token: Token,
        _ readiness: Readiness,
        _ budget: Int,
        _ now: Instant
    ) {
        switch token.kind {
        case .tunnel:
            if readiness.contains(.writable) { self.resumeTunnel(token.slot) }
            if !readiness.isDisjoint(with: [.readable, .failed]) {
                self.receiveTunnel(token.slot, at: now)
            }
        case .stream:
            let slot = UInt32(token.slot)
            let handle = StreamHandle(slot: slot, generation: token.generation)
            if let server = self.server, server.isConnecting(handle) {
                server.connectionReady(handle, at: now)
            } else {
                self.streams.socketReady(handle, readiness, budget: budget, at: now)
            }
        case .flow:
            let slot = UInt32(token.slot)
            let handle = FlowHandle(slot: slot, generation: token.generation)
            self.server?.flowReady(handle, at: now)
        case .flowListener:
            self.settleEvents(at: now)
            self.client?.datagramsReady(token.slot, token.generation, at: now)
        case .streamListener:
            self.settleEvents(at: now)
            self.client?.connectionsReady(token.slot, token.generation, at: now)
        case .header:
            self.settleEvents(at: now)
            self.client?.headerReady(token.slot, token.generation, at: now)
        case .mailbox: self.openMailbox(at: now)
        case nil: break
        }
    }

    // MARK: The tunnel

    private func receiveTunnel(_ index: Int, at now: Instant) {
        let socket = self.tunnel.sockets[index]
        var rounds = 0
        for _ in 0..<Self.mostReceiveRounds {
            guard socket.receive(into: self.received) > 0 else { return }
            var isAnyTaken = false
            while let packet = self.received.next() {
                self.tunnel.note(packet.source, to: packet.destination, socket: index)
                switch self.engine.receive(packet.bytes, from: packet.source, at: now) {
                case .consumed: isAnyTaken = true
                case .foreign(let worker, let generation):
                    self.handOver(packet, to: worker, generation, socket: index)
                case .later(let session):
                    if !self.waiting.append(packet, socket: index, of: session) {
                        self.tallies.drop(.workBudget)
                    }
                }
            }
            // Others' packets may lie behind those that have to wait.
            if isAnyTaken { rounds += 1 }
            guard self.received.isFull, rounds < Self.receiveRounds else { return }
        }
    }

    /// Packets of sessions that had cost enough in the last turn.
    private func receiveWaiting(at now: Instant) {
        guard !self.waiting.isEmpty else { return }
        let emptied = self.waiting.drain { packet in
            self.tunnel.note(packet.source, to: packet.destination, socket: packet.socket)
            let source = packet.source
            let disposition = packet.bytes.withUnsafeMutableBytes {
                self.engine.receive($0, from: source, at: now, isLate: true)
            }
            if case .later = disposition { return false }
            return true
        }
        for session in emptied { self.engine.hasCaughtUp(session) }
    }

    /// Another worker's packet; a predecessor process's would need a way to it and is dropped.
    private func handOver(
        _ packet: ReceivedPacket,
        to worker: Int,
        _ generation: Int,
        socket: Int
    ) {
        let isQueued =
            generation == 0 && worker != self.index && self.mailboxes.indices.contains(worker)
            && self.mailboxes[worker].post(
                packet: UnsafeRawBufferPointer(packet.bytes),
                source: packet.source,
                destination: packet.destination,
                socket: socket
            )
        if !isQueued { self.tallies.drop(.foreignQueueFull) }
    }

    private func resumeTunnel(_ index: Int) {
        self.tunnel.resume(index)
        if !self.tunnel.isBlocked(index) { self.watchTunnel(index, for: .readable) }
    }

    private func watchTunnel(_ index: Int, for interest: Readiness) {
        // Only kernel memory can be lacking; the next change tries again.
        try? self.poller.modify(
            self.tunnel.sockets[index].descriptor,
            token: Token(.tunnel, slot: index).rawValue,
            interest: interest
        )
    }

    private func transmit(at now: Instant) {
        guard !self.tunnel.isBlocked else { return }
        self.hasMoreToSend = self.tunnel.transmit(
            from: self.engine,
            rounds: Self.sendRounds,
            at: now
        )
        guard self.tunnel.isBlocked else { return }
        for index in self.tunnel.sockets.indices where self.tunnel.isBlocked(index) {
            self.watchTunnel(index, for: [.readable, .writable])
        }
    }

    // MARK: What the engine asks for

    private func carryOut(at now: Instant) {
        var isQuiet = false
        while !isQuiet {
            isQuiet = true
            // First, because the datagrams of a flow may follow its opening at once.
            if self.settleEvents(at: now) { isQuiet = false }
            while let handle = self.engine.nextReadyStream() {
                self.streams.serve(handle, at: now)
                isQuiet = false
            }
            while let (flow, bytes) = self.engine.nextDatagram() {
                self.deliver(bytes, on: flow, at: now)
                isQuiet = false
            }
        }
        self.sender.flush()
        self.transmit(at: now)
    }

    /// Carries out the engine's events so far; says whether there were any.
    ///
    /// Also needed before the engine is asked for a new stream or flow: it may reuse the slot of
    /// one whose end this worker has not heard of yet.
    @discardableResult
    func settleEvents(at now: Instant) -> Bool {
        var isAny = false
        while let event = self.engine.nextEvent() {
            self.handle(event, at: now)
            isAny = true
        }
        self.client?.followGate(at: now)
        return isAny
    }

    @inline(__always)
    private func deliver(_ bytes: UnsafeRawBufferPointer, on flow: FlowHandle, at now: Instant) {
        switch self.side {
        case .client(let client): client.deliver(bytes, on: flow, at: now)
        case .server(let server):
            guard !self.openings.isWaiting(flow) else {
                if !self.openings.hold(bytes, for: flow) { self.tallies.drop(.localSocketFull) }
                return
            }
            server.deliver(bytes, on: flow)
        }
    }

    // MARK: Orders

    private func openMailbox(at now: Instant) {
        let mailbox = self.mailboxes[self.index]
        mailbox.wakeUp.clear()
        mailbox.packets.drain { packet in
            self.tunnel.note(packet.source, to: packet.destination, socket: packet.socket)
            let disposition = self.engine.receive(packet.bytes, from: packet.source, at: now)
            if disposition != .consumed { self.tallies.drop(.foreignQueueFull) }
        }
        for order in mailbox.takeOrders() { self.obey(order, at: now) }
    }

    private func obey(_ order: Order, at now: Instant) {
        switch order {
        case .client(let plan, let listeners):
            self.client?.adopt(plan, listeners.value, at: now)
        case .server(let plan): self.server?.adopt(plan, at: now)
        case .resolved(let news): self.server?.resolved(news, at: now)
        case .backendNews(let news): self.server?.heard(news, at: now)
        case .draining(let backends): self.server?.drain(backends)
        case .ownAddresses(let addresses):
            self.server?.adoptOwn(addresses)
            self.client?.hosts = ClientHosts(addresses)
        case .questionSessions(let key): self.engine.questionSessions(of: key, at: now)
        case .tunnelServers(let servers): self.engine.replace(servers: servers)
        case .presharedKey(let key): self.engine.replace(presharedKey: key)
        case .postQuantum(let policy): self.engine.replace(postQuantum: policy, at: now)
        case .snapshot(let request): request.answer(self.snapshot(at: now))
        case .shutDown: self.shutDown(at: now)
        }
    }

    private func shutDown(at now: Instant) {
        self.client?.close()
        self.engine.shutDown(at: now)
        // A full socket gets one more chance; what it does not take then, the peer does not hear.
        for index in self.tunnel.sockets.indices { self.tunnel.resume(index) }
        self.carryOut(at: now)
        self.streams.reset(where: { _ in true }, reason: .shutdown, at: now)
        self.server?.closeFlows()
        self.isStopped = true
    }

    private func snapshot(at now: Instant) -> WorkerSnapshot {
        WorkerSnapshot(
            engine: self.engine.snapshot(at: now),
            services: self.tallies.services,
            tunnelSockets: self.tunnel.sockets.reduce(UDPCounters()) { $0 + $1.counters },
            isSessionUp: self.engine.isSessionUp,
            isSessionInDoubt: self.engine.isSessionInDoubt,
            drops: self.tallies.drops,
            refusals: self.tallies.refusals.tallies,
            connectFailure: self.outage.summary
        )
    }
}
