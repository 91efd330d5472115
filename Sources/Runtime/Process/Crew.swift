import LinuxIO
import Primitives
import Synchronization

/// The workers of a process, seen from its other threads.
final class Crew: Sendable {
    private struct State {
        var mailboxes: [Mailbox] = []
        var running = 0
    }

    private let state = Mutex(State())

    /// Starts one thread per element of `parts`.
    func start(_ parts: [WorkerParts], control: ControlLoop) throws(IOError) {
        self.state.withLock { $0.mailboxes = parts.first?.mailboxes ?? [] }
        for part in parts {
            let worker = Handover(try Worker(part))
            let index = part.index
            try startThread(named: "fairlead-\(index)") {
                do throws(IOError) {
                    try worker.value.run()
                    control.post(.workerEnded(index: index, failure: nil))
                } catch {
                    control.post(.workerEnded(index: index, failure: error.description))
                }
            }
            self.state.withLock { $0.running += 1 }
        }
    }

    var count: Int { self.state.withLock { $0.mailboxes.count } }

    func ended() { self.state.withLock { $0.running -= 1 } }

    var isRunning: Bool { self.state.withLock { $0.running > 0 } }

    /// Gives every worker an order, made for its index.
    func post(_ order: (Int) -> Order) {
        let mailboxes = self.state.withLock { $0.mailboxes }
        for (index, mailbox) in mailboxes.enumerated() { mailbox.post(order(index)) }
    }

    /// Waits until every worker has carried out what was posted before, half a second at most.
    func settle() { _ = self.snapshots() }

    /// What every worker knows now; blocks until they have answered, half a second at most.
    func snapshots() -> [WorkerSnapshot] {
        let mailboxes = self.state.withLock { $0.running > 0 ? $0.mailboxes : [] }
        guard !mailboxes.isEmpty else { return [] }
        do throws(IOError) {
            let request = try SnapshotRequest()
            for mailbox in mailboxes { mailbox.post(.snapshot(request)) }
            return try request.wait(for: mailboxes.count)
        } catch {
            // Out of descriptors: a page without numbers beats a process that stops.
            return []
        }
    }
}
