import Glibc
import LinuxIO
import Primitives
import Synchronization

/// What a process does on its control thread besides obeying signals.
struct Chores {
    /// When there is something to do.
    var deadline: () -> Instant = { .never }
    /// Called after every wake-up; cheap when there is nothing to do.
    var tend: (Instant) -> Void = { _ in }
    /// An operator's wish; must be answered.
    var drain: (DrainRequest) -> Void = { $0.answer(.refused("a client has no backends")) }
    /// Why the process is not ready though it has started, if so.
    var obstacle: () -> String? = { nil }
}

/// What client and server have in common: the control thread's life from the first signal mask to
/// the exit code.
final class ProcessCore: Sendable {
    /// How long workers may take to say goodbye; the contract gives two seconds in all.
    private static let drainTime = Instant.Interval.milliseconds(1_500)

    let role: ProcessStatus.Role
    let log: EventLog
    let control: ControlLoop
    let crew = Crew()
    private let started = BootClock().now()
    /// `nil` until the process is ready and when it drains.
    private let listen = Mutex<[SocketAddress]?>(nil)
    private let obstacle = Mutex<String?>(nil)
    /// Whether the control thread still takes wishes.
    private let isOpen = Mutex(true)

    init(role: ProcessStatus.Role, log: EventLog) throws(IOError) {
        self.role = role
        self.log = log
        self.control = try ControlLoop()
        Self.raiseDescriptorLimit()
    }

    /// Every player takes a descriptor, and the usual soft limit of 1024 exists for `select` alone.
    private static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// Runs the process on this thread and returns its exit code.
    ///
    /// `start` sets everything up and says what is listened on.
    func run(
        start: () throws -> [SocketAddress],
        reload: () -> Void,
        resolved: (KnownNames) -> Void,
        chores: Chores = Chores()
    ) -> Int32 {
        do {
            let addresses = try start()
            return try self.serve(addresses, reload: reload, resolved: resolved, chores)
        } catch {
            self.log.error("failed", ["cause": "\(error)"])
            return 1
        }
    }

    private func serve(
        _ addresses: [SocketAddress],
        reload: () -> Void,
        resolved: (KnownNames) -> Void,
        _ chores: Chores
    ) throws(IOError) -> Int32 {
        let clock = BootClock()
        while true {
            // Whoever is told to end while it starts is not ready, and that is no news.
            if !self.control.isEnding { self.judge(chores.obstacle(), addresses) }
            let deadline = chores.deadline()
            let patience = deadline == .never ? nil : deadline.since(clock.now())
            let events = try self.control.next(atMost: patience)
            for event in events {
                switch event {
                case .terminate:
                    Self.refuse(events)
                    return try self.drain()
                case .reload: reload()
                case .resolved(let news): resolved(news)
                case .drain(let request): chores.drain(request)
                case .workerEnded(let index, let failure):
                    self.log.error(
                        "failed",
                        ["worker": String(index), "cause": failure ?? "ended unasked"]
                    )
                    return 1
                }
            }
            chores.tend(clock.now())
        }
    }

    /// Tells, once, that the process is ready, and keeps what the status says of it true.
    private func judge(_ obstacle: String?, _ addresses: [SocketAddress]) {
        let isNew = self.obstacle.withLock { old in
            defer { old = obstacle }
            return old != obstacle
        }
        if isNew, let obstacle { self.log.warning("not-ready", ["cause": obstacle]) }
        guard obstacle == nil else { return }
        let isNews = self.listen.withLock { listen in
            defer { listen = addresses }
            return listen == nil
        }
        guard isNews else { return }
        self.log.info(
            "ready",
            [
                "role": self.role.rawValue,
                "listen": addresses.map(\.description).joined(separator: ","),
            ]
        )
    }

    private static func refuse(_ events: [ControlEvent]) {
        for case .drain(let request) in events { request.answer(Self.tooLate) }
    }

    /// Ends every session and waits for the workers, but not for ever.
    private func drain() throws(IOError) -> Int32 {
        self.log.info("drain")
        self.listen.withLock { $0 = nil }
        self.crew.post { _ in .shutDown }
        let clock = BootClock()
        let deadline = clock.now() + Self.drainTime
        self.isOpen.withLock { $0 = false }
        while self.crew.isRunning, clock.now() < deadline {
            let events = try self.control.next(atMost: deadline.since(clock.now()))
            for case .workerEnded in events { self.crew.ended() }
            Self.refuse(events)
        }
        Self.refuse(try self.control.next(atMost: .zero))
        return 0
    }

    private static let tooLate = DrainOutcome.refused("the process is ending")

    /// Lets a backend get nobody new, or new ones again; callable from every thread but the control
    /// thread.
    func drain(service: String, backend: String, isDraining: Bool) -> DrainOutcome {
        do throws(IOError) {
            let name = BackendName(service: service, backend: backend)
            let request = try DrainRequest(name, isDraining: isDraining)
            // Once closed, nobody would answer, and whoever waits here would hold up the end.
            let isPosted = self.isOpen.withLock { isOpen in
                if isOpen { self.control.post(.drain(request)) }
                return isOpen
            }
            return isPosted ? try request.wait() : Self.tooLate
        } catch {
            return .refused("\(error)")
        }
    }

    /// Why a client has no session it can rely on.
    private static func obstacle(_ snapshots: [WorkerSnapshot]) -> String {
        if snapshots.contains(where: \.isSessionInDoubt) { return "session-in-doubt" }
        let cause = snapshots.lazy.compactMap(\.connectFailure).first
        return "no session with the server" + (cause.map { ": \($0)" } ?? "")
    }

    /// What the process knows of itself; callable from every thread.
    func status() -> ProcessStatus {
        let addresses = self.listen.withLock { $0 }
        var status = ProcessStatus(
            role: self.role,
            uptime: BootClock().now().since(self.started),
            listen: addresses ?? []
        )
        let snapshots = self.crew.snapshots()
        for snapshot in snapshots { status.add(snapshot) }
        if let obstacle = self.obstacle.withLock({ $0 }) {
            status.reason = obstacle
            return status
        }
        guard addresses != nil else { return status }
        switch self.role {
        case .server:
            status.isReady = true
            status.reason = "ok"
        case .client:
            status.isReady = snapshots.contains { $0.isSessionUp && !$0.isSessionInDoubt }
            status.reason = status.isReady ? "ok" : Self.obstacle(snapshots)
        }
        return status
    }
}
