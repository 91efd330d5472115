public import Primitives

/// What the driver does with UDP flows.
extension Engine {
    /// Client: opens a flow, which outlives sessions; `nil` at the limit.
    public func openFlow(_ request: OpenRequest, at now: Instant) -> FlowHandle? {
        guard case .client(let client) = self.role else { return nil }
        guard let flow = self.board.makeFlow(request, at: now) else {
            self.board.drop(.flowLimit)
            return nil
        }
        if let session = client.session, !session.leg.keys.isHeldBack {
            session.adopt(flow, at: now)
        }
        self.armFlowSweep(request, at: now)
        return flow.pointee.handle
    }

    /// Client, at the limit: ends a flow that has been silent for long, so that another can be
    /// opened; `nil` if it found none.
    ///
    /// The handle is dead and no event follows. Without this, whoever forges enough senders shuts
    /// everybody out for as long as a flow may be silent.
    public func evictFlow(at now: Instant) -> FlowHandle? {
        guard let flow = self.leastUsedFlow(of: nil, silentFor: .seconds(1), at: now) else {
            return nil
        }
        self.board.drop(.flowEvicted)
        let handle = flow.pointee.handle
        self.discard(flow, telling: .limit)
        return handle
    }

    /// Of some flows, the one that has been silent for longest and for longer than `patience`;
    /// `nil` if none of them has.
    ///
    /// A sample instead of an order kept for every datagram: whoever floods a full table owns most
    /// of it, and each attempt looks at the next part. `session` narrows it to flows of one.
    func leastUsedFlow(
        of session: PeerSession?,
        silentFor patience: Instant.Interval,
        at now: Instant
    ) -> FlowPointer? {
        var found: FlowPointer?
        self.board.flows.sample { flow in
            guard session == nil || flow.pointee.owner == session?.handle,
                now.since(flow.pointee.lastActivity) > patience
            else { return }
            if let other = found, other.pointee.lastActivity <= flow.pointee.lastActivity {
                return
            }
            found = flow
        }
        return found
    }

    /// Datagrams one flow may have waiting: little while there is nowhere to send them.
    private static let waitingCount = 64
    private static let waitingBytes = 65_536
    /// With a session: what 300 Mbit/s bring while the scheduler or the pacer holds us up for
    /// 100 ms; time, not these, is what bounds the queues of slower flows.
    private static let queuedCount = 8192
    private static let queuedBytes = 4 << 20
    /// Where all flows together have this much waiting, none gets more than without a session.
    private static let totalBytes = 64 << 20

    /// Queues one datagram of 0 to 65,507 bytes; when too much waits, the oldest is dropped.
    public func send(_ datagram: UnsafeRawBufferPointer, on handle: FlowHandle, at now: Instant) {
        guard let flow = self.board.flows.find(handle) else { return }
        guard datagram.count <= DatagramPacking.largest else {
            return self.board.drop(.datagramTooLarge)
        }
        flow.pointee.lastActivity = now
        let session = self.session(flow.pointee.owner)
        if let session, flow.pointee.request.delivery == .reliable {
            session.streams.send(datagram, on: flow)
            return self.touch(session)
        }
        let before = flow.pointee.queue.count
        let isPacked =
            flow.pointee.request.isCompressed && flow.pointee.request.delivery != .reliable
        let content =
            isPacked
            ? self.board.packing.pack(datagram, mayCompress: flow.pointee.mayCompress) : datagram
        var byteLimit =
            session == nil || self.board.queued.count >= Self.totalBytes
            ? Self.waitingBytes : Self.queuedBytes
        if let session, !session.memory.mayQueue(content.count, on: flow) {
            byteLimit = min(byteLimit, flow.pointee.queue.byteLimitWithoutGrowth)
            guard content.count <= byteLimit else { return self.board.drop(.flowQueueFull) }
        }
        let dropped = flow.pointee.queue.append(
            content,
            countLimit: session == nil ? Self.waitingCount : Self.queuedCount,
            byteLimit: byteLimit,
            at: now
        )
        if dropped > 0 {
            // The first one, part of which may have left, is among the dropped.
            flow.pointee.abandonFragments()
            for _ in 0..<min(dropped, before) { self.board.drop(.flowQueueFull) }
        }
        guard let session else { return }
        session.memory.settle(flow)
        session.flows.schedule(flow)
        self.touch(session)
    }

    /// A datagram for the local side; its bytes stay valid until the next call into the engine.
    public func nextDatagram() -> (flow: FlowHandle, bytes: UnsafeRawBufferPointer)? {
        while true {
            while let (handle, bytes) = self.board.inbox.next() {
                if self.board.flows.find(handle) != nil { return (handle, bytes) }
            }
            guard self.unpackMessages() else { return nil }
        }
    }

    /// Turns arrived messages of reliable flows into datagrams; false when there were none.
    private func unpackMessages() -> Bool {
        guard let slot = self.board.readyMessages.popFirst() else { return false }
        guard let stream = self.board.streams.live(slot), stream.pointee.isReady,
            stream.pointee.messageFlow != nil, let session = self.session(stream.pointee.owner)
        else { return true }
        stream.pointee.isReady = false
        assert(session.streams.owns(stream))
        if !session.streams.deliverMessages(stream, at: self.board.now) {
            self.board.markReady(stream)
        }
        self.touch(session)
        return true
    }

    /// Ends a flow; the handle is dead and no event follows.
    public func closeFlow(_ handle: FlowHandle, reason: ResetReason, at now: Instant) {
        guard let flow = self.board.flows.find(handle) else { return }
        self.discard(flow, telling: reason)
    }

    /// Ends a flow of which the driver knows, and tells the peer why.
    func discard(_ flow: FlowPointer, telling reason: ResetReason) {
        guard let session = self.session(flow.pointee.owner) else {
            return self.board.flows.release(flow.pointee.slot)
        }
        if let stream = session.streams.channel(of: flow) {
            session.streams.reset(stream, reason: reason)
        } else if flow.pointee.request.delivery != .reliable {
            session.refuse(ChannelID(ChannelKind.flow, flow.pointee.id), reason)
        }
        session.flows.close(flow)
        self.touch(session)
    }

    func armFlowSweep(_ request: OpenRequest, at now: Instant) {
        let interval = max(.milliseconds(250), min(request.idleTimeout / 4, .seconds(10)))
        self.flowSweepAt = min(self.flowSweepAt, now + interval)
    }

    /// Ends the flows that have been silent for too long.
    func sweepFlows(at now: Instant) {
        assert(self.flowSweepAt <= now, "swept before its time")
        self.flowSweepAt = .never
        for slot in self.board.flows.slots {
            guard let flow = self.board.flows.live(slot) else { continue }
            let timeout = flow.pointee.request.idleTimeout
            if now.since(flow.pointee.lastActivity) >= timeout {
                self.board.post(.flowClosed(flow.pointee.handle, .idle))
                self.discard(flow, telling: .idle)
            } else {
                self.armFlowSweep(flow.pointee.request, at: now)
            }
        }
    }
}
