import Glibc
import LinuxIO
import Primitives

/// The loopback address of each family, with a port the kernel chooses.
let loopbacks = [
    SocketAddress(ipv4: 0x7F00_0001, port: 0), SocketAddress(high: 0, low: 1, port: 0),
]

/// Waits until `descriptor` is ready, at most two seconds.
func isReady(_ descriptor: Int32, for readiness: Readiness = .readable) throws -> Bool {
    let poller = try Poller()
    try poller.add(descriptor, token: 1, interest: readiness)
    return try poller.wait(atMost: .seconds(2)) == 1
}

/// Everything `socket` receives until `count` datagrams have come or nothing more does.
func receive(_ count: Int, from socket: UDPSocket) throws -> [[UInt8]] {
    let batch = ReceiveBatch()
    var datagrams: [[UInt8]] = []
    while datagrams.count < count, try isReady(socket.descriptor) {
        _ = socket.receive(into: batch)
        while let packet = batch.next() { datagrams.append(Array(packet.bytes)) }
    }
    return datagrams
}

/// A connection over loopback: the accepted end and the connecting end.
func makeConnection(
    to loopback: SocketAddress
) throws -> (accepted: AcceptedConnection, connecting: TCPSocket) {
    let listener = try TCPListener(binding: loopback)
    let connecting = try TCPSocket.connect(to: listener.localAddress)
    guard try isReady(connecting.descriptor, for: .writable), try isReady(listener.descriptor),
        connecting.connectResult() == nil,
        case .done(let accepted) = try listener.accept()
    else { throw IOError(code: ETIMEDOUT, call: "connection over loopback") }
    return (accepted, connecting)
}

/// `count` bytes that differ from one place to the next.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
}
