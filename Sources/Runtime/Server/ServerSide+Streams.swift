import Configuration
import Glibc
import LinuxIO
import Primitives
import Session

/// Streams that wait for their backend to answer.
final class PendingConnections {
    /// One attempt; it has a place at its backend from the pick on.
    final class Attempt {
        let handle: StreamHandle
        let request: OpenRequest
        let service: ServiceEntry
        let player: ShownPlayer
        let backend: Int
        let isLast: Bool

        init(
            _ handle: StreamHandle,
            _ request: OpenRequest,
            _ service: ServiceEntry,
            _ player: ShownPlayer,
            backend: Int,
            isLast: Bool
        ) {
            self.handle = handle
            self.request = request
            self.service = service
            self.player = player
            self.backend = backend
            self.isLast = isLast
        }

        /// What decides between backends where the player does.
        var source: SocketAddress { self.request.origin ?? self.player.address }
    }

    /// A backend that does not answer for this long is as good as one that refuses.
    static let timeout = Instant.Interval.seconds(5)

    private var attempts: [UInt32: Attempt] = [:]
    /// In the order of their start, which is that of their deadlines, because all wait equally
    /// long; some have ended since.
    private var queue: [(deadline: Instant, attempt: Attempt)] = []

    var deadline: Instant { self.queue.first?.deadline ?? .never }

    @inline(__always)
    func find(_ handle: StreamHandle) -> Attempt? {
        guard !self.attempts.isEmpty, let attempt = self.attempts[handle.slot],
            attempt.handle == handle
        else { return nil }
        return attempt
    }

    func insert(_ attempt: Attempt, at now: Instant) {
        self.attempts[attempt.handle.slot] = attempt
        self.queue.append((now + Self.timeout, attempt))
    }

    func remove(_ handle: StreamHandle) {
        guard self.find(handle) != nil else { return }
        self.attempts[handle.slot] = nil
        if self.attempts.isEmpty { self.queue.removeAll(keepingCapacity: true) }
    }

    func handles(where matches: (Attempt) -> Bool) -> [StreamHandle] {
        self.attempts.values.filter(matches).map(\.handle)
    }

    /// The attempts whose time is over.
    func expire(at now: Instant) -> [Attempt] {
        let due = self.queue.prefix { $0.deadline <= now }
        guard !due.isEmpty else { return [] }
        let late = due.map(\.attempt).filter { self.find($0.handle) === $0 }
        self.queue.removeFirst(due.count)
        return late
    }
}

extension IOError {
    /// A backend whose name leads nowhere yet.
    static var noAddress: Self { Self(code: EADDRNOTAVAIL, call: "connect") }
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
        guard let entry, let backend = entry.pool.pick(source: source, at: now) else {
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
    func forget(_ handle: StreamHandle) { self.connections.remove(handle) }

    private func start(_ attempt: PendingConnections.Attempt, at now: Instant) {
        let pool = attempt.service.pool
        do throws(DialFailure) {
            guard let address = pool.address(attempt.backend) else {
                throw DialFailure(IOError.noAddress)
            }
            let service = attempt.service.configuration
            let player = attempt.player.shown(to: address, of: service, self.pseudonyms)
            let socket = try self.dialling.stream(service, player, to: address)
            self.notePort(attempt.service, player, socket.localAddress)
            let isAttached = self.parts.streams.attach(
                attempt.handle,
                socket: socket,
                isConnecting: true,
                maximumStall: attempt.request.maximumStall,
                service: attempt.service.index,
                backend: Int32(attempt.backend),
                peer: attempt.player.peer
            )
            guard isAttached else {
                throw DialFailure(IOError(code: ENOMEM, call: "epoll_ctl"))
            }
            self.connections.insert(attempt, at: now)
        } catch {
            // The relay gives back the place of what was attached, and of nothing else.
            pool.finished(attempt.backend)
            self.failed(attempt, error, at: now)
        }
    }

    /// The connecting socket of `handle` has news.
    func connectionReady(_ handle: StreamHandle, at now: Instant) {
        guard let attempt = self.connections.find(handle),
            let entry = self.parts.streams.entry(handle)
        else { return }
        let socket = TCPSocket(adopting: entry.pointee.descriptor)
        self.connections.remove(handle)
        if let error = socket.connectResult() {
            self.parts.streams.detach(handle)?.close()
            return self.failed(attempt, DialFailure(error), at: now)
        }
        self.backendAnswered(attempt.service, attempt.backend, at: now)
        let service = attempt.service.configuration
        guard let address = socket.remoteAddress, service.origin != .none else {
            return self.parts.streams.connected(handle, at: now)
        }
        let player = attempt.player.shown(to: address, of: service, self.pseudonyms)
        let header = self.headers.stream(service, player, backend: address)
        self.parts.streams.connected(handle, header: header, at: now)
    }

    /// Gives up on backends that have not answered in time.
    func expire(at now: Instant) {
        guard self.connections.deadline <= now else { return }
        for attempt in self.connections.expire(at: now) {
            self.connections.remove(attempt.handle)
            self.parts.streams.detach(attempt.handle)?.abort()
            let error = IOError(code: ETIMEDOUT, call: "connect")
            self.failed(attempt, DialFailure(error), at: now)
        }
    }

    /// Tries one other backend, then tells the player.
    private func failed(
        _ attempt: PendingConnections.Attempt,
        _ failure: DialFailure,
        at now: Instant
    ) {
        let reason = failure.reason
        let pool = attempt.service.pool
        self.logRefusal(attempt.request, pool.names[attempt.backend], failure.cause, reason)
        if failure.isBackends { self.backendRefused(attempt.service, attempt.backend, at: now) }
        let other =
            attempt.isLast
            ? nil : pool.pick(source: attempt.source, excluding: attempt.backend, at: now)
        guard let other else {
            return self.parts.engine.reset(attempt.handle, reason: reason, at: now)
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
