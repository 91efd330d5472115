import ArgumentParser
import Glibc
import KCP
import Primitives

/// Exchanges data with another implementation of KCP over loopback, through a bad link each way.
///
/// It prints its port, waits for the peer to speak, checks every byte, and ends with `ok` or a
/// reason. Options are `name=number`: see ``KCPPeerOptions``.
struct KCPPeerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kcp-peer",
        abstract: "Exchange data with another implementation of KCP over loopback.",
        discussion: """
            Prints its port, waits for the peer to speak, checks every byte, and ends with `ok` or \
            a reason.

            Options and defaults: \(KCPPeerOptions.names)
            """
    )

    @Argument(help: ArgumentHelp("What differs from the defaults.", valueName: "name=number"))
    var words: [String] = []

    func run() throws {
        guard let options = KCPPeerOptions(self.words) else {
            throw ValidationError("the options are \(KCPPeerOptions.names)")
        }
        guard let socket = LoopbackSocket() else {
            throw ValidationError("no socket on loopback")
        }
        print(socket.port)
        fflush(nil)
        var peer = KCPPeer(options, socket)
        let verdict = peer.run()
        print(verdict ?? "ok")
        if verdict != nil { throw ExitCode.failure }
    }
}

/// One run of ``KCPPeerCommand``.
struct KCPPeer {
    private let options: KCPPeerOptions
    private let socket: LoopbackSocket
    private let conversation: StandaloneConversation
    private var outbound: BadLink
    private var inbound: BadLink
    private var sending = Payload(seed: 1)
    private var expected = Payload(seed: 2)
    private var unsent: [UInt8] = []
    private var generated = 0
    private var received = 0
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 16)

    init(_ options: KCPPeerOptions, _ socket: LoopbackSocket) {
        self.options = options
        self.socket = socket
        self.conversation = StandaloneConversation(options.settings)
        let seed = UInt64(options["seed"])
        self.outbound = BadLink(
            lossPercent: UInt64(options["loss"]),
            jitterMilliseconds: UInt64(options["jitter"]),
            seed: seed
        )
        self.inbound = BadLink(
            lossPercent: UInt64(options["loss"]),
            jitterMilliseconds: UInt64(options["jitter"]),
            seed: seed &+ 1000
        )
    }

    private static func now() -> Instant {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    /// `nil` when everything passed both ways; else what went wrong.
    mutating func run() -> String? {
        let start = Self.now()
        let total = self.options["bytes"]
        while self.received < total || self.generated < total || !self.unsent.isEmpty
            || self.conversation.pendingSegments > 0
        {
            let now = Self.now()
            guard now.since(start) < .seconds(UInt64(self.options["seconds"])) else {
                return "too slow: received \(self.received) of \(total),"
                    + " pending \(self.conversation.pendingSegments)"
            }
            self.takeDatagrams(at: now)
            if let fault = self.read() { return fault }
            self.write()
            self.conversation.update(at: now)
            self.sendDatagrams(at: now)
            let next = min(
                self.conversation.deadline,
                min(self.inbound.deadline, self.outbound.deadline)
            )
            let sleep = min(next.since(Self.now()).microseconds + 999, 20_000) / 1000
            self.socket.wait(milliseconds: Int32(sleep))
        }
        self.settle()
        return nil
    }

    /// Goes on acknowledging for a moment: the peer may not have heard of everything yet.
    private mutating func settle() {
        let end = Self.now() + .milliseconds(300)
        while Self.now() < end {
            let now = Self.now()
            self.takeDatagrams(at: now)
            self.conversation.update(at: now)
            self.sendDatagrams(at: now)
            self.socket.wait(milliseconds: 5)
        }
    }

    private mutating func takeDatagrams(at now: Instant) {
        while let count = self.socket.receive(into: self.buffer) {
            self.inbound.take(self.buffer[..<count], at: now)
        }
        for datagram in self.inbound.arrivals(at: now) {
            datagram.withUnsafeBytes { _ = self.conversation.input($0, at: now) }
        }
    }

    private mutating func sendDatagrams(at now: Instant) {
        while let count = self.conversation.nextDatagram(into: self.buffer, at: now) {
            self.outbound.take(self.buffer[..<count], at: now)
        }
        for datagram in self.outbound.arrivals(at: now) { self.socket.send(datagram) }
    }

    private mutating func write() {
        guard self.socket.hasPeer else { return }
        let total = self.options["bytes"]
        while self.generated < total || !self.unsent.isEmpty {
            if self.unsent.isEmpty {
                let count = min(self.sending.nextMessageSize(), total - self.generated)
                self.unsent = self.sending.next(count)
                self.generated += count
            }
            let taken = self.unsent.withUnsafeBytes { self.conversation.send($0) } ?? 0
            guard taken > 0 else { return }
            self.unsent.removeFirst(taken)
        }
    }

    private mutating func read() -> String? {
        let total = self.options["bytes"]
        while let count = self.conversation.receive(into: self.buffer) {
            if self.options["boundaries"] != 0 {
                let size = min(self.expected.nextMessageSize(), total - self.received)
                guard size == count else { return "message of \(count) bytes, not \(size)" }
            }
            for byte in self.buffer[..<count] where byte != self.expected.next() {
                return "wrong byte near \(self.received)"
            }
            self.received += count
        }
        return self.received > total ? "too much" : nil
    }
}

/// `name=number` arguments over their defaults.
struct KCPPeerOptions {
    private static let defaults = [
        "conv": 0x1234_5678, "bytes": 1_000_000, "seconds": 20, "seed": 1, "loss": 0, "jitter": 0,
        "stream": 1, "nodelay": 1, "interval": 10, "resend": 2, "nc": 1, "window": 256,
        "mtu": 1400, "boundaries": 0,
    ]

    static let names = Self.defaults.map { "\($0)=\($1)" }.sorted().joined(separator: " ")

    private var values = Self.defaults

    init?(_ arguments: some Sequence<String>) {
        for argument in arguments {
            let parts = argument.split(separator: "=")
            guard parts.count == 2, let value = Int(parts[1]), value >= 0,
                self.values.updateValue(value, forKey: String(parts[0])) != nil
            else { return nil }
        }
    }

    subscript(name: String) -> Int { self.values[name] ?? 0 }

    var settings: StandaloneSettings {
        var settings = StandaloneSettings(
            conversation: UInt32(truncatingIfNeeded: self["conv"])
        )
        settings.isStream = self["stream"] != 0
        settings.noDelay = self["nodelay"]
        settings.interval = self["interval"]
        settings.fastResend = self["resend"]
        settings.ignoresCongestion = self["nc"] != 0
        settings.sendWindow = self["window"]
        settings.receiveWindow = self["window"]
        settings.maximumDatagram = self["mtu"]
        return settings
    }
}
