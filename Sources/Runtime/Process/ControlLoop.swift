import LinuxIO
import Primitives
import Synchronization

/// What the control thread is told.
enum ControlEvent: Sendable {
    case terminate
    case reload
    case resolved(KnownNames)
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
        // Signals that came while the thread was busy have been read already and wake nobody.
        self.takeSignals()
        let isAny = self.pending.withLock { !$0.isEmpty }
        if !isAny { _ = try self.poller.wait(atMost: patience) }
        self.wakeUp.clear()
        self.takeSignals()
        return self.pending.withLock { pending in
            let taken = pending
            pending.removeAll()
            return taken
        }
    }

    /// Readable when a signal has come.
    var signalDescriptor: Int32 { self.signals.descriptor }

    /// Whether the process has been told to end, which may come while the control thread waits for
    /// something else; ``next(atMost:)`` tells of it all the same.
    var isEnding: Bool {
        self.takeSignals()
        return self.pending.withLock { pending in
            pending.contains { if case .terminate = $0 { true } else { false } }
        }
    }

    private func takeSignals() {
        while let signal = self.signals.next() {
            self.pending.withLock { $0.append(signal == .reload ? .reload : .terminate) }
        }
    }
}
