import LinuxIO
import Primitives
import Synchronization

/// A NAT between client and server that forgets its mapping when told to: packets then leave from
/// another port.
final class Rebinder: Sendable {
    let address: SocketAddress
    private let wanted = Atomic(0)

    init(to server: SocketAddress) throws {
        let inside = try UDPSocket(binding: loopback, options: UDPOptions())
        self.address = inside.localAddress
        nonisolated(unsafe) let moved = inside
        try startThread(named: "rebinder") { [weak self] in
            do {
                var number = 0
                var outside = try UDPSocket(connectingTo: server, options: UDPOptions())
                var client: SocketAddress?
                let received = ReceiveBatch()
                let batch = SendBatch()
                while let relay = self {
                    let target = relay.wanted.load(ordering: .relaxed)
                    if target != number {
                        number = target
                        outside = try UDPSocket(connectingTo: server, options: UDPOptions())
                    }
                    let poller = try Poller()
                    try poller.add(moved.descriptor, token: 0, interest: .readable)
                    try poller.add(outside.descriptor, token: 1, interest: .readable)
                    _ = try poller.wait(atMost: .milliseconds(20))
                    _ = moved.receive(into: received)
                    while let packet = received.next() {
                        client = packet.source
                        let bytes = UnsafeRawBufferPointer(packet.bytes)
                        _ = batch.append(bytes, to: server, from: nil)
                    }
                    _ = outside.send(batch)
                    _ = outside.receive(into: received)
                    while let packet = received.next() {
                        guard let client else { continue }
                        let bytes = UnsafeRawBufferPointer(packet.bytes)
                        _ = batch.append(bytes, to: client, from: nil)
                    }
                    _ = moved.send(batch)
                }
            } catch {
                return
            }
        }
    }

    func rebind() { self.wanted.add(1, ordering: .relaxed) }
}
