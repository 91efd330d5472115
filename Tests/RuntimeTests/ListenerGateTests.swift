import Primitives
import Sealing
import Session
import Testing

@testable import Runtime

/// When listeners take connections, and why not.
@Suite struct ListenerGateTests {
    private let start = Instant(nanoseconds: 1_000_000_000)
    private let hold = Instant.Interval.seconds(10)
    private let session = SessionHandle(slot: 0, generation: 1)
    private let info = SessionInfo(
        peerName: "server",
        address: SocketAddress(ipv4: 1, port: 1),
        cipher: .chacha20Poly1305,
        peerIndex: -1
    )

    private func up(_ gate: inout ListenerGate, at now: Instant) {
        gate.take(.sessionUp(self.session, self.info), at: now)
        gate.take(.sessionHeard(self.session), at: now)
    }

    private func tell(_ gate: inout ListenerGate, _ name: String, isServed: Bool) {
        gate.take(.serviceChanged(self.session, name, .tcp, isServed: isServed), at: self.start)
    }

    @Test func connectionsAreHeldAfterTheStartAndRefusedThen() {
        var gate = ListenerGate(holding: self.hold, at: self.start)
        #expect(gate.closure(of: "web") == nil)
        #expect(gate.deadline == self.start + self.hold)
        gate.expire(at: self.start + .seconds(9))
        #expect(gate.closure(of: "web") == nil && !gate.hasChanged)
        gate.expire(at: self.start + self.hold)
        #expect(gate.closure(of: "web") == .noSession && gate.hasChanged)
        #expect(gate.deadline == .never)
        self.up(&gate, at: self.start + .seconds(20))
        #expect(gate.closure(of: "web") == nil)
    }

    @Test func doubtAndLossCloseAndACleanRestartDoesNot() {
        var gate = ListenerGate(holding: self.hold, at: self.start)
        self.up(&gate, at: self.start)
        gate.take(.sessionDoubted(self.session, self.info), at: self.start)
        #expect(gate.closure(of: "web") == .doubt)
        gate.take(.sessionTrusted(self.session, self.info), at: self.start)
        #expect(gate.closure(of: "web") == nil)
        gate.take(.sessionDown(self.session, self.info, .sessionLost), at: self.start)
        #expect(gate.closure(of: "web") == .noSession)
        self.up(&gate, at: self.start)
        let later = self.start + .seconds(60)
        gate.take(.sessionDown(self.session, self.info, .shutdown), at: later)
        #expect(gate.closure(of: "web") == nil)
        gate.expire(at: later + self.hold)
        #expect(gate.closure(of: "web") == .noSession)
    }

    @Test func aServiceWithoutABackendIsClosedAndNoOther() {
        var gate = ListenerGate(holding: self.hold, at: self.start)
        self.up(&gate, at: self.start)
        self.tell(&gate, "web", isServed: false)
        #expect(gate.closure(of: "web") == .noBackend && gate.closure(of: "ssh") == nil)
        self.tell(&gate, "web", isServed: true)
        #expect(gate.closure(of: "web") == nil)
        gate.take(.serviceChanged(self.session, "web", .udp, isServed: false), at: self.start)
        #expect(gate.closure(of: "web") == nil)
    }

    /// The next session's server has its say before the last one's word is forgotten.
    @Test func whatWasToldHoldsUntilTheNextSessionIsHeard() {
        var gate = ListenerGate(holding: self.hold, at: self.start)
        self.up(&gate, at: self.start)
        self.tell(&gate, "web", isServed: false)
        gate.take(.sessionDown(self.session, self.info, .sessionLost), at: self.start)
        gate.take(.sessionUp(self.session, self.info), at: self.start)
        #expect(gate.closure(of: "web") == .noBackend && gate.closure(of: "ssh") == nil)
        self.tell(&gate, "ssh", isServed: false)
        gate.take(.sessionHeard(self.session), at: self.start)
        #expect(gate.closure(of: "web") == nil && gate.closure(of: "ssh") == .noBackend)
    }

    @Test func whatCannotBeOpenedIsTriedAgain() {
        var gate = ListenerGate(holding: self.hold, at: self.start)
        self.up(&gate, at: self.start)
        _ = gate.takeChange()
        gate.retry(at: self.start + .seconds(1))
        #expect(gate.deadline == self.start + .seconds(1))
        gate.expire(at: self.start + .seconds(1))
        #expect(gate.hasChanged && gate.deadline == .never)
    }
}
