import Primitives
import Session

/// Whether listeners that follow their service take connections.
///
/// Senders that are refused keep what they have, and load balancers see it; what is accepted while
/// nobody can be reached may be lost.
struct ListenerGate {
    /// Why a listener is closed; the log's `cause=`.
    enum Closure: String, Hashable {
        case noSession = "no-session"
        case doubt = "session-in-doubt"
        case noBackend = "no-backend"
    }

    private enum Link {
        /// There is no session yet, or not yet again: connections are held until then.
        case awaited(until: Instant)
        case up
        case doubted
        case lost
    }

    private var link: Link
    private let holds: Instant.Interval
    /// When a listener that could not be opened is tried again.
    private var retryAt = Instant.never
    /// Services without a backend, as the session before or this one was told.
    private var unserved: Set<String> = []
    /// What this session has been told before its first packet was taken whole.
    private var told: Set<String> = []
    private var isHeard = false
    private(set) var hasChanged = false

    /// When ``expire(at:)`` has something to do.
    var deadline: Instant {
        if case .awaited(let end) = self.link { min(end, self.retryAt) } else { self.retryAt }
    }

    /// The process has started: connections are held for `interval`, and so they are whenever the
    /// server says goodbye.
    init(holding interval: Instant.Interval, at now: Instant) {
        self.holds = interval
        self.link = .awaited(until: now + interval)
    }

    mutating func retry(at instant: Instant) { self.retryAt = instant }

    /// Why a listener of `service` is closed; `nil`: it is open.
    func closure(of service: String) -> Closure? {
        switch self.link {
        case .lost: .noSession
        case .doubted: .doubt
        case .awaited, .up: self.unserved.contains(service) ? .noBackend : nil
        }
    }

    mutating func takeChange() -> Bool {
        defer { self.hasChanged = false }
        return self.hasChanged
    }

    mutating func expire(at now: Instant) {
        if case .awaited(let end) = self.link, end <= now { self.change(.lost) }
        guard self.retryAt <= now else { return }
        self.retryAt = .never
        self.hasChanged = true
    }

    mutating func take(_ event: EngineEvent, at now: Instant) {
        switch event {
        case .sessionUp:
            self.told = []
            self.isHeard = false
            self.change(.up)
        case .sessionHeard:
            self.isHeard = true
            self.unserved = self.told
            self.hasChanged = true
        case .sessionDoubted: self.change(.doubted)
        case .sessionTrusted: self.change(.up)
        case .sessionDown(_, _, let reason):
            self.change(reason == .shutdown ? .awaited(until: now + self.holds) : .lost)
        case .serviceChanged(_, let service, .tcp, let isServed): self.note(service, isServed)
        default: break
        }
    }

    private mutating func note(_ service: String, _ isServed: Bool) {
        if isServed { self.told.remove(service) } else { self.told.insert(service) }
        guard self.isHeard else { return }
        self.unserved = self.told
        self.hasChanged = true
    }

    private mutating func change(_ link: Link) {
        self.link = link
        self.hasChanged = true
    }
}
