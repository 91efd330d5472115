import Configuration
import Glibc
import LinuxIO
import Origin
import Primitives
import Session

/// What both sides of a worker work with; all of it belongs to the worker's thread.
struct SideParts {
    /// Bytes of datagrams taken from one local socket per turn.
    static let datagramBudget = 64 << 10

    let engine: Engine
    let poller: Poller
    let tallies: Tallies
    let streams: StreamRelay
    let sender: DatagramSender
    let received: ReceiveBatch
    let log: EventLog
}

/// The client's half of a worker: local listeners and the players behind them.
final class ClientSide {
    /// Connections accepted from one listener per turn.
    private static let acceptLimit = 64
    /// How long a listener rests when the process is out of descriptors.
    private static let rest = Instant.Interval.milliseconds(100)

    /// One bound socket and where it leads.
    final class Listener {
        let local: LocalListener
        let token: UInt64
        let address: SocketAddress
        private(set) var forward: Forward
        private(set) var service: Int32
        /// Who may say who the player is.
        private(set) var trusted: TrustedNetworks
        /// Reads the headers of datagrams; `nil` where none are expected.
        private(set) var acceptor: DatagramAcceptor?
        /// Why it takes no connections; `nil`: it does.
        var closure: ListenerGate.Closure?
        /// What headers that came alone said besides addresses, by the proxy's address, until the
        /// flow's first datagram.
        var announced: [SocketAddress: OpenContext] = [:]

        init(_ local: LocalListener, _ token: UInt64, _ forward: Forward, _ service: Int32) {
            self.local = local
            self.token = token
            self.address = local.localAddress
            self.forward = forward
            self.service = service
            self.trusted = TrustedNetworks([])
            self.lead(to: forward, service)
        }

        func lead(to forward: Forward, _ service: Int32) {
            self.forward = forward
            self.service = service
            self.trusted = TrustedNetworks(forward.trusted.compactMap { AddressPrefix($0) })
            let framing = DatagramAcceptor.Framing(forward)
            self.acceptor = framing.map { DatagramAcceptor($0, key: HashKey(.kernel())) }
            self.announced = [:]
        }

        /// Whether answers carry the header of Simple Proxy Protocol.
        var marksAnswers: Bool { self.acceptor != nil && self.forward.accept == .simpleProxy }
    }

    let parts: SideParts
    var gate: ListenerGate?
    let waits = HeaderWaits()
    /// What one read for a header takes at most, the player's first bytes included; a fresh
    /// stream has room for more.
    let headerBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4_096, alignment: 16)
    private let mark = UnsafeMutableRawBufferPointer.allocate(
        byteCount: ProxyHeader.simpleByteCount,
        alignment: 16
    )
    private let flows: PlayerFlows
    /// What transparent listeners answer through.
    private let replySockets = ReplySockets()
    /// Grows only: a slot's number is in tokens and flows.
    private var listeners: [Listener?] = []
    private var resting: [Int] = []
    private var restEnd = Instant.never
    /// What tells players on this machine from others.
    var hosts = ClientHosts([])
    private(set) var deadline = Instant.never

    init(_ parts: SideParts, seed: UInt64) {
        self.parts = parts
        self.flows = PlayerFlows(seed: seed)
    }

    deinit {
        self.headerBuffer.deallocate()
        self.mark.deallocate()
    }

    func updateDeadline() {
        let gate = self.gate?.deadline ?? .never
        self.deadline = min(self.restEnd, self.waits.deadline, gate)
    }

    // MARK: Listeners

    /// Follows a new plan: closes what is gone, takes over what is new, and ends the streams and
    /// flows of forwards that changed; all others are untouched.
    func adopt(_ plan: ClientPlan, _ fresh: [LocalListener], at now: Instant) {
        if self.gate == nil { self.gate = ListenerGate(holding: plan.connectTimeout, at: now) }
        for slot in self.listeners.indices {
            guard let listener = self.listeners[slot] else { continue }
            let forward = plan.forwards[listener.local.place]
            guard forward != listener.forward else { continue }
            self.end(listener: slot, at: now)
            if let forward {
                listener.lead(
                    to: forward,
                    Int32(self.parts.tallies.index(of: forward.service))
                )
            } else {
                self.listeners[slot] = nil
            }
        }
        for local in fresh {
            guard let forward = plan.forwards[local.place] else { continue }
            self.add(local, forward)
        }
        self.applyGate(at: now)
    }

    /// Closes every listener: nobody new is let in.
    func close() {
        for slot in self.listeners.indices { self.dropHeaders(listener: slot) }
        self.listeners.removeAll()
        self.deadline = .never
    }

    private func add(_ local: LocalListener, _ forward: Forward) {
        let slot = self.listeners.count
        let kind: Token.Kind =
            local.place.transportProtocol == .tcp ? .streamListener : .flowListener
        let token = Token(kind, slot: slot).rawValue
        do {
            try self.parts.poller.add(local.descriptor, token: token, interest: .readable)
        } catch {
            self.parts.log.error(
                "listener-failed",
                ["listen": local.localAddress.description, "cause": "\(error)"]
            )
            return
        }
        let service = Int32(self.parts.tallies.index(of: forward.service))
        self.listeners.append(Listener(local, token, forward, service))
    }

    private func end(listener slot: Int, at now: Instant) {
        self.dropHeaders(listener: slot)
        self.parts.streams.reset(where: { $0.listener == slot }, reason: .reload, at: now)
        for handle in self.flows.handles(where: { $0.listener == slot }) {
            self.parts.engine.closeFlow(handle, reason: .reload, at: now)
            self.forget(handle)
        }
    }

    var slots: Range<Int> { self.listeners.indices }

    func listener(_ slot: Int) -> Listener? {
        slot < self.listeners.count ? self.listeners[slot] : nil
    }

    // MARK: TCP

    func connectionsReady(_ slot: Int, _ generation: UInt32, at now: Instant) {
        guard let listener = self.listener(slot), case .tcp(let socket) = listener.local.socket
        else { return }
        for _ in 0..<Self.acceptLimit {
            do throws(IOError) {
                guard case .done(let accepted) = try socket.accept() else { return }
                guard listener.forward.accept == .plain else {
                    self.admit(accepted, slot, listener, at: now)
                    continue
                }
                self.open(
                    accepted,
                    slot,
                    listener,
                    origin: self.hosts.origin(accepted.peer, by: accepted.peer),
                    destination: accepted.local,
                    at: now
                )
            } catch {
                return self.pause(slot, listener, because: error, at: now)
            }
        }
    }

    /// Opens a stream for a connection; `rest` is what the player has already sent.
    ///
    /// `origin`: the player; `nil`: the client itself.
    func open(
        _ accepted: AcceptedConnection,
        _ slot: Int,
        _ listener: Listener,
        origin: SocketAddress?,
        destination: SocketAddress,
        context: OpenContext = OpenContext(),
        rest: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        at now: Instant
    ) {
        var request = listener.forward.request(
            origin: origin,
            destination: destination,
            at: accepted.local.port
        )
        request.context = context
        guard let handle = self.parts.engine.openStream(request, at: now) else {
            self.parts.tallies.drop(.limit)
            self.parts.log.warning(
                "stream-reset",
                ["service": listener.forward.service, "reason": ResetReason.limit.label]
            )
            return accepted.socket.abort()
        }
        guard self.parts.streams.write(rest, to: handle, service: listener.service, at: now) else {
            self.parts.engine.reset(handle, reason: .limit, at: now)
            return accepted.socket.abort()
        }
        let isAttached = self.parts.streams.attach(
            handle,
            socket: accepted.socket,
            maximumStall: request.maximumStall,
            service: listener.service,
            listener: Int32(slot)
        )
        if !isAttached { self.parts.engine.reset(handle, reason: .aborted, at: now) }
    }

    /// Out of descriptors or memory: level-triggered, the listener would be reported for ever, so
    /// it rests a moment.
    private func pause(_ slot: Int, _ listener: Listener, because error: IOError, at now: Instant) {
        self.parts.log.error(
            "accept-failed",
            [
                "listen": listener.address.description, "cause": error.reason,
                "hint": error.code == EMFILE ? "raise the limit of open files" : "-",
            ]
        )
        try? self.parts.poller.modify(
            listener.local.descriptor,
            token: listener.token,
            interest: []
        )
        self.resting.append(slot)
        self.restEnd = now + Self.rest
        self.updateDeadline()
    }

    /// Lets listeners that have rested work again, and gives up on headers that never came.
    func expire(at now: Instant) {
        guard self.deadline <= now else { return }
        self.expireHeaders(at: now)
        if self.restEnd <= now { self.wakeListeners() }
        self.gate?.expire(at: now)
        self.updateDeadline()
    }

    private func wakeListeners() {
        for slot in self.resting {
            guard let listener = self.listener(slot) else { continue }
            try? self.parts.poller.modify(
                listener.local.descriptor,
                token: listener.token,
                interest: .readable
            )
        }
        self.resting.removeAll()
        self.restEnd = .never
    }

    // MARK: UDP

    func datagramsReady(_ slot: Int, _ generation: UInt32, at now: Instant) {
        guard let listener = self.listener(slot), case .udp(let socket) = listener.local.socket
        else { return }
        var budget = SideParts.datagramBudget
        repeat {
            guard socket.receive(into: self.parts.received) > 0 else { return }
            while let packet = self.parts.received.next() {
                budget -= packet.bytes.count
                self.take(packet, slot, listener, at: now)
            }
        } while self.parts.received.isFull && budget > 0
    }

    @inline(__always)
    private func take(
        _ packet: ReceivedPacket,
        _ slot: Int,
        _ listener: Listener,
        at now: Instant
    ) {
        guard let (named, destination, payload) = self.unwrap(packet, listener, at: now) else {
            return
        }
        let player = named ?? packet.source
        // Where a header comes but once, the proxy's own address tells its flows apart.
        let isByProxy = listener.acceptor?.remembersFlows ?? false
        var flow = PlayerFlow()
        flow.listener = Int32(slot)
        flow.player = isByProxy ? packet.source : player
        flow.local = isByProxy ? packet.destination : destination
        let known = self.flows.find(
            listener: Int32(slot),
            player: flow.player,
            local: flow.local
        )
        guard
            let handle = known
                ?? self.open(flow, listener, packet, origin: named, destination, at: now),
            let entry = self.flows.entry(handle)
        else { return }
        entry.pointee.answerTo = packet.source
        entry.pointee.answerFrom = packet.destination
        self.parts.tallies.moved(up: payload.count, service: listener.service)
        self.parts.engine.send(payload, on: handle, at: now)
    }

    private func open(
        _ flow: PlayerFlow,
        _ listener: Listener,
        _ packet: ReceivedPacket,
        origin: SocketAddress?,
        _ destination: SocketAddress,
        at now: Instant
    ) -> FlowHandle? {
        var request = listener.forward.request(
            origin: origin.flatMap { self.hosts.origin($0, by: packet.source) },
            destination: destination,
            at: listener.local.place.isTransparent
                ? packet.destination.port : listener.address.port
        )
        if listener.acceptor != nil { request.context = Self.context(packet, listener) }
        guard
            let handle = self.parts.engine.openFlow(request, at: now)
                ?? self.openInPlace(request, at: now)
        else {
            self.parts.tallies.drop(.limit)
            return nil
        }
        var flow = flow
        flow.generation = handle.generation
        flow.service = listener.service
        self.flows.insert(handle, flow)
        self.parts.tallies.changeFlows(by: 1, service: listener.service, backend: -1)
        return handle
    }

    /// At the limit a player who has said nothing for long gives way to one who speaks.
    private func openInPlace(_ request: OpenRequest, at now: Instant) -> FlowHandle? {
        guard let victim = self.parts.engine.evictFlow(at: now) else { return nil }
        self.forget(victim)
        return self.parts.engine.openFlow(request, at: now)
    }

    /// A backend's datagram for a player, from the address the player used.
    @inline(__always)
    func deliver(_ bytes: UnsafeRawBufferPointer, on handle: FlowHandle, at now: Instant) {
        guard let entry = self.flows.entry(handle), case let flow = entry.pointee,
            let listener = self.listener(Int(flow.listener)),
            case .udp(let socket) = listener.local.socket
        else { return }
        self.parts.tallies.moved(down: bytes.count, service: flow.service)
        if listener.local.place.isTransparent, flow.answerFrom.port != listener.address.port {
            return self.reply(bytes, entry)
        }
        let source = socket.reportsDestination ? flow.answerFrom : nil
        guard let acceptor = listener.acceptor else {
            return self.parts.sender.send(bytes, through: socket, to: flow.answerTo, from: source)
        }
        acceptor.replied(to: flow.answerTo, at: now)
        let mark =
            listener.marksAnswers ? self.mark(flow) : UnsafeRawBufferPointer(start: nil, count: 0)
        self.parts.sender.send(mark, bytes, through: socket, to: flow.answerTo, from: source)
    }

    /// Answers from a port that is not the listener's own.
    private func reply(
        _ bytes: UnsafeRawBufferPointer,
        _ flow: UnsafeMutablePointer<PlayerFlow>
    ) {
        let source = flow.pointee.answerFrom
        do throws(IOError) {
            let socket = try self.replySockets.socket(
                from: source,
                place: &flow.pointee.replyPlace
            )
            let player = flow.pointee.answerTo
            self.parts.sender.send(bytes, through: socket, to: player, from: nil)
        } catch {
            self.parts.tallies.drop(.localSocketFull)
            self.parts.log.warning(
                "reply-failed",
                ["from": source.description, "cause": error.description]
            )
        }
    }

    /// The header that the flow's datagrams come with.
    private func mark(_ flow: PlayerFlow) -> UnsafeRawBufferPointer {
        let header = ProxyHeader(
            source: flow.player,
            destination: flow.local,
            transport: .datagram
        )
        let count = header.writeSimple(into: self.mark)
        return UnsafeRawBufferPointer(rebasing: self.mark[..<count])
    }

    /// The flow is over; says which service it belonged to.
    @discardableResult
    func forget(_ handle: FlowHandle) -> Int32? {
        guard let flow = self.flows.remove(handle) else { return nil }
        self.parts.tallies.changeFlows(by: -1, service: flow.service, backend: -1)
        return flow.service
    }
}

extension DatagramAcceptor.Framing {
    /// `nil` where datagrams come without headers.
    init?(_ forward: Forward) {
        guard forward.transportProtocol == .udp else { return nil }
        switch forward.accept {
        case .plain: return nil
        case .proxyV1: self = .proxyV1First
        case .proxyV2: self = .proxyV2(forward.dialect)
        case .simpleProxy: self = .simple
        }
    }
}
