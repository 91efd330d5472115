import LinuxIO
import Primitives
import Synchronization

/// What a thread will have found out, for one waiting thread.
final class Outcome<Value: Sendable>: Sendable {
    private let result = Mutex<Result<Value, any Error>?>(nil)
    let wakeUp: WakeUp

    /// Starts a thread that runs `body`.
    init(named name: String, _ body: @escaping @Sendable () throws -> Value) throws(IOError) {
        self.wakeUp = try WakeUp()
        try startThread(named: name) {
            let result = Result { try body() }
            self.result.withLock { $0 = result }
            self.wakeUp.signal()
        }
    }

    /// `nil` while the thread still runs.
    func take() throws -> Value? { try self.result.withLock { $0 }?.get() }
}

/// The signals that end the laboratory, watched wherever its main thread waits.
final class Interruptions {
    private let signals: SignalSource

    /// Must be made before any other thread.
    init() throws(IOError) { self.signals = try SignalSource() }

    /// Sleeps; throws ``LabInterruption`` on SIGINT and SIGTERM.
    func sleep(_ interval: Instant.Interval) throws {
        let end = BootClock().now() + interval
        let poller = try Poller()
        try poller.add(self.signals.descriptor, token: 0, interest: .readable)
        while true {
            try self.check()
            let rest = end.since(BootClock().now())
            if rest == .zero { return }
            _ = try poller.wait(atMost: rest)
        }
    }

    /// Waits for a thread's result.
    func wait<Value>(for outcome: Outcome<Value>) throws -> Value {
        let poller = try Poller()
        try poller.add(self.signals.descriptor, token: 0, interest: .readable)
        try poller.add(outcome.wakeUp.descriptor, token: 1, interest: .readable)
        while true {
            try self.check()
            if let value = try outcome.take() { return value }
            _ = try poller.wait(atMost: .seconds(1))
        }
    }

    func check() throws(LabInterruption) {
        while let signal = self.signals.next() {
            if signal == .terminate { throw LabInterruption() }
        }
    }
}
