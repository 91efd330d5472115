public import Configuration
import Glibc
import LinuxIO
public import Names
import Primitives
import Synchronization

/// What names lead to, by the name as written in the configuration.
typealias KnownNames = [String: NameAnswer]

/// Looks names up on a thread of its own, and again when what was said of them no longer holds or
/// somebody finds it untrue.
///
/// Without names there is no thread, and without anything due it sleeps.
final class Resolver: Sendable {
    typealias Report = @Sendable (KnownNames) -> Void

    private struct State {
        /// What to look up from now on, if that has changed.
        var wanted: [String: NameQuestion]?
        var doubted: Set<String> = []
        var isAllDoubted = false
        var isRunning = false
    }

    private let state = Mutex(State())
    private let wakeUp: WakeUp
    private let log: EventLog
    private let report: Report

    /// `report` is called on the resolver's thread with what changed.
    init(log: EventLog, report: @escaping Report) throws(IOError) {
        self.wakeUp = try WakeUp()
        self.log = log
        self.report = report
    }

    /// Looks these names up from now on, and no others.
    func watch(_ endpoints: [Endpoint]) throws(IOError) {
        var wanted: [String: NameQuestion] = [:]
        for endpoint in endpoints { wanted[endpoint.description] = endpoint.question }
        let mustStart = self.state.withLock { state in
            state.wanted = wanted
            guard !wanted.isEmpty, !state.isRunning else { return false }
            state.isRunning = true
            return true
        }
        self.wakeUp.signal()
        if mustStart { try startThread(named: "fairlead-names") { self.run() } }
    }

    /// Whoever is at `name` does not answer: looks it up again, once a second at most; from any
    /// thread.
    func doubt(_ name: String) {
        let isNews = self.state.withLock { $0.isRunning && $0.doubted.insert(name).inserted }
        if isNews { self.wakeUp.signal() }
    }

    /// Nobody that any name leads to answers; otherwise as ``doubt(_:)``.
    func doubtAll() {
        let isNews = self.state.withLock { state in
            defer { state.isAllDoubted = true }
            return state.isRunning && !state.isAllDoubted
        }
        if isNews { self.wakeUp.signal() }
    }

    private func run() {
        var book = NameBook()
        var lookups: [String: NameLookup] = [:]
        let clock = BootClock()
        while true {
            self.takeWishes(&book, &lookups, at: clock.now())
            while let (name, question) = book.nextDue(at: clock.now()) {
                lookups[name] = NameLookup(question)
            }
            self.settle(&book, &lookups, at: clock.now())
            self.wait(until: book.deadline, lookups, clock)
        }
    }

    private func takeWishes(
        _ book: inout NameBook,
        _ lookups: inout [String: NameLookup],
        at now: Instant
    ) {
        self.wakeUp.clear()
        let (wanted, doubted, isAllDoubted) = self.state.withLock { state in
            defer { (state.wanted, state.doubted, state.isAllDoubted) = (nil, [], false) }
            return (state.wanted, state.doubted, state.isAllDoubted)
        }
        if let wanted {
            book.want(wanted, at: now)
            // A name that is wanted no more, or again, is not asked for twice at a time.
            for name in lookups.keys where wanted[name] == nil { lookups[name] = nil }
        }
        for name in isAllDoubted ? book.names : Array(doubted) { book.doubt(name, at: now) }
    }

    private func settle(
        _ book: inout NameBook,
        _ lookups: inout [String: NameLookup],
        at now: Instant
    ) {
        for (name, lookup) in lookups {
            guard let outcome = lookup.outcome else { continue }
            lookups[name] = nil
            switch book.settle(name, outcome, at: now) {
            case .nothing: break
            case .changed(let answer):
                let addresses = answer.addresses.prefix(16).map(\.hostText)
                self.log.debug(
                    "resolved",
                    ["name": name, "addresses": addresses.joined(separator: ",")]
                )
                self.report([name: answer])
            case .failed(let cause):
                self.log.warning("resolve-failed", ["name": name, "cause": cause])
            }
        }
    }

    /// Sleeps until a socket of a lookup, its timer, a wish or a name's time comes.
    private func wait(
        until deadline: Instant,
        _ lookups: [String: NameLookup],
        _ clock: BootClock
    ) {
        var entries = [pollfd(fd: self.wakeUp.descriptor, events: Int16(POLLIN), revents: 0)]
        var parts: [(NameLookup, Range<Int>)] = []
        var timeout: Int32 = -1
        for lookup in lookups.values {
            let first = entries.count
            entries += lookup.descriptors
            parts.append((lookup, first..<entries.count))
            timeout = Self.sooner(timeout, lookup.timeout)
        }
        if deadline != .never {
            let pause = deadline.since(clock.now())
            timeout = Self.sooner(timeout, Int32(clamping: pause.milliseconds + 1))
        }
        // Errors are those of memory, and signals, which other threads take: a pause is the cure.
        if poll(&entries, nfds_t(entries.count), timeout) < 0 { usleep(10_000) }
        for (lookup, range) in parts { lookup.process(entries[range]) }
    }

    /// Of two patiences in milliseconds; a negative one is for ever.
    private static func sooner(_ one: Int32, _ other: Int32) -> Int32 {
        one < 0 ? other : other < 0 ? one : min(one, other)
    }
}

extension Endpoint {
    /// What to ask the name service; `nil` for an address.
    public var question: NameQuestion? {
        switch self {
        case .address: nil
        case .name(let host, let port), .everyAddress(let host, let port):
            .host(host, port: port)
        case .records(let name): .service(name)
        }
    }
}
