import Glibc
import LinuxIO
public import Session

/// What one worker knows at one moment.
public struct WorkerSnapshot: Sendable {
    public var engine: EngineSnapshot
    public var services: [ServiceTally]
    public var tunnelSockets: UDPCounters
    public var isSessionUp: Bool
    /// Packets that another worker's full queue, a full local socket or a limit threw away.
    public var drops: [(reason: String, count: UInt64)]
}

/// A question to all workers, and the place where their answers meet.
final class SnapshotRequest: @unchecked Sendable {
    // A condition variable rather than a semaphore per worker: the asker wants all answers or a
    // timeout, whichever comes first.
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var answers: [WorkerSnapshot] = []

    init() {
        pthread_mutex_init(self.lock, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(self.condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(self.condition)
        pthread_mutex_destroy(self.lock)
        self.condition.deallocate()
        self.lock.deallocate()
    }

    func answer(_ snapshot: WorkerSnapshot) {
        pthread_mutex_lock(self.lock)
        self.answers.append(snapshot)
        pthread_cond_signal(self.condition)
        pthread_mutex_unlock(self.lock)
    }

    /// Waits for `count` answers, at most half a second; a worker that is later is left out.
    func wait(for count: Int) -> [WorkerSnapshot] {
        var limit = timespec()
        clock_gettime(CLOCK_MONOTONIC, &limit)
        limit.tv_nsec += 500_000_000
        if limit.tv_nsec >= 1_000_000_000 {
            limit.tv_nsec -= 1_000_000_000
            limit.tv_sec += 1
        }
        pthread_mutex_lock(self.lock)
        defer { pthread_mutex_unlock(self.lock) }
        while self.answers.count < count {
            if pthread_cond_timedwait(self.condition, self.lock, &limit) != 0 { break }
        }
        return self.answers
    }
}
