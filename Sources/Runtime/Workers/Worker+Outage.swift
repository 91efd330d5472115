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

    var deadline: Instant { self.question?.due ?? .never }

    mutating func note(_ failure: ConnectFailure, _ server: SocketAddress) {
        self.reason = failure.label
        self.summary = "\(failure.label) at \(server)"
        self.question = nil
    }

    mutating func ask(_ server: SocketAddress, at now: Instant) {
        self.question = (ServerReach(server), server, now + ServerReach.patience)
    }

    /// What came of the question, once.
    mutating func takeAnswer() -> (finding: ServerReach.Finding, server: SocketAddress)? {
        guard let question = self.question else { return nil }
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

    func tellSilence() {
        guard let (finding, server) = self.outage.takeAnswer() else { return }
        self.log.warning(
            "connect-failed",
            [
                "server": server.description, "reason": ConnectFailure.serverSilent.label,
                "cause": finding.label, "hint": finding.hint,
            ]
        )
    }
}
