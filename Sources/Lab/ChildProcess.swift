import Glibc
import LinuxIO
import Primitives

/// A program that the laboratory started and will end, by its process id alone.
final class ChildProcess {
    let identifier: pid_t
    private var exitStatus: Int32?

    /// Starts a program in the calling thread's network namespace; its words go to the file `log`.
    ///
    /// The program is ended by the kernel should the laboratory die without having done so.
    init(_ arguments: [String], log: String, priority: Priority = .usual) throws(LabFailure) {
        let wrapped = ["setpriv", "--pdeathsig", "KILL"] + priority.wrapper + arguments
        let path = "/dev/null"
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, path, O_RDONLY, 0)
        let flags = O_WRONLY | O_CREAT | O_APPEND
        posix_spawn_file_actions_addopen(&actions, 1, log, flags, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // The laboratory blocks the signals it listens for; a child must not inherit that, nor
        // share its terminal's Ctrl-C.
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        let options = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP
        posix_spawnattr_setflags(&attributes, Int16(options))
        var words = wrapped.map { strdup($0) }
        words.append(nil)
        defer { for word in words { free(word) } }
        var identifier = pid_t()
        let code = posix_spawnp(&identifier, wrapped[0], &actions, &attributes, words, environ)
        guard code == 0 else {
            throw LabFailure("cannot start \(arguments[0]): \(String(cString: strerror(code)))")
        }
        self.identifier = identifier
    }

    /// How urgently the kernel runs a program.
    enum Priority {
        case usual
        /// A little before everything else on the machine.
        case nice
        /// Before everything that is not real-time: the machine is shared, the path would not be.
        case realTime

        fileprivate var wrapper: [String] {
            switch self {
            case .usual: []
            case .nice: ["nice", "-n", "-15"]
            case .realTime: ["chrt", "--rr", "3"]
            }
        }
    }

    /// User and system time used so far; `nil` when the process is gone.
    static func processorTime(of identifier: pid_t) -> Instant.Interval? {
        var clock = clockid_t()
        guard clock_getcpuclockid(identifier, &clock) == 0 else { return nil }
        var time = timespec()
        guard clock_gettime(clock, &time) == 0 else { return nil }
        let nanoseconds = UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
        return Instant.Interval(nanoseconds: nanoseconds)
    }

    var isRunning: Bool {
        if self.exitStatus != nil { return false }
        var status: Int32 = 0
        if waitpid(self.identifier, &status, WNOHANG) == self.identifier {
            self.exitStatus = status
            return false
        }
        return true
    }

    /// Waits for the end; true for exit code 0.
    func waitForSuccess() -> Bool {
        var status: Int32 = 0
        while self.exitStatus == nil {
            if waitpid(self.identifier, &status, 0) == self.identifier {
                self.exitStatus = status
            } else if errno != EINTR {
                return false
            }
        }
        return self.exitStatus == 0
    }

    /// SIGTERM, a second of patience, then SIGKILL.
    func end() {
        guard self.isRunning else { return }
        kill(self.identifier, SIGTERM)
        for _ in 0..<100 {
            if !self.isRunning { return }
            usleep(10_000)
        }
        kill(self.identifier, SIGKILL)
        _ = self.waitForSuccess()
    }
}
