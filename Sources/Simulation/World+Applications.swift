import Primitives
import Session

/// What applications start and what engines tell them.
extension World {
    func startApplications() {
        for plan in self.scenario.streams
        where !self.records[plan.number].isStarted && plan.start <= self.now {
            self.records[plan.number].isStarted = true
            self.open(plan)
        }
        for plan in self.scenario.flows
        where !self.flowPhases[plan.number].isStarted && plan.start <= self.now {
            self.flowPhases[plan.number].isStarted = true
            self.open(plan)
        }
        for closing in self.flowClosings where closing.at <= self.now {
            self.close(flow: closing.flow)
        }
        self.flowClosings.removeAll { $0.at <= self.now }
    }

    /// Where the player of a plan claims to be: tells the server which plan a stream belongs to.
    private func origin(_ number: Int) -> SocketAddress {
        SocketAddress(ipv4: 0xC612_0000 | UInt32(number), port: UInt16(1_024 + number))
    }

    private func number(of request: OpenRequest, below count: Int) -> Int? {
        guard let origin = request.origin else { return nil }
        let number = Int(origin.ipv4 & 0xFFFF)
        return number < count && origin == self.origin(number) ? number : nil
    }

    private func open(_ plan: StreamPlan) {
        let site = self.clients[plan.client]
        var request = OpenRequest(service: plan.service, serviceProtocol: .tcp)
        request.origin = self.origin(plan.number)
        request.destination = SocketAddress(ipv4: 0x0A00_0001, port: 25_565)
        request.isCompressed = plan.isCompressed
        request.trafficClass = plan.trafficClass
        guard let handle = site.engine.openStream(request, at: self.now) else {
            return self.violate("stream \(plan.number) was refused below the limit")
        }
        self.records[plan.number].opened[0] = true
        let end = StreamEnd(plan: plan, side: .client, handle: handle, at: self.now)
        site.insert(end)
        end.act(on: site.engine, world: self, at: self.now)
    }

    private func open(_ plan: FlowPlan) {
        let site = self.clients[plan.client]
        var request = OpenRequest(service: Self.flowService, serviceProtocol: .udp)
        request.origin = self.origin(plan.number)
        request.delivery = plan.delivery
        request.trafficClass = plan.trafficClass
        request.idleTimeout = .seconds(8)
        guard let handle = site.engine.openFlow(request, at: self.now) else {
            return self.violate("flow \(plan.number) was refused below the limit")
        }
        site.insert(
            FlowEnd(plan: plan, side: .client, handle: handle, firstSerial: 0, at: self.now)
        )
    }

    private func close(flow number: Int) {
        self.flowPhases[number].isOver = true
        for site in self.clients {
            for case let end? in site.flows where end.plan.number == number {
                site.engine.closeFlow(end.handle, reason: .aborted, at: self.now)
                site.remove(end)
            }
        }
    }

    // MARK: - Events

    func handle(_ event: EngineEvent, at site: Site) {
        self.narrate?(self.now, "\(site.side) \(site.number): \(event)")
        switch event {
        case .sessionUp: self.statistics.sessions += 1
        case .peerMoved: self.statistics.moves += 1
        case .sessionDown, .connectFailed, .handshakeRefused, .peerCrowded: break
        case .sessionDoubted, .sessionTrusted, .serverChanged: break
        case .sessionHeard, .sessionSilent, .serviceChanged: break
        case .sessionStrengthened: self.statistics.strengthened += 1
        case .streamOpened(let handle, _, let request): self.accept(handle, request, at: site)
        case .streamClosed(let handle):
            if self.commits(.forgetClosing) { return }
            guard let end = site.stream(handle) else {
                return self.violate("closing of a stream that is not open, \(site.side)")
            }
            self.statistics.streamsClosed += 1
            self.settle(end, at: site, fate: .closed)
        case .streamReset(let handle, let reason):
            guard let end = site.stream(handle) else {
                // Told of before the application's own reset, which came first to its ears.
                if site.resetHandles.contains(handle) { return }
                return self.violate("reset of a stream that is not open, \(site.side)")
            }
            self.streamWasReset(end, reason: reason, byApplication: false)
        case .flowOpened(let handle, _, let request): self.accept(handle, request, at: site)
        case .flowClosed(let handle, let reason): self.flowWasClosed(handle, reason, at: site)
        case .openRefused(_, _, let request, let reason):
            let isWanted = request.service == "nowhere" || request.service == Self.forbiddenService
            let isRight = reason == .serviceUnknown || reason == .serviceForbidden
            if !isWanted || !isRight {
                self.violate("the server refused \(request.service): \(reason)")
            }
        }
    }

    private func accept(_ handle: StreamHandle, _ request: OpenRequest, at site: Site) {
        let count = self.scenario.streams.count
        guard let number = self.number(of: request, below: count), site.side == .server else {
            return self.violate("a stream opened that nobody asked for: \(request)")
        }
        if self.records[number].opened[1] {
            return self.violate("stream \(number) opened twice at the server")
        }
        self.records[number].opened[1] = true
        let plan = self.scenario.streams[number]
        if request.service != plan.service || request.isCompressed != plan.isCompressed
            || request.trafficClass != plan.trafficClass
        {
            self.violate("stream \(number) was asked for otherwise: \(request)")
        }
        let end = StreamEnd(plan: plan, side: .server, handle: handle, at: self.now)
        site.insert(end)
        end.act(on: site.engine, world: self, at: self.now)
    }

    private func accept(_ handle: FlowHandle, _ request: OpenRequest, at site: Site) {
        let count = self.scenario.flows.count
        guard let number = self.number(of: request, below: count), site.side == .server else {
            return self.violate("a flow opened that nobody asked for: \(request)")
        }
        let plan = self.scenario.flows[number]
        if request.delivery != plan.delivery || request.trafficClass != plan.trafficClass {
            self.violate("flow \(number) was asked for otherwise: \(request)")
        }
        let serial = self.nextServerSerials[number]
        site.insert(
            FlowEnd(plan: plan, side: .server, handle: handle, firstSerial: serial, at: self.now)
        )
    }

    private func flowWasClosed(_ handle: FlowHandle, _ reason: ResetReason, at site: Site) {
        guard let end = site.flow(handle) else {
            return self.violate("closing of a flow that is not open, \(site.side)")
        }
        if site.side == .client { self.violate("\(end) closed: \(reason)") }
        self.nextServerSerials[end.plan.number] = end.nextSerial
        site.remove(end)
    }

    func streamWasReset(_ end: StreamEnd, reason: ResetReason, byApplication: Bool) {
        let site = end.side == .client ? self.clients[end.plan.client] : self.home(of: end)
        guard let site else { return self.violate("\(end) has no home") }
        self.statistics.streamsReset += 1
        if byApplication { site.resetHandles.insert(end.handle) }
        self.settle(end, at: site, fate: byApplication ? .resetByApplication : .reset(reason))
    }

    private func home(of end: StreamEnd) -> Site? {
        self.servers.first { $0.stream(end.handle) === end }
    }

    private func settle(_ end: StreamEnd, at site: Site, fate: Fate) {
        site.remove(end)
        let number = end.plan.number
        if self.records[number].fates[end.side.index] != nil {
            self.violate("\(end) ended twice")
        }
        self.records[number].fates[end.side.index] = fate
        self.records[number].complete[end.side.index] = end.isComplete
        self.digest.add(UInt64(number) << 8 | 0xF0 | UInt64(end.side.index))
        self.digest.add(self.now.nanoseconds)
    }

    /// The process of a site is gone, with everything in it.
    func abandon(_ site: Site) {
        for case let end? in site.streams { self.settle(end, at: site, fate: .abandoned) }
        site.resetHandles = []
        for case let end? in site.flows {
            if site.side == .client {
                self.flowPhases[end.plan.number].isOver = true
                self.flowClosings.removeAll { $0.flow == end.plan.number }
            } else {
                self.nextServerSerials[end.plan.number] = end.nextSerial
            }
            site.remove(end)
        }
    }

    /// When only stalled streams are left, their applications lose patience.
    func releaseStalledStreams() {
        for (plan, record) in zip(self.scenario.streams, self.records)
        where !record.isStarted || !(record.isSettled || plan.isStalled) { return }
        for site in self.clients + self.servers {
            for case let end? in site.streams where end.plan.isStalled {
                let isClientDone = self.records[end.plan.number].fates[0] != nil
                guard end.side == .client || isClientDone else { continue }
                end.giveUp(on: site.engine, world: self, at: self.now)
            }
        }
    }
}
