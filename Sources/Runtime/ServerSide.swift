import Configuration
import LinuxIO
import Primitives
import Session

/// The server's half of a worker: services, their backends and the sockets towards them.
final class ServerSide {
    /// One service as this worker keeps it.
    final class ServiceEntry {
        let configuration: Service
        let index: Int32
        var rotation: BackendRotation

        init(_ configuration: Service, index: Int32, _ known: [String: [SocketAddress]]) {
            self.configuration = configuration
            self.index = index
            self.rotation = BackendRotation(
                configuration.backends.map { backend in
                    let name = backend.endpoint.description
                    let addresses = backend.endpoint.literal.map { [$0] } ?? known[name] ?? []
                    return BackendRotation.Member(
                        name: name,
                        weight: backend.weight,
                        isBackup: backend.isBackup,
                        addresses: addresses
                    )
                }
            )
        }
    }

    let parts: SideParts
    let connections = PendingConnections()
    private let flows = BackendFlows()
    private var services: [String: ServiceEntry] = [:]
    private var known: [String: [SocketAddress]] = [:]

    init(_ parts: SideParts) { self.parts = parts }

    var deadline: Instant { self.connections.deadline }

    // MARK: Plans

    /// Follows a new plan: streams and flows of removed and changed services end, others stay.
    func adopt(_ plan: ServerPlan, at now: Instant) {
        self.parts.engine.replace(directory: plan.directory, at: now)
        let wanted = Dictionary(
            plan.services.map { ($0.name, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        for (name, entry) in self.services where wanted[name] != entry.configuration {
            self.end(entry, at: now)
            self.services[name] = nil
        }
        for service in plan.services where self.services[service.name] == nil {
            let index = self.parts.tallies.index(of: service.name)
            self.parts.tallies.setBackends(
                service.backends.map(\.endpoint.description),
                service: index
            )
            self.services[service.name] = ServiceEntry(service, index: Int32(index), self.known)
        }
    }

    func resolved(_ addresses: [String: [SocketAddress]]) {
        self.known.merge(addresses) { _, new in new }
        for entry in self.services.values {
            for (name, list) in addresses { entry.rotation.resolved(name, to: list) }
        }
    }

    private func end(_ entry: ServiceEntry, at now: Instant) {
        for handle in self.connections.handles(service: entry.index) {
            self.connections.remove(handle)
        }
        self.parts.streams.reset(where: { $0.service == entry.index }, reason: .reload, at: now)
        for handle in self.flows.handles(where: { $0.service == entry.index }) {
            self.parts.engine.closeFlow(handle, reason: .reload, at: now)
            self.forget(handle)
        }
    }

    func service(_ name: String) -> ServiceEntry? { self.services[name] }

    // MARK: UDP

    /// A player's first datagram is on its way: pick a backend and connect a socket to it.
    func open(_ handle: FlowHandle, _ request: OpenRequest, at now: Instant) {
        guard let entry = self.services[request.service],
            let backend = entry.rotation.next(),
            let address = entry.rotation.members[backend].addresses.first
        else {
            self.parts.engine.closeFlow(handle, reason: .backendUnreachable, at: now)
            return self.logRefusal(request, "-", "no backend has an address", .backendUnreachable)
        }
        do throws(IOError) {
            var options = UDPOptions()
            options.receiveBuffer = 1 << 20
            options.sendBuffer = 1 << 20
            let socket = try UDPSocket(connectingTo: address, options: options)
            try self.parts.poller.add(
                socket.descriptor,
                token: Token(.flow, slot: Int(handle.slot), generation: handle.generation).rawValue,
                interest: .readable
            )
            let flow = BackendFlow(
                generation: handle.generation,
                socket: socket,
                service: entry.index,
                backend: Int32(backend),
                address: address
            )
            self.flows.insert(handle, flow)
            self.parts.tallies.changeFlows(by: 1, service: entry.index, backend: Int32(backend))
        } catch {
            self.parts.engine.closeFlow(handle, reason: .backendUnreachable, at: now)
            self.logRefusal(request, address.description, error.reason, .backendUnreachable)
        }
    }

    /// A backend has answered; its closed port is counted by the socket and ends nothing.
    func flowReady(_ handle: FlowHandle, at now: Instant) {
        guard let flow = self.flows.find(handle) else { return }
        var budget = SideParts.datagramBudget
        repeat {
            guard flow.socket.receive(into: self.parts.received) > 0 else { return }
            while let packet = self.parts.received.next() {
                budget -= packet.bytes.count
                self.parts.tallies.moved(down: packet.bytes.count, service: flow.service)
                self.parts.engine.send(UnsafeRawBufferPointer(packet.bytes), on: handle, at: now)
            }
        } while self.parts.received.isFull && budget > 0
    }

    /// A player's datagram for the backend.
    @inline(__always)
    func deliver(_ bytes: UnsafeRawBufferPointer, on handle: FlowHandle) {
        guard let flow = self.flows.find(handle) else { return }
        self.parts.tallies.moved(up: bytes.count, service: flow.service)
        self.parts.sender.send(bytes, through: flow.socket, to: flow.address, from: nil)
    }

    /// The flow is over; says which service it belonged to.
    @discardableResult
    func forget(_ handle: FlowHandle) -> Int32? {
        guard let flow = self.flows.remove(handle) else { return nil }
        self.parts.tallies.changeFlows(by: -1, service: flow.service, backend: flow.backend)
        return flow.service
    }

    /// Says why a player found no backend.
    func logRefusal(
        _ request: OpenRequest,
        _ backend: String,
        _ cause: String,
        _ reason: ResetReason
    ) {
        self.parts.log.warning(
            "backend-refused",
            [
                "service": request.service, "backend": backend, "cause": cause,
                "reason": reason.label,
            ]
        )
    }
}
