import Configuration
import LinuxIO
import Primitives
import Synchronization

/// One backend that went up or down, found out by a probe or by a worker.
struct BackendNews: Hashable, Sendable {
    var service: String
    /// As written in the configuration.
    var backend: String
    var isUp: Bool
}

/// Asks the backends of services that have `health` whether they live, on a thread of its own.
///
/// Without such services there is no thread, and without anything due it sleeps.
final class HealthMonitor: Sendable {
    typealias Report = @Sendable (BackendNews) -> Void

    enum Note: Sendable {
        /// Those without `health` too.
        case services([Service])
        case resolved(KnownNames)
        /// A worker was refused by a backend.
        case refused(service: String, backend: String)
        /// A backend that nobody asks could not be reached.
        case missed(Service, Backend)
    }

    private struct State {
        var notes: [Note] = []
        var isRunning = false
    }

    /// More would only say the same again: a refusal that finds this many waiting is left out.
    private static let noteLimit = 4_096

    private let state = Mutex(State())
    private let wakeUp: WakeUp
    private let log: EventLog
    private let resolver: Resolver?
    private let report: Report

    /// `report` is called on the monitor's thread.
    init(log: EventLog, resolver: Resolver?, report: @escaping Report) throws(IOError) {
        self.wakeUp = try WakeUp()
        self.log = log
        self.resolver = resolver
        self.report = report
    }

    /// Probes these services from now on, where they have `health`, and no others; unchanged ones
    /// keep their state.
    func watch(_ services: [Service]) throws(IOError) {
        let isNeeded = services.contains { $0.health != nil }
        try self.start { state in
            guard isNeeded || state.isRunning else { return false }
            state.notes.append(.services(services))
            return true
        }
    }

    /// A backend without `health` could not be reached: asks it once a second until it answers,
    /// and reports both.
    func seek(_ backend: Backend, of service: Service) {
        do throws(IOError) {
            try self.start { state in
                guard state.notes.count < Self.noteLimit else { return false }
                state.notes.append(.missed(service, backend))
                return true
            }
        } catch {
            self.log.error("health-failed", ["cause": error.description])
        }
    }

    /// Leaves a note, and starts the thread with the first one that it has to act on.
    private func start(_ leaveNote: (inout State) -> Bool) throws(IOError) {
        let mustStart = self.state.withLock { state in
            guard leaveNote(&state), !state.isRunning else { return false }
            state.isRunning = true
            return true
        }
        self.wakeUp.signal()
        if mustStart { try startThread(named: "fairlead-health") { self.run() } }
    }

    func post(_ note: Note) {
        let isQueued = self.state.withLock { state in
            if case .refused = note {
                guard state.isRunning, state.notes.count < Self.noteLimit else { return false }
            }
            state.notes.append(note)
            return state.isRunning
        }
        if isQueued { self.wakeUp.signal() }
    }

    private func run() {
        do throws(IOError) {
            let poller = try Poller()
            try poller.add(self.wakeUp.descriptor, token: 0, interest: .readable)
            let rounds = HealthRounds(
                poller: poller,
                log: self.log,
                resolver: self.resolver,
                report: self.report
            )
            let clock = BootClock()
            while true {
                let deadline = rounds.deadline
                let count = try poller.wait(
                    atMost: deadline == .never ? nil : deadline.since(clock.now())
                )
                let now = clock.now()
                self.wakeUp.clear()
                for note in self.takeNotes() { rounds.take(note, at: now) }
                for event in 0..<count where poller.token(event) != 0 {
                    rounds.ready(poller.token(event), poller.readiness(event), at: now)
                }
                rounds.tend(at: now)
            }
        } catch {
            self.log.error("health-failed", ["cause": error.description])
        }
    }

    private func takeNotes() -> [Note] {
        self.state.withLock { state in
            let taken = state.notes
            state.notes.removeAll()
            return taken
        }
    }
}
