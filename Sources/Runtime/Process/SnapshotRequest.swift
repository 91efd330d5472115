public import LinuxIO
import Primitives
public import Session
import Synchronization

/// What one worker knows at one moment.
public struct WorkerSnapshot: Sendable {
    /// What the worker's engine knows.
    public var engine: EngineSnapshot
    /// What the worker moved, by service.
    public var services: [ServiceTally]
    /// What the worker's tunnel socket could not do.
    public var tunnelSockets: UDPCounters
    /// Client: whether it has a session with a server.
    public var isSessionUp: Bool
    /// Client: its server is silent though it owes a word.
    public var isSessionInDoubt: Bool
    /// Packets that another worker's full queue, a full local socket or a limit threw away.
    public var drops: [(reason: String, count: UInt64)]
    /// Whom a server has turned away lately.
    public var refusals: [RefusalTally] = []
    /// Why a client has no session; `nil` while it has one, and before it knows.
    public var connectFailure: String?
}

/// A question to all workers, and the place where their answers meet.
final class SnapshotRequest: Sendable {
    /// A worker that takes longer is left out.
    private static let patience = Instant.Interval.milliseconds(500)

    private let answers = Mutex<[WorkerSnapshot]>([])
    private let wakeUp: WakeUp

    init() throws(IOError) { self.wakeUp = try WakeUp() }

    func answer(_ snapshot: WorkerSnapshot) {
        self.answers.withLock { $0.append(snapshot) }
        self.wakeUp.signal()
    }

    /// Waits for `count` answers, half a second at most.
    func wait(for count: Int) throws(IOError) -> [WorkerSnapshot] {
        let poller = try Poller()
        try poller.add(self.wakeUp.descriptor, token: 0, interest: .readable)
        let clock = BootClock()
        let deadline = clock.now() + Self.patience
        while true {
            let taken = self.answers.withLock { $0 }
            let now = clock.now()
            if taken.count >= count || now >= deadline { return taken }
            _ = try poller.wait(atMost: deadline.since(now))
            self.wakeUp.clear()
        }
    }
}
