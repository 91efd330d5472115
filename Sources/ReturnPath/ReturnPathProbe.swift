import Glibc
import LinuxIO
import Primitives

/// How somebody who waits for probes is told to give up.
public struct ProbeInterrupt {
    /// Becomes readable when ``isWanted`` may have changed.
    public var descriptor: Int32
    /// Also makes ``descriptor`` unreadable, or the wait would turn for nothing.
    public var isWanted: () -> Bool

    /// An interrupt that `descriptor` announces and `isWanted` confirms; it owns neither.
    public init(descriptor: Int32, isWanted: @escaping () -> Bool) {
        self.descriptor = descriptor
        self.isWanted = isWanted
    }
}

/// Packets from a test address to backends, to see whether the replies come back.
enum ReturnPathProbe {
    enum Outcome: Hashable, Sendable {
        /// The backend itself has answered.
        case answered
        /// Its machine has said that nobody listens: the way is proven all the same.
        case closed
        /// Nothing came.
        case silent
        case failed(IOError)

        var isProof: Bool { self == .answered || self == .closed }
    }

    /// How a backend is probed.
    enum Method: Hashable, Sendable {
        /// A TCP connection, reset as soon as it stands.
        case connection
        /// A datagram that the backend answers.
        case question([UInt8])
        /// An empty datagram to a port where nobody listens.
        case closedPort(UInt16)

        var isQuestion: Bool {
            if case .question = self { true } else { false }
        }
    }

    struct Target: Hashable, Sendable {
        /// `nil`: from an address of this machine, as a comparison.
        var source: SocketAddress?
        var address: SocketAddress
        var method: Method
    }

    /// Lost datagrams are repeated after this long; the kernel repeats a SYN after a second.
    private static let repeatMilliseconds: Int32 = 250
    static let patience = Instant.Interval.milliseconds(1300)

    /// Probes all targets at the same time and waits for the last; `nil` when interrupted.
    static func run(_ targets: [Target], interrupt: ProbeInterrupt?) -> [Outcome]? {
        var attempts = targets.map { Attempt($0) }
        // However it ends, no connection may stay half open.
        defer { for attempt in attempts { attempt.close() } }
        let clock = BootClock()
        let deadline = clock.now() + Self.patience
        while attempts.contains(where: { $0.outcome == nil }), clock.now() < deadline {
            for index in attempts.indices { attempts[index].send() }
            let pause = clock.now() + .milliseconds(UInt64(Self.repeatMilliseconds))
            while clock.now() < pause, attempts.contains(where: { $0.outcome == nil }) {
                Self.wait(&attempts, interrupt)
                if interrupt?.isWanted() == true { return nil }
            }
        }
        return attempts.map { $0.outcome ?? .silent }
    }

    private static func wait(_ attempts: inout [Attempt], _ interrupt: ProbeInterrupt?) {
        let waiting = attempts.indices.filter { attempts[$0].outcome == nil }
        var polls = waiting.map { attempts[$0].poll }
        if let descriptor = interrupt?.descriptor {
            polls.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
        }
        guard unsafe Glibc.poll(&polls, nfds_t(polls.count), Self.repeatMilliseconds) > 0 else {
            return
        }
        for (place, index) in waiting.enumerated() where polls[place].revents != 0 {
            attempts[index].becameReady()
        }
    }
}

extension ReturnPathProbe {
    /// One target on its way.
    fileprivate struct Attempt {
        let target: Target
        var outcome: Outcome?
        private var connection: TCPSocket?
        private var datagrams: UDPSocket?

        init(_ target: Target) {
            self.target = target
            do throws(IOError) {
                try self.open()
            } catch {
                self.outcome = Self.outcome(error.code, error)
            }
        }

        private mutating func open() throws(IOError) {
            let target = self.target
            var options = UDPOptions()
            options.receiveBuffer = 64 << 10
            options.sendBuffer = 64 << 10
            do throws(TransparentFailure) {
                switch target.method {
                case .connection:
                    guard let source = target.source else {
                        self.connection = try Self.plainConnection(target.address)
                        return
                    }
                    self.connection = try TransparentSocket.connectTCP(
                        from: source,
                        to: target.address,
                        port: .any
                    )
                case .question, .closedPort:
                    var address = target.address
                    if case .closedPort(let port) = target.method { address.port = port }
                    guard let source = target.source else {
                        self.datagrams = try Self.plainDatagrams(address, options)
                        return
                    }
                    self.datagrams = try TransparentSocket.connectUDP(
                        from: source,
                        to: address,
                        port: .any,
                        options: options
                    )
                }
            } catch {
                throw error.error
            }
        }

        private static func plainConnection(
            _ address: SocketAddress
        ) throws(TransparentFailure) -> TCPSocket {
            do throws(IOError) {
                return try TCPSocket.connect(to: address)
            } catch {
                throw TransparentFailure(.network, error)
            }
        }

        private static func plainDatagrams(
            _ address: SocketAddress,
            _ options: UDPOptions
        ) throws(TransparentFailure) -> UDPSocket {
            do throws(IOError) {
                return try UDPSocket(connectingTo: address, options: options)
            } catch {
                throw TransparentFailure(.network, error)
            }
        }

        var poll: pollfd {
            let events = Int16(self.connection == nil ? POLLIN : POLLOUT)
            let descriptor = self.connection?.descriptor ?? self.datagrams?.descriptor ?? -1
            return pollfd(fd: descriptor, events: events, revents: 0)
        }

        /// Sends the datagram, again if need be.
        mutating func send() {
            guard self.outcome == nil, let descriptor = self.datagrams?.descriptor else { return }
            var payload: [UInt8] = []
            if case .question(let bytes) = self.target.method { payload = bytes }
            let count = unsafe payload.withUnsafeBytes {
                unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno != EAGAIN { self.outcome = Self.outcome(errno) }
        }

        mutating func becameReady() {
            if let connection = self.connection {
                let error = connection.connectResult()
                self.outcome = error.map { Self.outcome($0.code) } ?? .answered
            } else if let descriptor = self.datagrams?.descriptor {
                var byte: UInt8 = 0
                let count = unsafe recv(descriptor, &byte, 1, 0)
                guard count < 0 else { return self.outcome = .answered }
                if errno != EAGAIN, errno != EINTR { self.outcome = Self.outcome(errno) }
            }
        }

        /// A reset leaves neither end waiting, and a port that is not in TIME_WAIT.
        func close() { self.connection?.abort() }

        private static func outcome(_ code: Int32, _ error: IOError? = nil) -> Outcome {
            switch code {
            case ECONNREFUSED, ECONNRESET: .closed
            case ETIMEDOUT: .silent
            default: .failed(error ?? IOError(code: code, call: "connect"))
            }
        }
    }
}
