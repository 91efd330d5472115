import LinuxIO
import Primitives
import Sealing
import Synchronization

/// How other threads speak to a worker: orders from the control thread, packets from its siblings,
/// and an eventfd that ends the worker's sleep.
final class Mailbox: Sendable {
    let wakeUp: WakeUp
    let packets = PacketBacklog()
    private let orders = Mutex<[Order]>([])

    init() throws(IOError) { self.wakeUp = try WakeUp() }

    func post(_ order: Order) {
        self.orders.withLock { $0.append(order) }
        self.wakeUp.signal()
    }

    /// Queues a foreign packet; false when the queue is full.
    func post(
        packet bytes: UnsafeRawBufferPointer,
        source: SocketAddress,
        destination: SocketAddress,
        socket: Int
    ) -> Bool {
        let isQueued = self.packets.push(
            bytes,
            source: source,
            destination: destination,
            socket: socket
        )
        if isQueued { self.wakeUp.signal() }
        return isQueued
    }

    func takeOrders() -> [Order] {
        self.orders.withLock { orders in
            let taken = orders
            orders.removeAll()
            return taken
        }
    }
}

/// What the control thread wants of a worker.
enum Order: Sendable {
    /// Forwards that changed, with the sockets that are new.
    case client(ClientPlan, newListeners: Handover<[LocalListener]>)
    case server(ServerPlan)
    /// What names lead to now.
    case resolved(KnownNames)
    /// A backend went up or down, as a probe or another worker found out.
    case backendNews(BackendNews)
    /// Backends that get nobody new, all of them.
    case draining(Set<BackendName>)
    /// The addresses of this machine, which no player of a server can have; a client's players who
    /// have one are the client itself.
    case ownAddresses([SocketAddress])
    /// A client at its limit of sessions wants one: those that are dead should end.
    case questionSessions(of: PublicKey)
    /// The tunnel's server, in order of preference.
    case tunnelServers([[SocketAddress]])
    /// What the next handshakes are made with, on a client.
    case presharedKey(PresharedKey?)
    case postQuantum(PostQuantumPolicy)
    case snapshot(SnapshotRequest)
    /// End every session and stop.
    case shutDown
}

/// Something that one thread gives away and another takes over, never used by both.
struct Handover<Value>: @unchecked Sendable {
    let value: Value

    init(_ value: Value) { self.value = value }
}
