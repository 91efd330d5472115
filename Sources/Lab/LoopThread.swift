import Glibc
import LinuxIO
import Synchronization

/// A thread that takes one turn after another until it is stopped.
final class LoopThread: Sendable {
    private let wakeUp: WakeUp
    private let state = Mutex((isStopping: false, hasEnded: false))

    /// Starts it.
    ///
    /// - Parameters:
    ///   - wakeUp: what ``stop()`` signals; the turns wait for it among other things.
    ///   - priority: a real-time one; `nil` for the usual.
    ///   - turn: ends the loop by throwing.
    ///   - close: called on the thread at the end.
    init(
        named name: String,
        priority: Int32?,
        wakeUp: WakeUp,
        turn: @escaping @Sendable () throws -> Void,
        close: @escaping @Sendable () -> Void
    ) throws(IOError) {
        self.wakeUp = wakeUp
        try startThread(named: name) {
            if let priority { RealTime.enter(priority: priority) }
            while !self.state.withLock({ $0.isStopping }) {
                guard (try? turn()) != nil else { break }
            }
            close()
            self.state.withLock { $0.hasEnded = true }
        }
    }

    /// Ends the thread and waits for its end.
    func stop() {
        self.state.withLock { $0.isStopping = true }
        self.wakeUp.signal()
        while !self.state.withLock({ $0.hasEnded }) { usleep(1_000) }
    }
}
