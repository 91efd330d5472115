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
        let source = request.origin ?? player.address
        var failed: Int?
        var reason = ResetReason.backendUnreachable
        // A second one, once, where the first has no route or no socket can be had.
        for _ in 0..<2 {
            guard let backend = entry.pool.pick(source: source, excluding: failed, at: now) else {
                break
            }
            do throws(DialFailure) {
                return try self.connect(handle, entry, backend, player)
            } catch {
                entry.pool.finished(backend)
                reason = error.reason
                self.logRefusal(request, entry.pool.names[backend], error.cause, reason)
                failed = backend
            }
        }
        self.parts.engine.closeFlow(handle, reason: reason, at: now)
        if failed == nil { self.logRefusal(request, "-", entry.pool.emptiness, reason) }
    }

    private func connect(
        _ handle: FlowHandle,
        _ entry: ServiceEntry,
        _ backend: Int,
        _ player: ShownPlayer
    ) throws(DialFailure) {
        guard let address = entry.pool.address(backend) else {
            throw DialFailure(IOError.noAddress)
        }
        let player = player.shown(to: address, of: entry.configuration, self.pseudonyms)
        let (socket, claim) = try self.dialling.flow(entry.configuration, player, to: address)
        self.notePort(entry, player, socket.localAddress)
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
            peer: player.peer,
            header: self.headers.flow(entry.configuration, player, backend: address),
            claim: claim
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
            }
            guard count > 0 else { return }
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
        self.backendAnswered(entry, Int(flow.backend), at: now)
    }

    private func noticeErrors(of flow: BackendFlow, at now: Instant) {
        flow.errorsSeen = flow.socket.counters.receiveErrors
        flow.isAnswered = false
        // A backend that was restarted knows nobody any more.
        flow.header?.restart()
        guard let entry = self.service(flow.service) else { return }
        self.backendRefused(entry, Int(flow.backend), at: now)
    }

    /// A player's datagram for the backend.
    @inline(__always)
    func deliver(_ bytes: UnsafeRawBufferPointer, on handle: FlowHandle) {
        guard let flow = self.flows.find(handle) else { return }
        self.parts.tallies.moved(up: bytes.count, service: flow.service)
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
