import Configuration
import LinuxIO
import Origin
import Primitives
import Session

extension ServerSide {
    /// A player's first datagram is on its way: pick a backend and connect a socket to it.
    func open(
        _ handle: FlowHandle,
        _ session: SessionHandle,
        _ request: OpenRequest,
        at now: Instant
    ) {
        guard let player = self.admit(request, from: session) else {
            return self.parts.engine.closeFlow(handle, reason: .originForbidden, at: now)
        }
        guard let entry = self.service(request.service) else {
            return self.parts.engine.closeFlow(handle, reason: .backendUnreachable, at: now)
        }
        guard let offset = entry.portOffset(request) else {
            self.logMisfit(request, entry)
            return self.parts.engine.closeFlow(handle, reason: .portRange, at: now)
        }
        let source = request.origin ?? player.address
        var failed: Int?
        var reason = ResetReason.backendUnreachable
        // A second one, once, where the first has no route or no socket can be had.
        for _ in 0..<2 {
            guard
                let backend = entry.pool.pick(
                    source: source,
                    for: player,
                    excluding: failed,
                    at: now
                )
            else {
                break
            }
            do throws(DialFailure) {
                return try self.connect(handle, entry, backend, port: offset, player, at: now)
            } catch {
                entry.pool.finished(backend)
                reason = error.reason
                self.logRefusal(request, entry.pool.name(backend), error.cause, reason)
                failed = backend
            }
        }
        self.parts.engine.closeFlow(handle, reason: reason, at: now)
        if failed == nil { self.logRefusal(request, "-", entry.pool.emptiness, reason) }
    }

    /// Connects a flow to the first of its backend's addresses that can be had.
    private func connect(
        _ handle: FlowHandle,
        _ entry: ServiceEntry,
        _ backend: Int,
        port offset: UInt16,
        _ player: ShownPlayer,
        at now: Instant
    ) throws(DialFailure) {
        var failure = DialFailure(IOError.noAddress)
        for address in entry.pool.addresses(backend, for: player, port: offset) {
            do throws(DialFailure) {
                return try self.connect(handle, entry, backend, address, player, at: now)
            } catch {
                failure = error
                self.addressFailed(entry, backend, address)
            }
        }
        throw failure
    }

    private func connect(
        _ handle: FlowHandle,
        _ entry: ServiceEntry,
        _ backend: Int,
        _ address: SocketAddress,
        _ player: ShownPlayer,
        at now: Instant
    ) throws(DialFailure) {
        let shown = player.shown(to: address, of: entry.configuration, self.pseudonyms)
        let (socket, claim) = try self.dialling.flow(entry.configuration, shown, to: address)
        self.notePort(entry, shown, socket.localAddress)
        do throws(IOError) {
            try self.parts.poller.add(
                socket.descriptor,
                token: Token(.flow, slot: Int(handle.slot), generation: handle.generation).rawValue,
                interest: .readable
            )
        } catch {
            self.dialling.close(claim)
            throw DialFailure(error)
        }
        let flow = BackendFlow(
            generation: handle.generation,
            socket: socket,
            service: entry.index,
            backend: Int32(backend),
            address: address,
            player: player,
            header: self.headers.flow(entry.configuration, shown, backend: address),
            claim: claim,
            at: now
        )
        self.flows.insert(handle, flow)
        self.parts.tallies.changeFlows(by: 1, service: entry.index, backend: Int32(backend))
    }

    /// A backend has answered, or the kernel says that nobody listens; that ends nothing.
    func flowReady(_ handle: FlowHandle, at now: Instant) {
        guard let flow = self.flows.find(handle) else { return }
        var budget = SideParts.datagramBudget
        repeat {
            let count = flow.socket.receive(into: self.parts.received)
            if flow.socket.counters.receiveErrors != flow.errorsSeen {
                self.noticeErrors(of: flow, at: now)
                if count == 0, self.move(handle, at: now) { return }
            }
            guard count > 0 else { return }
            flow.unansweredCount = 0
            flow.heardAt = now
            if !flow.isAnswered { self.noticeAnswer(of: flow, at: now) }
            while let packet = self.parts.received.next() {
                budget -= packet.bytes.count
                var bytes = UnsafeRawBufferPointer(packet.bytes)
                if let header = flow.header { bytes = header.payload(ofReply: bytes) }
                self.parts.tallies.moved(down: bytes.count, service: flow.service)
                self.parts.engine.send(bytes, on: handle, at: now)
            }
        } while self.parts.received.isFull && budget > 0
    }

    private func noticeAnswer(of flow: BackendFlow, at now: Instant) {
        flow.isAnswered = true
        guard let entry = self.service(flow.service) else { return }
        entry.pool.answered(Int(flow.backend), flow.address)
        self.backendAnswered(entry, Int(flow.backend), at: now)
    }

    private func noticeErrors(of flow: BackendFlow, at now: Instant) {
        flow.errorsSeen = flow.socket.counters.receiveErrors
        flow.isAnswered = false
        // A backend that was restarted knows nobody any more.
        flow.header?.restart()
        // A closed port of a range says nothing of the others.
        guard let entry = self.service(flow.service), entry.configuration.portCount == 1 else {
            return
        }
        self.addressFailed(entry, Int(flow.backend), flow.address)
        self.backendRefused(entry, Int(flow.backend), at: now)
    }

    /// A player's datagram for the backend.
    @inline(__always)
    func deliver(_ bytes: UnsafeRawBufferPointer, on handle: FlowHandle) {
        guard var flow = self.flows.find(handle) else { return }
        self.parts.tallies.moved(up: bytes.count, service: flow.service)
        flow.unansweredCount &+= 1
        if flow.unansweredCount >= 2, flow.unansweredCount & (flow.unansweredCount - 1) == 0 {
            self.noticeSilence(of: flow, handle)
            guard let same = self.flows.find(handle) else { return }
            flow = same
        }
        guard let header = flow.header else {
            return self.parts.sender.send(bytes, through: flow.socket, to: flow.address, from: nil)
        }
        self.deliver(bytes, behind: header, on: flow)
    }

    private func deliver(
        _ bytes: UnsafeRawBufferPointer,
        behind header: FlowHeader,
        on flow: BackendFlow
    ) {
        let sender = self.parts.sender
        switch header.next() {
        case .bare:
            sender.send(bytes, through: flow.socket, to: flow.address, from: nil)
        case .prefixed:
            sender.send(header.bytes, bytes, through: flow.socket, to: flow.address, from: nil)
        case .headerThenBare:
            sender.send(header.bytes, through: flow.socket, to: flow.address, from: nil)
            sender.send(bytes, through: flow.socket, to: flow.address, from: nil)
        }
    }

    // MARK: Backends that move

    /// A backend that never answered is left for its next address after this long.
    private static let firstPatience = Instant.Interval.milliseconds(300)
    /// One that did has to be silent for this long before anybody asks where it is now.
    private static let patience = Instant.Interval.seconds(1)

    /// As many datagrams again as before went unanswered; a clock is read for powers of two only.
    private func noticeSilence(of flow: BackendFlow, _ handle: FlowHandle) {
        guard let entry = self.service(flow.service),
            let name = entry.pool.lookedUp(Int(flow.backend))
        else { return }
        let now = BootClock().now()
        let silence = now.since(flow.heardAt)
        guard silence >= (flow.isAnswered ? Self.patience : Self.firstPatience) else { return }
        self.doubt(name)
        // Whoever has answered before may have nothing to say.
        guard flow.isOrphan || !flow.isAnswered else { return }
        entry.pool.failed(Int(flow.backend), flow.address)
        self.move(handle, at: now)
    }

    /// The backend's name leads elsewhere: whoever gets no answer goes there, others stay.
    func follow(_ name: String, at now: Instant) {
        let moved = self.flows.handles { flow in
            guard let pool = self.service(flow.service)?.pool,
                pool.lookedUp(Int(flow.backend)) == name
            else { return false }
            flow.isOrphan = !pool.has(Int(flow.backend), flow.address)
            let silence = flow.unansweredCount >= 2 ? now.since(flow.heardAt) : .zero
            let isLost = flow.errorsSeen > 0 && !flow.isAnswered || silence >= Self.patience
            return flow.isOrphan && isLost
        }
        for handle in moved { self.move(handle, at: now) }
    }

    /// Takes a flow to another address of its backend, if there is one that has not failed; says
    /// whether the flow is no longer what it was.
    @discardableResult
    private func move(_ handle: FlowHandle, at now: Instant) -> Bool {
        guard let flow = self.flows.find(handle), let entry = self.service(flow.service),
            entry.configuration.portCount == 1
        else { return false }
        let backend = Int(flow.backend)
        let others = entry.pool.addresses(backend, for: flow.player)
        guard
            let next = others.first(where: {
                $0 != flow.address && !entry.pool.hasFailed(backend, $0)
            })
        else { return self.leave(handle, entry, flow, at: now) }
        // First the old socket: the player's port can be had once.
        self.flows.remove(handle)
        self.dialling.close(flow.claim)
        try? self.parts.poller.remove(flow.socket.descriptor)
        self.parts.tallies.changeFlows(by: -1, service: flow.service, backend: flow.backend)
        do throws(DialFailure) {
            try self.connect(handle, entry, backend, next, flow.player, at: now)
        } catch {
            self.addressFailed(entry, backend, next)
            entry.pool.finished(backend)
            self.parts.engine.closeFlow(handle, reason: error.reason, at: now)
        }
        return true
    }

    /// A flow whose backend has left the list and is dead ends, so that the player's next datagram
    /// finds another; says whether it has.
    private func leave(
        _ handle: FlowHandle,
        _ entry: ServiceEntry,
        _ flow: BackendFlow,
        at now: Instant
    ) -> Bool {
        guard entry.pool.isGone(Int(flow.backend)) else { return false }
        self.parts.engine.closeFlow(handle, reason: .backendUnreachable, at: now)
        self.forget(handle)
        return true
    }

    /// Closes every socket towards a backend, before the way back from it is taken down.
    func closeFlows() {
        for handle in self.flows.handles(where: { _ in true }) { self.forget(handle) }
    }

    /// The flow is over; says which service it belonged to.
    @discardableResult
    func forget(_ handle: FlowHandle) -> Int32? {
        guard let flow = self.flows.remove(handle) else { return nil }
        self.dialling.close(flow.claim)
        self.parts.tallies.changeFlows(by: -1, service: flow.service, backend: flow.backend)
        self.service(flow.service)?.pool.finished(Int(flow.backend))
        return flow.service
    }
}
