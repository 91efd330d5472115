import Netem
import Primitives
import Session

/// Time and packets.
extension Siege {
    private static let stepLimit: UInt64 = 5_000_000
    private static let stillLimit = 20_000
    /// How long after the last message all must be back.
    private static let patience = Instant.Interval.seconds(10)

    /// Lets the siege unfold to its end; afterwards ``violations`` says what went wrong.
    public func run() {
        let end = Self.epoch + self.plan.length + Self.patience
        var stillness = 0
        var nextCensus = Self.epoch
        while self.violations.isEmpty {
            let next = self.nextDeadline
            guard next <= end else { break }
            stillness = next <= self.now ? stillness + 1 : 0
            guard self.statistics.steps < Self.stepLimit, stillness < Self.stillLimit else {
                self.violate("still busy after \(self.statistics.steps) steps")
                break
            }
            self.now = max(self.now, next)
            self.statistics.steps += 1
            self.step()
            if self.now >= nextCensus {
                self.takeCensus()
                nextCensus = self.now + .milliseconds(250)
            }
        }
        self.conclude()
    }

    private var nextDeadline: Instant {
        var next = self.server.deadline
        for link in self.uplinks { next = min(next, link.deadline) }
        for link in self.downlinks { next = min(next, link.deadline) }
        for peer in self.honest { next = min(next, peer.deadline) }
        for attacker in self.attackers where self.goesOn { next = min(next, attacker.deadline) }
        return next
    }

    /// Whether the attack is not over yet: what it did to honest peers has to pass.
    private var goesOn: Bool { self.now < Self.epoch + self.plan.length }

    /// Everything that is due now, then all outputs.
    private func step() {
        for link in self.uplinks { self.deliverToServer(link) }
        for (number, link) in self.downlinks.enumerated() { self.deliver(link, to: number) }
        if self.server.deadline <= self.now { self.server.wake(at: self.now) }
        for attacker in self.attackers where attacker.deadline <= self.now && self.goesOn {
            attacker.act(at: self.now)
        }
        for peer in self.honest {
            peer.act(at: self.now)
            while peer.drain(&self.digest, at: self.now) || self.transmit(from: peer) {}
        }
        while self.drainServer() {}
    }

    private func deliverToServer(_ link: Link) {
        while let delivery = link.nextDelivery(at: self.now) {
            self.buffers.packet.copyMemory(from: delivery.bytes)
            let address = Int(delivery.tag)
            self.dues[address].sent += delivery.bytes.count
            self.server.receive(
                .init(rebasing: self.buffers.packet[..<delivery.bytes.count]),
                from: self.addresses[address],
                at: self.now
            )
        }
    }

    private func deliver(_ link: Link, to owner: Int) {
        while let delivery = link.nextDelivery(at: self.now) {
            self.buffers.packet.copyMemory(from: delivery.bytes)
            let bytes = UnsafeMutableRawBufferPointer(
                rebasing: self.buffers.packet[..<delivery.bytes.count]
            )
            if owner < self.honest.count {
                self.honest[owner].engine.receive(bytes, from: Self.serverAddress, at: self.now)
            } else {
                let attacker = self.attackers[owner - self.honest.count]
                attacker.receive(bytes, at: Int(delivery.tag), self.now)
                self.statistics.bytesToAttackers += UInt64(bytes.count)
            }
        }
    }

    private func transmit(from peer: HonestPeer) -> Bool {
        var isBusy = false
        while let transmit = peer.engine.nextTransmit(into: self.buffers.outgoing, at: self.now) {
            self.forEachPacket(of: transmit) {
                self.uplinks[peer.number].send($0, tag: UInt64(peer.number), at: self.now)
            }
            isBusy = true
        }
        return isBusy
    }

    private func drainServer() -> Bool {
        var isBusy = false
        while let event = self.server.nextEvent() {
            self.handle(event)
            isBusy = true
        }
        if self.backends.drain(self.server, &self.digest, at: self.now) { isBusy = true }
        while let transmit = self.server.nextTransmit(into: self.buffers.outgoing, at: self.now) {
            self.send(transmit)
            isBusy = true
        }
        return isBusy
    }

    private func handle(_ event: EngineEvent) {
        self.narrate?(self.now, "server: \(event)")
        switch event {
        case .streamOpened(let handle, _, let request):
            self.backends.opened(handle, request, self.server, at: self.now)
        case .streamReset(let handle, _), .streamClosed(let handle):
            self.backends.ended(handle)
        case .peerMoved(_, let info, _):
            guard let place = self.addresses.firstIndex(of: info.address),
                self.owners[place] != nil
            else { return self.violate("\(info.peerName) is shown at \(info.address)") }
        default: return
        }
    }

    private func send(_ transmit: Transmit) {
        guard let place = self.addresses.firstIndex(of: transmit.destination) else {
            return self.violate("a packet for \(transmit.destination), where nobody is")
        }
        self.forEachPacket(of: transmit) { bytes in
            // The tag depends on every byte of the packet.
            self.digest.add(UnsafeRawBufferPointer(rebasing: bytes.suffix(8)))
            self.charge(bytes.count, to: place)
            guard let owner = self.owners[place] else { return }
            self.downlinks[owner].send(bytes, tag: UInt64(place), at: self.now)
        }
    }

    private func forEachPacket(of transmit: Transmit, _ act: (UnsafeRawBufferPointer) -> Void) {
        var offset = 0
        while offset < transmit.byteCount {
            let end = min(offset + transmit.segmentSize, transmit.byteCount)
            act(UnsafeRawBufferPointer(rebasing: self.buffers.outgoing[offset..<end]))
            offset = end
        }
    }

    /// Nobody who may not even be there gets more than three times what came from there.
    private func charge(_ count: Int, to place: Int) {
        self.dues[place].got += count
        let dues = self.dues[place]
        if !dues.isProven, dues.got > 3 * dues.sent {
            self.violate("\(self.addresses[place]) sent \(dues.sent) bytes and got \(dues.got)")
        }
    }
}
