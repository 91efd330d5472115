import ArgumentParser
import Glibc
import LinuxIO
import Primitives
import ReturnPath

/// Drives a return path by commands on standard input, one line each, for the namespace tests.
///
/// `prepare MODE OWNPORTS BACKEND…`, `retry`, `check`, `teardown`, and
/// `stream|flow PLAYER BACKEND keep|any|keep-or-any OWNER`, which sends a line and prints what the
/// backend answers. Every answer ends with the line `done`.
struct ReturnPathPeerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "return-path-peer",
        abstract: "Drive a return path by commands on standard input, one line each.",
        discussion: """
            prepare MODE OWNPORTS BACKEND…, retry, check, teardown, and
            stream|flow PLAYER BACKEND keep|any|keep-or-any OWNER, which sends a line and prints \
            what the backend answers. Every answer ends with the line `done`.
            """
    )

    func run() throws { ReturnPathPeer.main() }
}

/// One run of ``ReturnPathPeerCommand``.
final class ReturnPathPeer {
    private var keeper: ReturnPathKeeper?
    /// Flows stay open, as players do.
    private var flows: [TransparentDialer.Flow] = []
    private var streams: [TCPSocket] = []

    static func main() {
        let peer = ReturnPathPeer()
        while let line = readLine() {
            peer.run(line.split(separator: " ").map(String.init))
            Self.say("done")
        }
        peer.teardown()
    }

    private static func say(_ line: String) {
        print(line)
        fflush(nil)
    }

    private func run(_ words: [String]) {
        switch words.first {
        case "prepare" where words.count > 2: self.prepare(Array(words.dropFirst()))
        case "retry": self.tell(self.keeper?.retry() ?? [])
        case "check": self.tell(self.keeper?.check() ?? [])
        case "teardown": self.teardown()
        case "stream" where words.count == 5, "flow" where words.count == 5: self.open(words)
        default: Self.say("usage: see ReturnPathPeer.swift")
        }
    }

    private func teardown() {
        // While the way back exists: a connection that merely ended would wait for its last
        // acknowledgement in vain, and the backend would send that to the player.
        for stream in self.streams { stream.abort() }
        self.streams = []
        self.flows = []
        self.keeper?.teardown()
    }

    private func prepare(_ words: [String]) {
        let modes: [String: RouteMode] = ["auto": .auto, "print": .print, "off": .off]
        let keeper =
            self.keeper
            ?? ReturnPathKeeper(
                mode: modes[words[0]] ?? .auto,
                ownPorts: words[1].split(separator: ",").compactMap { UInt16($0) },
                flowLimit: 1000
            ) { event in Self.say("event \(event)") }
        self.keeper = keeper
        self.tell(keeper.prepare(words.dropFirst(2).compactMap(Self.backend)))
    }

    /// `tcp/ADDRESS`, `udp/ADDRESS` or `udp/ADDRESS?TEXT`.
    private static func backend(_ text: String) -> TransparentBackend? {
        let parts = text.dropFirst(4).split(separator: "?", maxSplits: 1)
        guard let address = parts.first.flatMap({ SocketAddress(String($0)) }) else { return nil }
        var backend = TransparentBackend(address, text.hasPrefix("tcp") ? .tcp : .udp)
        if parts.count == 2 { backend.question = Array(parts[1].utf8) }
        return backend
    }

    private func tell(_ verdicts: [ReturnPathVerdict]) {
        for verdict in verdicts {
            switch verdict.state {
            case .ready(let note): Self.say("ready \(verdict.backend) \(note ?? "")")
            case .refused(let reason, let cure):
                Self.say("refused \(verdict.backend) cause: \(reason) cure: \(cure)")
            }
        }
    }

    private func open(_ words: [String]) {
        let ports: [String: TransparentPort] = [
            "keep": .keep, "any": .any, "keep-or-any": .keepOrAny,
        ]
        guard let player = SocketAddress(words[1]), let backend = SocketAddress(words[2]),
            let port = ports[words[3]], let owner = UInt64(words[4])
        else { return Self.say("usage: addresses, a port rule, an owner") }
        do throws(TransparentFailure) {
            let descriptor =
                words[0] == "stream"
                ? try self.stream(player, backend, port)
                : try self.flow(player, backend, port, owner: owner)
            Self.converse(descriptor)
        } catch {
            Self.say("error \(error.cause): \(error)")
        }
    }

    private func stream(
        _ player: SocketAddress,
        _ backend: SocketAddress,
        _ port: TransparentPort
    ) throws(TransparentFailure) -> Int32 {
        guard let keeper = self.keeper else { return -1 }
        let socket = try keeper.dialer.openStream(from: player, to: backend, port: port)
        self.streams.append(socket)
        return socket.descriptor
    }

    private func flow(
        _ player: SocketAddress,
        _ backend: SocketAddress,
        _ port: TransparentPort,
        owner: UInt64
    ) throws(TransparentFailure) -> Int32 {
        guard let keeper = self.keeper else { return -1 }
        let flow = try keeper.dialer.openFlow(
            from: player,
            to: backend,
            port: port,
            owner: owner
        )
        self.flows.append(flow)
        return flow.socket.descriptor
    }

    /// Sends a line when the socket is connected, and prints the answer.
    private static func converse(_ descriptor: Int32) {
        guard wait(descriptor, POLLOUT), send(descriptor, "who\n", 4, Int32(MSG_NOSIGNAL)) == 4
        else { return Self.say("error send: \(String(cString: strerror(errno)))") }
        var bytes = [UInt8](repeating: 0, count: 256)
        guard wait(descriptor, POLLIN) else { return Self.say("silence") }
        let count = recv(descriptor, &bytes, bytes.count, 0)
        guard count >= 0 else {
            return Self.say("error recv: \(String(cString: strerror(errno)))")
        }
        Self.say("reply \(String(decoding: bytes[..<count], as: UTF8.self))")
    }

    private static func wait(_ descriptor: Int32, _ events: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        return poll(&entry, 1, 1000) > 0
    }
}
