import LinuxIO
import Netem
import Primitives

/// A UDP relay over an impaired path, in user space: for demonstrations and tests where the
/// kernel's own impairment is missing or forbidden.
final class Relay {
    /// One client of the relay, with the socket that speaks with the target for it.
    private struct Flow {
        let client: SocketAddress
        var socket: UDPSocket
    }

    private static let flowLimit = 1_024
    private static let listenerToken = UInt64.max
    private static let signalToken = UInt64.max - 1

    private let target: SocketAddress
    private let clock = BootClock()
    private let listener: UDPSocket
    private let signals: SignalSource
    private let poller: Poller
    private let up: Link
    private let down: Link
    /// Links carry indices into this.
    private var flows: [Flow] = []
    private var flowIndex: [SocketAddress: Int] = [:]
    private let received = ReceiveBatch()
    private let outgoing = SendBatch()
    private(set) var refusedFlows = 0
    private(set) var rebindings = 0

    var address: SocketAddress { self.listener.localAddress }
    var counters: (up: LinkCounters, down: LinkCounters) { (self.up.counters, self.down.counters) }

    init(_ options: RelayOptions, target: SocketAddress) throws(IOError) {
        self.target = target
        self.signals = try SignalSource()
        self.listener = try UDPSocket(binding: options.listen, options: UDPOptions())
        self.poller = try Poller()
        // Room for a second of small packets at a gigabit.
        let capacity = 131_072
        self.up = Link(impairment: options.up, seed: options.seed, capacity: capacity)
        self.down = Link(impairment: options.down, seed: ~options.seed, capacity: capacity)
        try self.poller.add(
            self.listener.descriptor,
            token: Self.listenerToken,
            interest: .readable
        )
        try self.poller.add(
            self.signals.descriptor,
            token: Self.signalToken,
            interest: .readable
        )
    }

    /// Passes packets until a signal says to end.
    func run() throws(IOError) {
        while true {
            let next = min(self.up.deadline, self.down.deadline)
            let now = self.clock.now()
            let count = try self.poller.wait(atMost: next == .never ? nil : next.since(now))
            for index in 0..<count {
                switch self.poller.token(index) {
                case Self.listenerToken: try self.receiveFromClients()
                case Self.signalToken: if try self.obeySignals() { return }
                case let token: self.receiveFromTarget(flow: Int(token))
                }
            }
            self.deliver()
        }
    }

    /// True when it is time to end.
    private func obeySignals() throws(IOError) -> Bool {
        while let signal = self.signals.next() {
            switch signal {
            case .terminate: return true
            case .reload: try self.rebind()
            }
        }
        return false
    }

    /// New source ports for everybody; what is under way to the old ones is lost.
    private func rebind() throws(IOError) {
        self.rebindings += 1
        for index in self.flows.indices {
            self.flows[index].socket = try self.openSocket(flow: index)
        }
    }

    private func openSocket(flow: Int) throws(IOError) -> UDPSocket {
        let socket = try UDPSocket(connectingTo: self.target, options: UDPOptions())
        try self.poller.add(socket.descriptor, token: UInt64(flow), interest: .readable)
        return socket
    }

    private func receiveFromClients() throws(IOError) {
        guard self.listener.receive(into: self.received) > 0 else { return }
        let now = self.clock.now()
        while let packet = self.received.next() {
            guard let flow = try self.flow(of: packet.source) else { continue }
            self.up.send(UnsafeRawBufferPointer(packet.bytes), tag: UInt64(flow), at: now)
        }
    }

    private func receiveFromTarget(flow: Int) {
        guard self.flows[flow].socket.receive(into: self.received) > 0 else { return }
        let now = self.clock.now()
        while let packet = self.received.next() {
            self.down.send(UnsafeRawBufferPointer(packet.bytes), tag: UInt64(flow), at: now)
        }
    }

    private func flow(of client: SocketAddress) throws(IOError) -> Int? {
        if let index = self.flowIndex[client] { return index }
        guard self.flows.count < Self.flowLimit else {
            self.refusedFlows += 1
            return nil
        }
        let index = self.flows.count
        let socket = try self.openSocket(flow: index)
        self.flows.append(Flow(client: client, socket: socket))
        self.flowIndex[client] = index
        return index
    }

    /// Sends what has arrived at the far ends of the two links.
    private func deliver() {
        let now = self.clock.now()
        while let delivery = self.down.nextDelivery(at: now) {
            let client = self.flows[Int(delivery.tag)].client
            while !self.outgoing.append(delivery.bytes, to: client, from: nil) {
                self.flush(through: self.listener)
            }
        }
        self.flush(through: self.listener)
        var current = -1
        while let delivery = self.up.nextDelivery(at: now) {
            // A batch goes through one socket.
            if Int(delivery.tag) != current, current >= 0 {
                self.flush(through: self.flows[current].socket)
            }
            current = Int(delivery.tag)
            while !self.outgoing.append(delivery.bytes, to: self.target, from: nil) {
                self.flush(through: self.flows[current].socket)
            }
        }
        if current >= 0 { self.flush(through: self.flows[current].socket) }
    }

    /// Hands the batch to the kernel; what a full socket does not take is lost, as on a real path.
    private func flush(through socket: UDPSocket) {
        guard !self.outgoing.isEmpty else { return }
        if case .blocked = socket.send(self.outgoing) { self.outgoing.discard() }
    }
}
