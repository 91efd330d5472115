import Glibc
import LinuxIO
import Primitives

/// Many players behind a few sockets: each has an address and port of its own, and says in every
/// datagram who it is and when it spoke.
///
/// One socket per port, bound to the wildcard address; which player speaks decides the source
/// address (IP_PKTINFO). So the load costs far less than what it is meant to load.
final class Swarm {
    struct Plan {
        var target = SocketAddress.anyIPv4(port: 0)
        /// The first player's address; the others follow it.
        var first = SocketAddress.anyIPv4(port: 0)
        var players = 1
        var ports = 1
        var firstPort: UInt16 = 20_000
        var byteCount = 100
    }

    /// What one command came to.
    struct Tally {
        var sent: UInt64 = 0
        var received: UInt64 = 0
        var repeated: UInt64 = 0
        /// Datagrams for another player, or of another making.
        var misled: UInt64 = 0
        var seconds = 0.0
        var delays: [UInt32] = []
    }

    /// A stall of this machine must not be made up for in one burst that no player would send.
    private static let patience = Instant.Interval.milliseconds(20)

    /// `IPV6_FREEBIND`.
    private static let freebind: Int32 = 78

    private let plan: Plan
    private let sockets: [UDPSocket]
    private let poller: Poller
    private let outgoing = SendBatch(capacity: 256 << 10)
    private let received = ReceiveBatch()
    private let clock = BootClock()
    private let datagram: UnsafeMutableRawBufferPointer
    private let players: [SocketAddress]
    /// A bit per datagram of the command that runs.
    private var seen: [UInt64] = []
    private var firstNumber: UInt64 = 0
    private var nextNumber: UInt64 = 0
    private var tally = Tally()
    /// The socket that ``outgoing`` is for.
    private var current: UDPSocket?

    init(_ plan: Plan) throws(IOError) {
        self.plan = plan
        self.poller = try Poller()
        var sockets: [UDPSocket] = []
        for index in 0..<plan.ports {
            var options = UDPOptions()
            options.receiveBuffer = 16 << 20
            options.sendBuffer = 16 << 20
            options.isDualStack = false
            options.reportsDestination = true
            let port = plan.firstPort + UInt16(index)
            let local: SocketAddress =
                plan.target.isIPv4 ? .anyIPv4(port: port) : .anyIPv6(port: port)
            let socket = try UDPSocket(binding: local, options: options)
            // IPv6 lets nobody send from an address that is only routed here, not assigned.
            var isAllowed: Int32 = 1
            let size = socklen_t(MemoryLayout<Int32>.size)
            setsockopt(socket.descriptor, Int32(IPPROTO_IPV6), Self.freebind, &isAllowed, size)
            try self.poller.add(socket.descriptor, token: UInt64(index), interest: .readable)
            sockets.append(socket)
        }
        self.sockets = sockets
        let perPort = (plan.players + plan.ports - 1) / plan.ports
        self.players = (0..<plan.players).map { index in
            let port = plan.firstPort + UInt16(index / perPort)
            let offset = UInt64(index % perPort)
            return SocketAddress(
                high: plan.first.high,
                low: plan.first.low + offset,
                port: port
            )
        }
        self.datagram = .allocate(byteCount: max(plan.byteCount, Saying.byteCount), alignment: 16)
        self.datagram.initializeMemory(as: UInt8.self, repeating: 0x5A)
    }

    deinit { self.datagram.deallocate() }

    // MARK: Commands

    /// Players number `range` say one thing each, again what was not answered; ends when all were
    /// answered or after `limit`.
    func greet(_ range: Range<Int>, atMost limit: Instant.Interval) -> Tally {
        let began = self.begin(count: UInt64(range.count))
        for player in range {
            self.say(player, at: self.clock.now())
            // In portions that no socket on the way is too small for.
            if player % 256 == 255 { self.listen(for: .milliseconds(2)) }
        }
        self.flush()
        while self.tally.received < UInt64(range.count), self.clock.now() < began + limit {
            self.listen(for: .milliseconds(10))
        }
        return self.end(began)
    }

    /// All players in turn, `rate` datagrams a second together.
    func play(rate: Double, seconds: Double) -> Tally {
        let total = UInt64(rate * seconds)
        let began = self.begin(count: total)
        var origin = began
        var due: UInt64 = 0
        var player = 0
        while self.tally.sent < total {
            let now = self.clock.now()
            let elapsed = Double(now.since(origin).nanoseconds) / 1e9
            due = UInt64(elapsed * rate)
            let backlog = Double(due) - Double(self.tally.sent)
            let allowed = rate * Double(Self.patience.nanoseconds) / 1e9
            if backlog > allowed {
                origin =
                    origin + Instant.Interval(nanoseconds: UInt64((backlog - allowed) / rate * 1e9))
                due = self.tally.sent + UInt64(allowed)
            }
            var burst = 0
            while self.tally.sent < min(due, total), burst < 64 {
                self.say(player, at: now)
                player = (player + 1) % self.players.count
                burst += 1
            }
            self.flush()
            self.listen(for: burst == 64 ? .zero : .microseconds(500))
        }
        let finished = self.clock.now()
        // Whatever is still on its way has a second.
        while self.tally.received < total, self.clock.now().since(finished) < .seconds(1) {
            self.listen(for: .milliseconds(10))
        }
        return self.end(began, finished)
    }

    private func begin(count: UInt64) -> Instant {
        // Stragglers of the command before belong to nobody any more.
        self.listen(for: .zero)
        self.firstNumber = self.nextNumber
        self.seen = Array(repeating: 0, count: Int(count / 64) + 1)
        self.tally = Tally()
        self.tally.delays.reserveCapacity(Int(count))
        return self.clock.now()
    }

    private func end(_ began: Instant, _ finished: Instant? = nil) -> Tally {
        let end = finished ?? self.clock.now()
        self.tally.seconds = Double(end.since(began).nanoseconds) / 1e9
        self.tally.delays.sort()
        return self.tally
    }

    // MARK: Datagrams

    private func say(_ player: Int, at now: Instant) {
        let address = self.players[player]
        let socket = self.sockets[Int(address.port - self.plan.firstPort)]
        if let current = self.current, current !== socket { self.flush() }
        self.current = socket
        Saying(player: address, number: self.nextNumber, saidAt: now).write(to: self.datagram)
        self.nextNumber += 1
        let bytes = UnsafeRawBufferPointer(self.datagram)
        if !self.outgoing.append(bytes, to: self.plan.target, from: address) {
            self.flush()
            self.current = socket
            _ = self.outgoing.append(bytes, to: self.plan.target, from: address)
        }
        self.tally.sent += 1
    }

    private func flush() {
        guard let socket = self.current, !self.outgoing.isEmpty else { return }
        while socket.send(self.outgoing) == .blocked { awaitRoom(socket) }
        self.current = nil
    }

    private func listen(for patience: Instant.Interval) {
        guard let count = try? self.poller.wait(atMost: patience) else { return }
        for event in 0..<count {
            let socket = self.sockets[Int(self.poller.token(event))]
            while socket.receive(into: self.received) > 0 {
                let now = self.clock.now()
                while let packet = self.received.next() { self.take(packet, at: now) }
                guard self.received.isFull else { break }
            }
        }
    }

    private func take(_ packet: ReceivedPacket, at now: Instant) {
        guard let saying = Saying(UnsafeRawBufferPointer(packet.bytes)),
            packet.bytes.count == self.datagram.count, saying.player == packet.destination,
            packet.source == self.plan.target, saying.number < self.nextNumber
        else {
            self.tally.misled += 1
            return
        }
        guard saying.number >= self.firstNumber else { return }
        let place = Int(saying.number - self.firstNumber)
        guard self.seen[place / 64] >> UInt64(place % 64) & 1 == 0 else {
            self.tally.repeated += 1
            return
        }
        self.seen[place / 64] |= 1 << UInt64(place % 64)
        self.tally.received += 1
        let delay = now.since(saying.saidAt).nanoseconds / 1000
        self.tally.delays.append(UInt32(clamping: delay))
    }
}

/// Waits until a full socket has room, a tenth of a second at most.
func awaitRoom(_ socket: UDPSocket) {
    var entry = pollfd(fd: socket.descriptor, events: Int16(POLLOUT), revents: 0)
    _ = poll(&entry, 1, 100)
}
