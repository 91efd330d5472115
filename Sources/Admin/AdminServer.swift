import Glibc
public import LinuxIO
public import Primitives

/// Serves metrics, status and health pages over TCP and over a unix socket, on a thread of its own.
///
/// GET only, but for the orders that the control socket takes; HTTP/1.1, one request for each
/// connection; a head has at most 8 KiB, each listener at most 16 connections, each connection at
/// most 5 seconds; where another wants to be served, the oldest unfinished one gives way. The
/// thread sleeps for ever while nobody is connected.
public final class AdminServer: Sendable {
    /// Connections that each listener serves at a time; the oldest unfinished one gives way.
    public static let connectionLimit = 16
    /// The number of the control socket among the listeners.
    static let controlSource = 1

    /// Where HTTP is served, with the port the kernel chose.
    public let httpAddress: SocketAddress?
    /// Where the control socket is.
    public let controlPath: String?
    private let wakeUp: WakeUp
    private let thread: pthread_t

    /// Binds and starts.
    ///
    /// `hosts`: what HTTP requests may call the address besides IP addresses and `localhost`.
    /// The first of `controlPaths` that can be bound is used, none if the list is empty.
    /// `report` and `order` are called on the server's thread and may take a moment.
    public init(
        http: SocketAddress?,
        hosts: [String] = [],
        controlPaths: [String],
        report: @escaping @Sendable () -> ProcessReport,
        order: AdminOrder.Handler? = nil
    ) throws(AdminFailure) {
        let listener = try Self.listener(http)
        let control = try Self.controlListener(controlPaths)
        self.httpAddress = listener?.localAddress
        self.controlPath = control?.path
        do throws(IOError) {
            let wakeUp = try WakeUp()
            let loop = try AdminLoop(
                listener: listener,
                control: control,
                wakeUp: wakeUp,
                responder: Responder(report: report, order: order, hosts: AdminHosts(hosts))
            )
            self.thread = try Self.start(loop)
            self.wakeUp = wakeUp
        } catch {
            throw AdminFailure(place: .thread, reason: error)
        }
    }

    private static func listener(_ http: SocketAddress?) throws(AdminFailure) -> TCPListener? {
        guard let http else { return nil }
        do throws(IOError) {
            return try TCPListener(binding: http, backlog: 64)
        } catch {
            throw AdminFailure(place: .http(http), reason: error)
        }
    }

    private static func controlListener(
        _ paths: [String]
    ) throws(AdminFailure) -> ControlSocketListener? {
        guard !paths.isEmpty else { return nil }
        do throws(IOError) {
            return try ControlSocketListener.first(of: paths)
        } catch {
            throw AdminFailure(place: .control(paths), reason: error)
        }
    }

    /// Closes every socket, removes the control socket's file and waits for the thread.
    ///
    /// Must be called once, and not on the thread of `report`.
    public func stop() {
        self.wakeUp.signal()
        pthread_join(self.thread, nil)
    }

    private static func start(_ loop: AdminLoop) throws(IOError) -> pthread_t {
        let context = unsafe Unmanaged.passRetained(loop)
        var thread = pthread_t()
        let code = unsafe pthread_create(
            &thread,
            nil,
            { context in
                guard let context = unsafe context else { return nil }
                let loop = unsafe Unmanaged<AdminLoop>.fromOpaque(context).takeRetainedValue()
                loop.run()
                return nil
            },
            unsafe context.toOpaque()
        )
        guard code == 0 else {
            unsafe context.release()
            throw IOError(code: code, call: "pthread_create")
        }
        return thread
    }
}

/// What an ``AdminServer`` could not have, and what the kernel said.
public struct AdminFailure: Error, Sendable, CustomStringConvertible {
    /// Which part of the server could not be had.
    public enum Place: Hashable, Sendable {
        /// The address of the HTTP pages.
        case http(SocketAddress)
        /// The control socket, none of whose paths could be bound.
        case control([String])
        /// The thread that serves both.
        case thread
    }

    /// What could not be had.
    public let place: Place
    /// What the kernel said.
    public let reason: IOError

    public var description: String {
        switch self.place {
        case .http(let address):
            "cannot serve admin pages on \(address): \(self.reason); \(self.httpCure)"
        case .control(let paths):
            "cannot make the control socket \(paths.joined(separator: " or ")): \(self.reason);"
                + " \(self.controlCure)"
        case .thread: "cannot start the admin thread: \(self.reason)"
        }
    }

    private var httpCure: String {
        switch self.reason.code {
        case EADDRINUSE:
            "stop the program that has this port (another instance?), or give admin another one"
        case EADDRNOTAVAIL: "use an address of this machine for admin"
        case EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE; give admin a higher one"
        default: "correct admin"
        }
    }

    private var controlCure: String {
        switch self.reason.code {
        case EADDRINUSE: "another process listens there: stop it, or give control another path"
        case ENOENT: "its folder does not exist: make it, or give control another path"
        case EACCES, EPERM, EROFS: "this user may not write there: give control another path"
        default: "give control another path, or \"off\""
        }
    }
}

/// The thread's work.
///
/// Made on one thread and then used on the other alone.
private final class AdminLoop {
    /// A poller's tokens: two listeners, the wake-up, then descriptors.
    private enum Token {
        static let listener: UInt64 = 0
        static let control: UInt64 = 1
        static let wakeUp: UInt64 = 2
        static let connections: UInt64 = 16
    }

    private let listener: TCPListener?
    private let control: ControlSocketListener?
    private let wakeUp: WakeUp
    private let poller: Poller
    private let responder: Responder
    private let clock = BootClock()
    private var connections: [AdminConnection] = []
    /// Whether the listener for HTTP is watched.
    private var isAccepting = true
    /// After a failed accept: when to accept again.
    private var restUntil: Instant?

    init(
        listener: TCPListener?,
        control: ControlSocketListener?,
        wakeUp: WakeUp,
        responder: Responder
    ) throws(IOError) {
        self.listener = listener
        self.control = control
        self.wakeUp = wakeUp
        self.responder = responder
        self.poller = try Poller()
        if let listener {
            try self.poller.add(listener.descriptor, token: Token.listener, interest: .readable)
        }
        if let control {
            try self.poller.add(control.descriptor, token: Token.control, interest: .readable)
        }
        try self.poller.add(wakeUp.descriptor, token: Token.wakeUp, interest: .readable)
    }

    deinit { for connection in self.connections { Self.end(connection.descriptor) } }

    func run() {
        while true {
            let now = self.clock.now()
            let deadlines = self.connections.map(\.deadline) + (self.restUntil.map { [$0] } ?? [])
            let deadline = deadlines.min()
            // The poller fails only for a bug; without it there is nothing left to serve.
            guard let count = try? self.poller.wait(atMost: deadline?.since(now)) else { return }
            for index in 0..<count {
                switch self.poller.token(index) {
                case Token.wakeUp: return
                case Token.listener: self.acceptHTTP()
                case Token.control: self.acceptControl()
                case let token: self.serve(Int32(truncatingIfNeeded: token - Token.connections))
                }
            }
            self.closeLate()
            self.watchListener()
        }
    }

    private func acceptHTTP() {
        guard let listener = self.listener else { return }
        for _ in 0..<AdminServer.connectionLimit {
            do {
                guard case .done(let accepted) = try listener.accept() else { return }
                self.adopt(accepted.socket.descriptor, source: 0)
            } catch {
                // Out of descriptors, most likely; trying at once would turn the loop for nothing.
                self.restUntil = self.clock.now() + .seconds(1)
                return
            }
        }
    }

    private func acceptControl() {
        for _ in 0..<AdminServer.connectionLimit {
            guard let descriptor = self.control?.accept() else { return }
            self.adopt(descriptor, source: AdminServer.controlSource)
        }
    }

    /// Closes the oldest connection if there are too many, one that still owes its request first.
    private func makeRoom(_ source: Int) {
        let all = self.connections.indices.filter { self.connections[$0].source == source }
        guard all.count >= AdminServer.connectionLimit else { return }
        // In the order of their coming.
        let slow = all.first { self.connections[$0].isReading } ?? all.first
        if let slow { self.close(at: slow) }
    }

    private func adopt(_ descriptor: Int32, source: Int) {
        self.makeRoom(source)
        let connection = AdminConnection(
            descriptor: descriptor,
            source: source,
            at: self.clock.now()
        )
        do {
            let token = Token.connections + UInt64(descriptor)
            try self.poller.add(descriptor, token: token, interest: .readable)
            self.connections.append(connection)
            // Its request is often here already, and then it need not give way to anybody.
            self.serve(descriptor)
        } catch {
            Glibc.close(descriptor)
        }
    }

    private func serve(_ descriptor: Int32) {
        // A token of a connection that was closed in this same turn finds nothing.
        guard let index = self.connections.firstIndex(where: { $0.descriptor == descriptor }) else {
            return
        }
        let token = Token.connections + UInt64(descriptor)
        do {
            switch self.connections[index].advance(self.responder) {
            case .read: try self.poller.modify(descriptor, token: token, interest: .readable)
            case .write: try self.poller.modify(descriptor, token: token, interest: .writable)
            case .close: self.close(at: index)
            }
        } catch {
            self.close(at: index)
        }
    }

    private func close(at index: Int) {
        Self.end(self.connections.remove(at: index).descriptor)
    }

    /// A tidy end: what the listener accepts would be reset, and take the page with it.
    private static func end(_ descriptor: Int32) { TCPSocket(adopting: descriptor).close() }

    private func closeLate() {
        let now = self.clock.now()
        for index in self.connections.indices.reversed()
        where self.connections[index].deadline <= now {
            self.close(at: index)
        }
    }

    /// A listener that may not accept is not watched, or it would wake the thread for nothing.
    private func watchListener() {
        if let end = self.restUntil, end <= self.clock.now() { self.restUntil = nil }
        let mayAccept = self.restUntil == nil
        guard self.isAccepting != mayAccept, let listener = self.listener else { return }
        self.isAccepting = mayAccept
        let interest: Readiness = mayAccept ? .readable : []
        try? self.poller.modify(listener.descriptor, token: Token.listener, interest: interest)
    }
}
