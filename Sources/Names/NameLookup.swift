import CCares
public import Glibc
import LinuxIO
import Primitives

/// One question under way, by c-ares, without blocking: poll its descriptors and say what came.
///
/// It has a channel of its own, which reads `/etc/resolv.conf` anew and keeps no socket once it is
/// answered. Belongs to one thread.
public final class NameLookup {
    /// How a lookup ended.
    public enum Outcome: Hashable, Sendable {
        /// The name leads somewhere.
        case found(NameAnswer)
        /// It does not, or nobody could say; a few words for the log.
        case failed(cause: String)
    }

    /// More addresses than this are nobody's; the lowest ones are taken, which stay the same.
    public static let placeLimit = 256
    private static let targetLimit = 32

    /// Until the first server is asked again; it doubles with each of the tries.
    private static let patience: Int32 = 1_500
    private static let tries: Int32 = 3

    /// How it ended; `nil` while it is under way.
    public private(set) var outcome: Outcome?
    private var channel: ares_channel?
    private let question: NameQuestion
    private var openCount = 0
    private var wanted: [ServiceRecord] = []
    private var places: [NameAnswer.Place] = []
    private var missing: [ServiceRecord] = []
    private var seconds = UInt32.max
    private var cause = "no address"
    private var isAnswered = false

    /// Asks; the answer may be there at once.
    ///
    /// `servers` are asked in place of those of `/etc/resolv.conf`, as `127.0.0.1:53`.
    public init(_ question: NameQuestion, servers: String? = nil) {
        self.question = question
        _ = Self.isReady
        var options = ares_options()
        options.timeout = Self.patience
        options.tries = Self.tries
        let status = ares_init_options(
            &self.channel,
            &options,
            Int32(ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES)
        )
        guard status == ARES_SUCCESS, let channel = self.channel else {
            self.channel = nil
            self.outcome = .failed(cause: Self.text(status))
            return
        }
        if let servers { ares_set_servers_ports_csv(channel, servers) }
        switch question {
        case .host(let host, let port):
            let record = ServiceRecord(priority: 0, weight: 0, port: port, target: host)
            self.askAddresses(record, channel)
        case .service(let name): self.askService(name, channel)
        }
        self.advance()
    }

    deinit { self.close() }

    private static let isReady = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS

    private static func text(_ status: Int32) -> String { String(cString: ares_strerror(status)) }

    // MARK: Sockets

    /// What to poll for.
    public var descriptors: [pollfd] {
        guard let channel = self.channel else { return [] }
        let room = 16
        return withUnsafeTemporaryAllocation(of: ares_socket_t.self, capacity: room) { sockets in
            let bits = ares_getsock(channel, sockets.baseAddress, Int32(room))
            return (0..<room).compactMap { index in
                var events: Int32 = 0
                if bits & 1 << index != 0 { events |= POLLIN }
                if bits & 1 << (index + room) != 0 { events |= POLLOUT }
                guard events != 0 else { return nil }
                return pollfd(fd: sockets[index], events: Int16(events), revents: 0)
            }
        }
    }

    /// After how many milliseconds to call ``process(_:)`` whatever the descriptors say.
    public var timeout: Int32 {
        guard let channel = self.channel else { return -1 }
        var time = timeval()
        guard ares_timeout(channel, nil, &time) != nil else { return -1 }
        return Int32(clamping: time.tv_sec * 1_000 + (time.tv_usec + 999) / 1_000)
    }

    /// Takes what `poll` has said of ``descriptors``, and what time has done.
    public func process(_ descriptors: some Sequence<pollfd>) {
        guard let channel = self.channel else { return }
        let none = ares_socket_t(-1)
        for entry in descriptors where entry.revents != 0 {
            let isWritable = entry.revents & Int16(POLLOUT) != 0
            // An error is read from the socket like an answer.
            let isReadable = entry.revents & ~Int16(POLLOUT) != 0
            ares_process_fd(channel, isReadable ? entry.fd : none, isWritable ? entry.fd : none)
        }
        ares_process_fd(channel, none, none)
        self.advance()
    }

    /// Waits for the answer, some ten seconds at most.
    public static func answer(to question: NameQuestion) -> Outcome {
        let lookup = NameLookup(question)
        while true {
            if let outcome = lookup.outcome { return outcome }
            var entries = lookup.descriptors
            _ = poll(&entries, nfds_t(entries.count), lookup.timeout)
            lookup.process(entries)
        }
    }

    // MARK: Questions

    /// What a callback is given; the lookup may be gone when c-ares calls back for the last time.
    private final class Query {
        weak var lookup: NameLookup?
        let record: ServiceRecord

        init(_ lookup: NameLookup, _ record: ServiceRecord) {
            self.lookup = lookup
            self.record = record
        }
    }

    private func askAddresses(_ record: ServiceRecord, _ channel: ares_channel) {
        var hints = ares_addrinfo_hints()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
        self.openCount += 1
        let query = Unmanaged.passRetained(Query(self, record))
        ares_getaddrinfo(
            channel,
            record.target,
            nil,
            &hints,
            { context, status, _, list in
                defer { if let list { ares_freeaddrinfo(list) } }
                guard let context else { return }
                let query = Unmanaged<Query>.fromOpaque(context).takeRetainedValue()
                query.lookup?.take(status, list, of: query.record)
            },
            query.toOpaque()
        )
    }

    private func askService(_ name: String, _ channel: ares_channel) {
        self.openCount += 1
        let record = ServiceRecord(priority: 0, weight: 0, port: 0, target: name)
        let query = Unmanaged.passRetained(Query(self, record))
        ares_search(
            channel,
            name,
            1,
            33,
            { context, status, _, bytes, count in
                guard let context else { return }
                let query = Unmanaged<Query>.fromOpaque(context).takeRetainedValue()
                query.lookup?.takeService(
                    status,
                    UnsafeRawBufferPointer(start: bytes, count: Int(max(0, count)))
                )
            },
            query.toOpaque()
        )
    }

    private func takeService(_ status: Int32, _ message: UnsafeRawBufferPointer) {
        self.openCount -= 1
        guard status == ARES_SUCCESS else { return self.cause = Self.text(status) }
        guard let reply = ServiceReply(message) else {
            return self.cause = Self.text(ARES_EBADRESP)
        }
        guard !reply.records.isEmpty else { return self.cause = Self.text(ARES_ENODATA) }
        self.seconds = min(self.seconds, reply.timeToLive)
        let hosts = reply.records.filter { !$0.target.isEmpty && $0.port != 0 }
        // "." as the only target is an answer: nobody.
        if hosts.isEmpty { self.isAnswered = true }
        self.wanted = hosts.sorted {
            ($0.priority, $0.target, $0.port) < ($1.priority, $1.target, $1.port)
        }
        .prefix(Self.targetLimit).reversed()
    }

    private func take(
        _ status: Int32,
        _ list: UnsafeMutablePointer<ares_addrinfo>?,
        of record: ServiceRecord
    ) {
        self.openCount -= 1
        guard status == ARES_SUCCESS, let list else {
            self.cause = Self.text(status)
            self.missing.append(record)
            return
        }
        var alias = list.pointee.cnames
        while let entry = alias {
            self.seconds = min(self.seconds, UInt32(max(0, entry.pointee.ttl)))
            alias = entry.pointee.next
        }
        var next = list.pointee.nodes
        var isFound = false
        while let entry = next {
            next = entry.pointee.ai_next
            self.seconds = min(self.seconds, UInt32(max(0, entry.pointee.ai_ttl)))
            var info = addrinfo()
            info.ai_addr = entry.pointee.ai_addr
            info.ai_addrlen = entry.pointee.ai_addrlen
            guard let address = SocketAddress(info)?.with(port: record.port) else { continue }
            isFound = true
            self.add(
                .init(
                    address,
                    target: record.target,
                    priority: record.priority,
                    weight: record.weight
                )
            )
        }
        if !isFound { self.missing.append(record) }
    }

    private func add(_ place: NameAnswer.Place) {
        let isKnown = self.places.contains {
            $0.address == place.address && $0.priority == place.priority
        }
        if !isKnown { self.places.append(place) }
    }

    /// Goes on where callbacks have left work, outside of them.
    private func advance() {
        while let channel = self.channel, let record = self.wanted.popLast() {
            self.askAddresses(record, channel)
        }
        guard self.outcome == nil, self.openCount == 0 else { return }
        self.finish()
        self.close()
    }

    private func finish() {
        guard self.isAnswered || !self.places.isEmpty else {
            return self.outcome = .failed(cause: self.cause)
        }
        if self.places.count > Self.placeLimit {
            self.places.sort { $0.order < $1.order }
            self.places.removeLast(self.places.count - Self.placeLimit)
        }
        self.outcome = .found(
            NameAnswer(
                self.places,
                timeToLive: .seconds(UInt64(self.seconds == .max ? 0 : self.seconds)),
                missing: self.missing
            )
        )
    }

    private func close() {
        if let channel = self.channel { ares_destroy(channel) }
        self.channel = nil
    }
}

extension NameAnswer.Place {
    /// The same for every answer with the same places.
    fileprivate var order: (UInt16, UInt64, UInt64, UInt16) {
        (self.priority, self.address.high, self.address.low, self.address.port)
    }
}
