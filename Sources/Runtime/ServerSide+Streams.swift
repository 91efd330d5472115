import Glibc
import LinuxIO
import Primitives
import Session

/// Streams that wait for their backend to answer.
final class PendingConnections {
    /// One attempt.
    final class Attempt {
        let handle: StreamHandle
        let request: OpenRequest
        let service: ServerSide.ServiceEntry
        let backend: Int
        let isLast: Bool

        init(
            _ handle: StreamHandle,
            _ request: OpenRequest,
            _ service: ServerSide.ServiceEntry,
            backend: Int,
            isLast: Bool
        ) {
            self.handle = handle
            self.request = request
            self.service = service
            self.backend = backend
            self.isLast = isLast
        }
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

    func handles(service: Int32) -> [StreamHandle] {
        self.attempts.values.filter { $0.service.index == service }.map(\.handle)
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

extension ServerSide {
    func isConnecting(_ handle: StreamHandle) -> Bool { self.connections.find(handle) != nil }

    /// A player has connected at the other end: connect to a backend, without waiting.
    func open(_ handle: StreamHandle, _ request: OpenRequest, at now: Instant) {
        guard let entry = self.service(request.service), let backend = entry.rotation.next() else {
            self.parts.engine.reset(handle, reason: .backendUnreachable, at: now)
            return self.logRefusal(request, "-", "no backend has an address", .backendUnreachable)
        }
        self.attempt(
            PendingConnections.Attempt(handle, request, entry, backend: backend, isLast: false),
            at: now
        )
    }

    /// The stream is over while its backend had not answered yet.
    func forget(_ handle: StreamHandle) { self.connections.remove(handle) }

    private func attempt(_ attempt: PendingConnections.Attempt, at now: Instant) {
        let member = attempt.service.rotation.members[attempt.backend]
        guard let address = member.addresses.first else {
            return self.failed(attempt, IOError(code: EADDRNOTAVAIL, call: "connect"), at: now)
        }
        do throws(IOError) {
            let socket = try TCPSocket.connect(to: address)
            let isAttached = self.parts.streams.attach(
                attempt.handle,
                socket: socket,
                isConnecting: true,
                service: attempt.service.index,
                backend: Int32(attempt.backend)
            )
            guard isAttached else { throw IOError(code: ENOMEM, call: "epoll_ctl") }
            self.connections.insert(attempt, at: now)
        } catch {
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
        guard let error = socket.connectResult() else {
            return self.parts.streams.connected(handle, at: now)
        }
        self.parts.streams.detach(handle)?.close()
        self.failed(attempt, error, at: now)
    }

    /// Gives up on backends that have not answered in time.
    func expire(at now: Instant) {
        guard self.connections.deadline <= now else { return }
        for attempt in self.connections.expire(at: now) {
            self.connections.remove(attempt.handle)
            self.parts.streams.detach(attempt.handle)?.abort()
            self.failed(attempt, IOError(code: ETIMEDOUT, call: "connect"), at: now)
        }
    }

    /// Tries one other backend, then tells the player.
    private func failed(
        _ attempt: PendingConnections.Attempt,
        _ error: IOError,
        at now: Instant
    ) {
        let reason = Self.reason(error)
        let name = attempt.service.rotation.members[attempt.backend].name
        self.logRefusal(attempt.request, name, error.reason, reason)
        let other =
            attempt.isLast ? nil : attempt.service.rotation.next(excluding: attempt.backend)
        guard let other else {
            return self.parts.engine.reset(attempt.handle, reason: reason, at: now)
        }
        self.attempt(
            PendingConnections.Attempt(
                attempt.handle,
                attempt.request,
                attempt.service,
                backend: other,
                isLast: true
            ),
            at: now
        )
    }

    private static func reason(_ error: IOError) -> ResetReason {
        switch error.code {
        case ECONNREFUSED, ECONNRESET: .backendRefused
        case ETIMEDOUT: .backendTimeout
        default: .backendUnreachable
        }
    }
}
