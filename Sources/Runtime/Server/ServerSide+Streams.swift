import Configuration
import Glibc
import LinuxIO
import Primitives
import Session

extension IOError {
    /// A backend whose name leads nowhere yet.
    static var noAddress: Self { Self(code: EADDRNOTAVAIL, call: "connect") }
    /// One that has not answered in time.
    static var silent: Self { Self(code: ETIMEDOUT, call: "connect") }
}

extension ServerSide {
    func isConnecting(_ handle: StreamHandle) -> Bool { self.connections.find(handle) != nil }

    /// A player wants a backend: pick one and start to connect.
    func open(
        _ handle: StreamHandle,
        _ session: SessionHandle,
        _ request: OpenRequest,
        at now: Instant
    ) {
        guard let player = self.admit(request, from: session) else {
            return self.parts.engine.reset(handle, reason: .originForbidden, at: now)
        }
        let source = request.origin ?? player.address
        let entry = self.service(request.service)
        if let entry, entry.portOffset(request) == nil {
            self.logMisfit(request, entry)
            return self.parts.engine.reset(handle, reason: .portRange, at: now)
        }
        guard let entry, let backend = entry.pool.pick(source: source, for: player, at: now)
        else {
            self.parts.engine.reset(handle, reason: .backendUnreachable, at: now)
            let cause = entry?.pool.emptiness ?? "the service has just been removed"
            return self.logRefusal(request, "-", cause, .backendUnreachable)
        }
        self.start(
            PendingConnections.Attempt(
                handle,
                request,
                entry,
                player,
                backend: backend,
                isLast: false
            ),
            at: now
        )
    }

    /// The stream is over while its backend had not answered yet.
    func forget(_ handle: StreamHandle) {
        guard let attempt = self.connections.remove(handle) else { return }
        self.count(attempt, by: -1)
        attempt.service.pool.finished(attempt.backend)
    }

    private func count(_ attempt: PendingConnections.Attempt, by change: Int) {
        self.parts.tallies.changeStreams(
            by: change,
            service: attempt.service.index,
            backend: Int32(attempt.backend)
        )
    }

    private func start(_ attempt: PendingConnections.Attempt, at now: Instant) {
        self.connections.insert(attempt, at: now)
        self.count(attempt, by: 1)
        self.tryNext(attempt, at: now)
    }

    /// Tries the next address, unless nothing is left to be tried.
    private func tryNext(_ attempt: PendingConnections.Attempt, at now: Instant) {
        while let address = attempt.rest.popLast() {
            do throws(DialFailure) {
                let socket = try self.dial(attempt, address)
                attempt.sockets.append((socket, address))
                if !attempt.rest.isEmpty { self.connections.awaitStep(attempt, at: now) }
                return
            } catch {
                self.note(attempt, address, error)
            }
        }
        guard attempt.sockets.isEmpty else { return }
        self.failed(attempt, at: now)
    }

    private func dial(
        _ attempt: PendingConnections.Attempt,
        _ address: SocketAddress
    ) throws(DialFailure) -> TCPSocket {
        let service = attempt.service.configuration
        let player = attempt.player.shown(to: address, of: service, self.pseudonyms)
        let socket = try self.dialling.stream(service, player, to: address)
        do throws(IOError) {
            try self.parts.poller.add(
                socket.descriptor,
                token: StreamRelay.token(attempt.handle),
                interest: .writable
            )
        } catch {
            socket.abort()
            throw DialFailure(error)
        }
        return socket
    }

    private func note(
        _ attempt: PendingConnections.Attempt,
        _ address: SocketAddress,
        _ failure: DialFailure
    ) {
        attempt.failures.append((address, failure))
        self.addressFailed(attempt.service, attempt.backend, address)
    }

    /// A connecting socket of `handle` has news.
    func connectionReady(_ handle: StreamHandle, at now: Instant) {
        guard let attempt = self.connections.find(handle) else { return }
        // Few: one for every quarter of a second.
        for (socket, address) in attempt.sockets where socket.isConnectDecided {
            attempt.sockets.removeAll { $0.socket == socket }
            guard let error = socket.connectResult() else {
                return self.connected(attempt, socket, address, at: now)
            }
            socket.abort()
            self.note(attempt, address, DialFailure(error))
        }
        if attempt.sockets.isEmpty { self.tryNext(attempt, at: now) }
    }

    /// The first address has answered; the others are given up.
    private func connected(
        _ attempt: PendingConnections.Attempt,
        _ socket: TCPSocket,
        _ address: SocketAddress,
        at now: Instant
    ) {
        let (handle, entry) = (attempt.handle, attempt.service)
        for (_, slow) in attempt.sockets { self.addressFailed(entry, attempt.backend, slow) }
        self.connections.remove(handle)
        self.count(attempt, by: -1)
        try? self.parts.poller.remove(socket.descriptor)
        let isAttached = self.parts.streams.attach(
            handle,
            socket: socket,
            maximumStall: attempt.request.maximumStall,
            service: entry.index,
            backend: Int32(attempt.backend),
            peer: attempt.player.peer
        )
        guard isAttached else {
            // The relay gives back the place of what was attached, and of nothing else.
            entry.pool.finished(attempt.backend)
            return self.parts.engine.reset(handle, reason: .limit, at: now)
        }
        entry.pool.answered(attempt.backend, address)
        self.backendAnswered(entry, attempt.backend, at: now)
        let service = entry.configuration
        let player = attempt.player.shown(to: address, of: service, self.pseudonyms)
        self.notePort(entry, player, socket.localAddress)
        guard service.origin != .none else {
            return self.parts.streams.connected(handle, at: now)
        }
        let header = self.headers.stream(service, player, backend: address)
        self.parts.streams.connected(handle, header: header, at: now)
    }

    /// Tries further addresses, and gives up on backends that have not answered in time.
    func expire(at now: Instant) {
        guard self.connections.deadline <= now else { return }
        for attempt in self.connections.takeSteps(at: now) { self.tryNext(attempt, at: now) }
        for attempt in self.connections.expire(at: now) {
            for (_, address) in attempt.sockets {
                self.note(attempt, address, DialFailure(IOError.silent))
            }
            self.failed(attempt, at: now)
        }
    }

    /// Tries one other backend, then tells the player.
    private func failed(_ attempt: PendingConnections.Attempt, at now: Instant) {
        let pool = attempt.service.pool
        let failure = attempt.failures.last?.failure ?? DialFailure(IOError.noAddress)
        self.forget(attempt.handle)
        self.logRefusal(
            attempt.request,
            pool.name(attempt.backend),
            attempt.causes,
            failure.reason
        )
        // A closed port of a range says nothing of the backend, and no other is the player's.
        let isPort =
            attempt.service.configuration.portCount > 1 && failure.reason == .backendRefused
        if attempt.failures.contains(where: \.failure.isBackends), !isPort {
            self.backendRefused(attempt.service, attempt.backend, at: now)
        }
        let other =
            attempt.isLast || isPort
            ? nil
            : pool.pick(
                source: attempt.source,
                for: attempt.player,
                excluding: attempt.backend,
                at: now
            )
        guard let other else {
            return self.parts.engine.reset(attempt.handle, reason: failure.reason, at: now)
        }
        self.start(
            PendingConnections.Attempt(
                attempt.handle,
                attempt.request,
                attempt.service,
                attempt.player,
                backend: other,
                isLast: true
            ),
            at: now
        )
    }
}
