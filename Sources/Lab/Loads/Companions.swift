import LinuxIO
import Primitives

/// Connections that are there while others are measured.
struct Companions {
    private var sockets: [TCPSocket] = []

    /// Opens them through `carrier` and waits until each is connected.
    init(
        _ count: (idle: Int, stalled: Int),
        _ carrier: Carrier,
        in namespace: NetworkNamespace
    ) throws {
        for index in 0..<count.idle + count.stalled {
            let socket = try namespace.inside { try TCPSocket.connect(to: carrier.bulk) }
            self.sockets.append(socket)
            let poller = try Poller()
            try poller.add(socket.descriptor, token: 0, interest: .writable)
            guard try poller.wait(atMost: .seconds(15)) > 0 else {
                throw LabFailure("no connection to \(carrier.bulk) within 15 s")
            }
            if let error = socket.connectResult() { throw error }
            // An idle one wants echoes and sends nothing; a stalled one wants everything and reads
            // nothing.
            let isIdle = index < count.idle
            let mark = isIdle ? LoadServer.echoMark : LoadServer.sourceMark
            let greeting = (carrier.claim?.header(.tcp) ?? []) + [mark]
            _ = greeting.withUnsafeBytes { socket.write($0) }
        }
    }

    func close() { for socket in self.sockets { socket.abort() } }
}

extension Stack {
    /// How many companions a run has: none where the stack carries no connections.
    func companions(of scenario: Scenario) -> (idle: Int, stalled: Int) {
        self.supports(.beside) ? (scenario.idleStreams, scenario.stalledReaders) : (0, 0)
    }
}
