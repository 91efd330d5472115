import LinuxIO
import Primitives
import Synchronization

/// What the control thread is told.
enum ControlEvent: Sendable {
    case terminate
    case reload
    case resolved([String: [SocketAddress]])
    case drain(DrainRequest)
    case workerEnded(index: Int, failure: String?)
}

/// The control thread's wait for signals and for what other threads report.
final class ControlLoop: Sendable {
    private let pending = Mutex<[ControlEvent]>([])
    private let wakeUp: WakeUp
    /// Used by the control thread alone.
    nonisolated(unsafe) private let signals: SignalSource
    nonisolated(unsafe) private let poller: Poller

    /// Takes over the process's signals; must come before any other thread starts.
    init() throws(IOError) {
        self.signals = try SignalSource()
        self.wakeUp = try WakeUp()
        self.poller = try Poller()
        try self.poller.add(self.signals.descriptor, token: 0, interest: .readable)
        try self.poller.add(self.wakeUp.descriptor, token: 1, interest: .readable)
    }

    func post(_ event: ControlEvent) {
        self.pending.withLock { $0.append(event) }
        self.wakeUp.signal()
    }

    /// Also wakes up when `descriptor` is readable.
    func watch(_ descriptor: Int32) throws(IOError) {
        try self.poller.add(descriptor, token: 2, interest: .readable)
    }

    /// What has happened since; waits for something, at most `patience`.
    func next(atMost patience: Instant.Interval?) throws(IOError) -> [ControlEvent] {
        _ = try self.poller.wait(atMost: patience)
        self.wakeUp.clear()
        var events = self.pending.withLock { pending in
            let taken = pending
            pending.removeAll()
            return taken
        }
        while let signal = self.signals.next() {
            events.append(signal == .reload ? .reload : .terminate)
        }
        return events
    }
}
