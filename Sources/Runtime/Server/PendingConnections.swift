import LinuxIO
import Primitives
import Session

/// Streams that wait for their backend to answer.
///
/// Of a backend with several addresses the next one is tried beside those that are silent, and the
/// first that answers wins (RFC 8305 §5).
final class PendingConnections {
    /// One attempt; it has a place at its backend from the pick on.
    final class Attempt {
        let handle: StreamHandle
        let request: OpenRequest
        let service: ServiceEntry
        let player: ShownPlayer
        let backend: Int
        let isLast: Bool
        /// Of one backend and for one player; those that fail are behind the others next time.
        private static let addressLimit = 16

        /// Addresses not tried yet, the next one last.
        var rest: [SocketAddress]
        /// What has been tried and has not answered yet, the oldest first.
        var sockets: [(socket: TCPSocket, address: SocketAddress)] = []
        /// What became of the others.
        var failures: [(address: SocketAddress, failure: DialFailure)] = []

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
            let offset = service.portOffset(request) ?? 0
            self.rest = service.pool.addresses(backend, for: player, port: offset)
                .prefix(Self.addressLimit).reversed()
        }

        /// What decides between backends where the player does.
        var source: SocketAddress { self.request.origin ?? self.player.address }

        /// Why it came to nothing, in words.
        var causes: String {
            guard self.service.pool.lookedUp(self.backend) != nil else {
                return self.failures.last?.failure.cause ?? "no address"
            }
            return self.failures.isEmpty
                ? "its name leads nowhere"
                : self.failures.map { "\($0.address): \($0.failure.cause)" }
                    .joined(separator: "; ")
        }
    }

    /// A backend that does not answer for this long is as good as one that refuses.
    static let timeout = Instant.Interval.seconds(5)
    /// How long an address may be silent before the next is tried beside it.
    static let step = Instant.Interval.milliseconds(250)

    private var attempts: [UInt32: Attempt] = [:]
    /// In the order of their start, which is that of their deadlines, because all wait equally
    /// long; some have ended since.
    private var queue: [(deadline: Instant, attempt: Attempt)] = []
    /// Likewise, when the next address is due.
    private var steps: [(due: Instant, attempt: Attempt)] = []

    var deadline: Instant {
        min(self.queue.first?.deadline ?? .never, self.steps.first?.due ?? .never)
    }

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

    /// The next address of `attempt` is tried in a moment.
    func awaitStep(_ attempt: Attempt, at now: Instant) {
        self.steps.append((now + Self.step, attempt))
    }

    /// Forgets an attempt and gives its sockets up; `nil` if there was none.
    @discardableResult
    func remove(_ handle: StreamHandle) -> Attempt? {
        guard let attempt = self.find(handle) else { return nil }
        for (socket, _) in attempt.sockets { socket.abort() }
        attempt.sockets.removeAll()
        self.attempts[handle.slot] = nil
        if self.attempts.isEmpty {
            self.queue.removeAll(keepingCapacity: true)
            self.steps.removeAll(keepingCapacity: true)
        }
        return attempt
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

    /// The attempts whose next address is due.
    func takeSteps(at now: Instant) -> [Attempt] {
        let due = self.steps.prefix { $0.due <= now }
        guard !due.isEmpty else { return [] }
        let ready = due.map(\.attempt).filter { self.find($0.handle) === $0 }
        self.steps.removeFirst(due.count)
        return ready
    }
}
