import Primitives
import Sealing
import Session

/// Why a client has no session, as far as it knows.
struct Outage {
    /// The log's `reason=`, and what the network says of it.
    private var reason: String?
    private(set) var summary: String?
    /// A silent server whose network is being asked.
    private var question: (reach: ServerReach, server: SocketAddress, due: Instant)?

    /// The server of a silent session, whose network is asked again and again: kernels tell of a
    /// closed port about once a second, and to whom they like.
    private var suspicion: (server: SocketAddress, reach: ServerReach, due: Instant, end: Instant)?
    /// When that server was found to be gone.
    private var goneAt: Instant?

    private static let suspicionPeriod = Instant.Interval.milliseconds(250)
    private static let suspicionTime = Instant.Interval.seconds(6)

    var deadline: Instant { min(self.question?.due ?? .never, self.suspicion?.due ?? .never) }

    mutating func note(_ failure: ConnectFailure, _ server: SocketAddress) {
        self.reason = failure.label
        self.summary = "\(failure.label) at \(server)"
        self.question = nil
    }

    mutating func ask(_ server: SocketAddress, at now: Instant) {
        self.question = (ServerReach(server), server, now + ServerReach.patience)
    }

    /// Asks the network whether the server of a silent session is gone, with all that it had.
    mutating func suspect(_ server: SocketAddress, at now: Instant) {
        guard self.suspicion?.server != server else { return }
        let end = now + Self.suspicionTime
        self.suspicion = (server, ServerReach(server), now + Self.suspicionPeriod, end)
        self.goneAt = nil
    }

    /// The session has been heard again.
    mutating func trust() {
        self.suspicion = nil
        self.goneAt = nil
    }

    /// Whether nothing listens where the silent server was, as of late.
    func isGone(at now: Instant) -> Bool {
        self.goneAt.map { now.since($0) < Self.suspicionTime } ?? false
    }

    /// Looks what has come back; asks again where nothing has.
    mutating func lookAgain(at now: Instant) {
        guard let suspicion = self.suspicion, suspicion.due <= now else { return }
        self.suspicion = nil
        if suspicion.reach.finding() == .portClosed {
            self.goneAt = now
        } else if now < suspicion.end {
            let due = now + Self.suspicionPeriod
            let server = suspicion.server
            self.suspicion = (server, ServerReach(server), due, suspicion.end)
        }
    }

    /// What came of the question, once.
    mutating func takeAnswer(
        at now: Instant
    ) -> (finding: ServerReach.Finding, server: SocketAddress)? {
        guard let question = self.question, question.due <= now else { return nil }
        self.question = nil
        let finding = question.reach.finding()
        self.summary = "server-silent (\(finding.label)) at \(question.server)"
        return (finding, question.server)
    }

    /// A stream that waited for a session in vain failed for whatever kept that from coming.
    func reason(of reset: ResetReason) -> String {
        reset == .connectTimeout ? self.reason ?? reset.label : reset.label
    }
}

/// A client's words for it.
extension Worker {
    func connectFailed(_ failure: ConnectFailure, _ server: SocketAddress, at now: Instant) {
        self.outage.note(failure, server)
        guard failure != .serverSilent else { return self.outage.ask(server, at: now) }
        self.log.warning(
            "connect-failed",
            [
                "server": server.description, "reason": failure.label,
                "hint": failure.hint(about: self.engine.clientPublicKey),
            ]
        )
    }

    func tellSilence(at now: Instant) {
        self.outage.lookAgain(at: now)
        if self.outage.isGone(at: now) { self.engine.abandonDoubtedSession(at: now) }
        guard let (finding, server) = self.outage.takeAnswer(at: now) else { return }
        self.log.warning(
            "connect-failed",
            [
                "server": server.description, "reason": ConnectFailure.serverSilent.label,
                "cause": finding.label, "hint": finding.hint,
            ]
        )
    }
}
