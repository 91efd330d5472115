import Netem
import Primitives
import Session

/// Time and packets.
extension World {
    private static let stepLimit: UInt64 = 20_000_000
    private static let stillLimit = 20_000
    /// How long after the last start everything must be over.
    ///
    /// Where a restart orphaned sessions,
    /// the other end needs two minutes more to be sure.
    private static let patience = Instant.Interval.seconds(180)

    /// Lets the history unfold to its end; afterwards ``violations`` says what went wrong.
    public func run() {
        var starts = self.scenario.streams.map(\.start) + self.scenario.flows.map(\.start)
        starts += self.disturbances.map(\.at)
        let limit = (starts.max() ?? Self.epoch) + Self.patience
        var stillness = 0
        var nextCensus = Self.epoch
        while self.violations.isEmpty, !self.isOver {
            let next = self.nextDeadline
            stillness = next <= self.now ? stillness + 1 : 0
            guard next <= limit, self.statistics.steps < Self.stepLimit,
                stillness < Self.stillLimit
            else {
                self.reportStandstill(next: next, isBusy: next <= limit)
                break
            }
            self.now = max(self.now, next)
            self.statistics.steps += 1
            self.step()
            if self.now >= nextCensus {
                self.takeCensus()
                nextCensus = self.now + .milliseconds(500)
            }
        }
        self.conclude()
    }

    private var nextDeadline: Instant {
        var next = self.disturbances.last?.at ?? .never
        for (plan, record) in zip(self.scenario.streams, self.records) where !record.isStarted {
            next = min(next, plan.start)
        }
        for (plan, phase) in zip(self.scenario.flows, self.flowPhases) where !phase.isStarted {
            next = min(next, plan.start)
        }
        for closing in self.flowClosings { next = min(next, closing.at) }
        for link in self.uplinks + self.downlinks { next = min(next, link.deadline) }
        for site in self.clients + self.servers { next = min(next, site.deadline) }
        return next
    }

    /// Everything that is due now, then all outputs.
    private func step() {
        while let disturbance = self.disturbances.last, disturbance.at <= self.now {
            self.disturbances.removeLast()
            self.disturb(disturbance.kind)
        }
        self.deliverPackets()
        self.startApplications()
        for site in self.clients + self.servers {
            if site.engine.deadline <= self.now { site.engine.wake(at: self.now) }
            for end in site.streams {
                if let end, end.nextActionAt <= self.now {
                    end.act(on: site.engine, world: self, at: self.now)
                }
            }
            for end in site.flows {
                guard let end, end.nextActionAt <= self.now else { continue }
                end.act(on: site.engine, world: self, at: self.now)
                if end.side == .client, end.isComplete {
                    self.flowClosings.append((self.now + .seconds(3), end.plan.number))
                }
            }
            self.drain(site)
        }
        self.releaseStalledStreams()
    }

    private func disturb(_ kind: Disturbance) {
        self.narrate?(self.now, "world: \(kind)")
        switch kind {
        case .rebind(let client): self.move(self.clients[client])
        case .rehash: self.rehashCount += 1
        case .restartServer:
            for site in self.servers { self.abandon(site) }
            self.serverStarts += 1
            self.startServers()
        case .restartClient(let number):
            let site = self.clients[number]
            self.abandon(site)
            self.move(site)
            site.engine = self.makeClient(number)
        }
    }

    // MARK: - Packets

    private func deliverPackets() {
        for (number, link) in self.uplinks.enumerated() {
            while let delivery = link.nextDelivery(at: self.now) {
                self.packet.copyMemory(from: delivery.bytes)
                let address = Int(delivery.tag & (Self.heardTag - 1))
                self.dues[address].sent += delivery.bytes.count
                if delivery.tag >= Self.heardTag { self.dues[address].hasAnswered = true }
                let source = self.addresses[address]
                self.receiveAtServer(count: delivery.bytes.count, from: source, client: number)
            }
        }
        for (number, link) in self.downlinks.enumerated() {
            while let delivery = link.nextDelivery(at: self.now) {
                // The translator has forgotten its old mappings.
                guard Int(delivery.tag) == self.clients[number].address else { continue }
                self.dues[Int(delivery.tag)].hasHeard = true
                self.packet.copyMemory(from: delivery.bytes)
                self.clients[number].engine.receive(
                    .init(rebasing: self.packet[..<delivery.bytes.count]),
                    from: Self.serverAddress,
                    at: self.now
                )
            }
        }
    }

    /// The kernel picks a worker by the source; a worker says so if the packet is another's.
    private func receiveAtServer(count: Int, from source: SocketAddress, client: Int) {
        let bytes = UnsafeMutableRawBufferPointer(rebasing: self.packet[..<count])
        let hash = (Int(source.port) &* 31 &+ self.rehashCount &* 7) % self.servers.count
        let first = self.servers[hash].engine.receive(bytes, from: source, at: self.now)
        guard case .foreign(let worker, let generation) = first else { return }
        // There are no other processes, so this is a packet of one that is no more.
        guard generation == 0, worker < self.servers.count else { return }
        self.statistics.handovers += 1
        if worker == hash { return self.violate("worker \(worker) refused its own packet") }
        let second = self.servers[worker].engine.receive(bytes, from: source, at: self.now)
        if second != .consumed, self.serverStarts == 0 {
            self.violate("worker \(worker) refused a packet handed to it")
        }
    }

    /// Takes an engine's outputs until there are none.
    private func drain(_ site: Site) {
        let engine = site.engine
        var isBusy = true
        while isBusy {
            isBusy = false
            while let event = engine.nextEvent() {
                self.handle(event, at: site)
                isBusy = true
            }
            while let handle = engine.nextReadyStream() {
                site.stream(handle)?.act(on: engine, world: self, at: self.now)
                isBusy = true
            }
            while let (handle, bytes) = engine.nextDatagram() {
                self.deliver(bytes, on: handle, at: site)
                isBusy = true
            }
            while let transmit = engine.nextTransmit(into: self.outgoing, at: self.now) {
                self.send(transmit, from: site)
                isBusy = true
            }
        }
    }

    private func send(_ transmit: Transmit, from site: Site) {
        guard transmit.byteCount > 0, transmit.segmentSize > 0,
            transmit.byteCount <= self.outgoing.count
        else { return self.violate("a transmit of \(transmit.byteCount) bytes") }
        var offset = 0
        while offset < transmit.byteCount {
            let end = min(offset + transmit.segmentSize, transmit.byteCount)
            let bytes = UnsafeRawBufferPointer(rebasing: self.outgoing[offset..<end])
            self.statistics.packets += 1
            // The tag depends on every byte of the packet.
            self.digest.add(UnsafeRawBufferPointer(rebasing: bytes.suffix(8)))
            if site.side == .client {
                let heard = self.dues[site.address].hasHeard ? Self.heardTag : 0
                let tag = UInt64(site.address) | heard
                self.uplinks[site.number].send(bytes, tag: tag, at: self.now)
            } else if let tag = self.addresses.firstIndex(of: transmit.destination) {
                self.charge(bytes.count, to: tag)
                if let client = self.clients.first(where: { $0.address == tag }) {
                    self.downlinks[client.number].send(bytes, tag: UInt64(tag), at: self.now)
                }
            }
            offset = end
        }
    }

    /// Nobody who may not even be there gets more than three times what came from there.
    private func charge(_ count: Int, to address: Int) {
        self.dues[address].got += count
        let dues = self.dues[address]
        if !dues.hasAnswered, dues.got > 3 * dues.sent {
            self.violate("\(self.addresses[address]) sent \(dues.sent) bytes and got \(dues.got)")
        }
    }

    private func deliver(_ bytes: UnsafeRawBufferPointer, on handle: FlowHandle, at site: Site) {
        guard let end = site.flow(handle) else {
            return self.violate("a datagram for a flow that is not open, \(site.side)")
        }
        self.packet.copyMemory(from: bytes)
        if self.commits(.corruptDatagram), bytes.count > 0 { self.packet[bytes.count / 2] ^= 1 }
        let copy = UnsafeRawBufferPointer(rebasing: self.packet[..<bytes.count])
        end.receive(copy, on: site.engine, world: self, at: self.now)
        if bytes.count >= 16, self.commits(.repeatDatagram) {
            end.receive(copy, on: site.engine, world: self, at: self.now)
        }
    }
}
