import Glibc
import LinuxIO
import Primitives

/// What a game-like exchange came to.
struct EchoResult: Sendable {
    /// One value a message, in milliseconds from the time it was due to be sent; `nil` for those
    /// that were not answered within the patience.
    var roundTrips: [Double?] = []
    var duplicates = 0
    var start = Reading()
    var end = Reading()
}

/// Messages of one size at a steady rate, each echoed by ``LoadServer``.
///
/// Open loop: a message's clock starts when it was due, whether or not the one before was answered,
/// so a stall is counted in every message it held up.
struct EchoLoad: Sendable {
    var target: SocketAddress
    var transport: Transport
    var shape: Scenario.EchoShape
    /// Messages before the counted ones.
    var warmUpCount: Int
    var count: Int
    /// How long after the last message answers still count.
    var patience = Instant.Interval.seconds(3)
    /// Kernel TCP's congestion control; `nil` for the default.
    var congestion: String?
    /// What the connection, or every datagram, announces first.
    var claim: OriginClaim?

    /// Runs to its end; `meter` is read at the first counted message and after the last answer.
    func run(in namespace: NetworkNamespace, meter: Meter, isUrgent: Bool) throws -> EchoResult {
        if isUrgent { RealTime.enter(priority: 5) }
        var wire = try namespace.inside { try EchoWire(self) }
        defer { wire.close() }
        try wire.connect()
        let clock = BootClock()
        let interval = Instant.Interval.seconds(1) / self.shape.messagesPerSecond
        let start = clock.now() + .milliseconds(20)
        let total = self.warmUpCount + self.count
        var answers = [Double?](repeating: nil, count: total)
        var result = EchoResult()
        var next = 0
        var end = Instant.never
        var open = total
        while true {
            let now = clock.now()
            while next < total, start + interval * UInt64(next) <= now {
                if next == self.warmUpCount {
                    meter.begin()
                    result.start = meter.read()
                }
                try wire.send(sequence: next)
                next += 1
                if next == total { end = clock.now() + self.patience }
            }
            try wire.receive { sequence in
                guard sequence < total else { return }
                guard answers[sequence] == nil else {
                    result.duplicates += 1
                    return
                }
                open -= 1
                let due = start + interval * UInt64(sequence)
                answers[sequence] = Double(clock.now().since(due).nanoseconds) / 1e6
            }
            if open == 0 || clock.now() >= end { break }
            let wake = next < total ? start + interval * UInt64(next) : end
            try wire.wait(atMost: wake.since(clock.now()))
        }
        result.end = meter.read()
        result.roundTrips = Array(answers.dropFirst(self.warmUpCount))
        return result
    }
}

/// The client's socket of an exchange, UDP or TCP alike.
struct EchoWire {
    private let load: EchoLoad
    private let poller: Poller
    private let udp: UDPSocket?
    private let tcp: TCPSocket?
    private let batch = ReceiveBatch()
    private let outgoing = SendBatch()
    /// Bytes of a message that has only partly come.
    private var partial: [UInt8] = []
    /// Bytes that the socket has not taken yet.
    private var backlog: [UInt8] = []
    private var message: [UInt8]
    /// Where the message begins behind its header.
    private let start: Int
    private let greeting: [UInt8]
    private var buffer = [UInt8](repeating: 0, count: 65_536)

    init(_ load: EchoLoad) throws {
        self.load = load
        self.poller = try Poller()
        var random = SeededGenerator(seed: 3)
        let header = load.claim?.header(load.transport) ?? []
        self.greeting = header
        self.start = load.transport == .udp ? header.count : 0
        self.message =
            (load.transport == .udp ? header : [])
            + (0..<load.shape.byteCount).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        switch load.transport {
        case .udp:
            let socket = try UDPSocket(connectingTo: load.target, options: UDPOptions())
            try self.poller.add(socket.descriptor, token: 0, interest: .readable)
            self.udp = socket
            self.tcp = nil
        case .tcp:
            let socket = try TCPSocket.connect(to: load.target)
            self.tcp = socket
            self.udp = nil
            if let name = load.congestion { _ = KernelCongestion.set(name, on: socket.descriptor) }
            try self.poller.add(socket.descriptor, token: 0, interest: [.readable, .writable])
        }
    }

    func close() { self.tcp?.close() }

    /// Waits until a TCP connection stands, and says that it wants echoes.
    func connect() throws {
        guard let tcp = self.tcp else { return }
        guard try self.poller.wait(atMost: .seconds(15)) > 0 else {
            throw LabFailure("no connection to \(self.load.target) within 15 s")
        }
        if let error = tcp.connectResult() { throw error }
        try self.poller.modify(tcp.descriptor, token: 0, interest: .readable)
        let mark = self.greeting + [LoadServer.echoMark]
        _ = mark.withUnsafeBytes { tcp.write($0) }
    }

    func wait(atMost interval: Instant.Interval) throws {
        _ = try self.poller.wait(atMost: interval)
    }

    mutating func send(sequence: Int) throws {
        for index in 0..<8 {
            self.message[self.start + index] = UInt8(truncatingIfNeeded: sequence >> (8 * index))
        }
        if let udp = self.udp {
            _ = self.message.withUnsafeBytes {
                self.outgoing.append($0, to: self.load.target, from: nil)
            }
            if case .blocked = udp.send(self.outgoing) { self.outgoing.discard() }
        } else {
            self.backlog += self.message
            try self.flush()
        }
    }

    private mutating func flush() throws {
        guard let tcp = self.tcp, !self.backlog.isEmpty else { return }
        let result = self.backlog.withUnsafeBytes { tcp.write($0) }
        switch result {
        case .moved(let count): self.backlog.removeFirst(count)
        case .wouldBlock: break
        case .finished, .failed: throw LabFailure("the connection ended during the exchange")
        }
    }

    /// Calls `body` with the sequence number of every message that has come back.
    mutating func receive(_ body: (Int) -> Void) throws {
        if let udp = self.udp {
            while udp.receive(into: self.batch) > 0 {
                while let packet = self.batch.next() {
                    guard packet.bytes.count >= 8 else { continue }
                    body(Self.sequence(packet.bytes))
                }
            }
            return
        }
        guard let tcp = self.tcp else { return }
        try self.flush()
        while true {
            switch self.buffer.withUnsafeMutableBytes({ tcp.read(into: $0) }) {
            case .moved(let count): self.partial += self.buffer[..<count]
            case .wouldBlock: return
            case .finished, .failed: throw LabFailure("the connection ended during the exchange")
            }
            let size = self.load.shape.byteCount
            while self.partial.count >= size {
                body(Self.sequence(self.partial))
                self.partial.removeFirst(size)
            }
        }
    }

    private static func sequence(_ bytes: some Collection<UInt8>) -> Int {
        var value: UInt64 = 0
        for (index, byte) in bytes.prefix(8).enumerated() { value |= UInt64(byte) << (8 * index) }
        return Int(truncatingIfNeeded: value & UInt64(Int.max))
    }
}
