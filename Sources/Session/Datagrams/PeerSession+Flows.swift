import Erasure
import Primitives

/// The UDP flows of a session.
extension PeerSession {
    func attach(_ flow: FlowPointer, id: UInt32) {
        flow.pointee.owner = self.handle
        flow.pointee.id = id
        self.flowIDs.insert(id, flow.pointee.slot)
        self.settleMemory(of: flow)
    }

    /// Client: gives a flow an id in this session; its OPEN travels with its next datagram.
    func adopt(_ flow: FlowPointer, at now: Instant) {
        if flow.pointee.request.delivery == .reliable {
            return self.adoptReliable(flow, at: now)
        }
        self.attach(flow, id: self.nextFlowID)
        self.nextFlowID += 1
        flow.pointee.mayCompress =
            flow.pointee.request.isCompressed
            && self.deflatable.contains(ServiceName(flow.pointee.request))
        flow.pointee.opening = Opening(of: flow.pointee.request)
        flow.pointee.fragmentOffset = 0
        flow.pointee.fragmentIndex = 0
        self.scheduleDatagrams(flow)
    }

    func scheduleDatagrams(_ flow: FlowPointer) {
        guard !flow.pointee.isQueued, flow.pointee.hasDatagrams else { return }
        flow.pointee.isQueued = true
        self.flowQueue.append(flow.pointee.slot)
    }

    /// Takes the flow out of this session; on a client it may join another.
    func detach(_ flow: FlowPointer) {
        self.flowIDs.remove(flow.pointee.id)
        flow.pointee.owner = nil
        flow.pointee.channel = nil
        self.protection.set(Int(flow.pointee.slot), to: .never)
        self.riders.set(Int(flow.pointee.slot), to: .never)
        if flow.pointee.decoder != nil {
            self.decoderCount -= 1
            self.hold(-Self.decoderByteCount)
        }
        self.hold(-flow.pointee.chargedByteCount)
        flow.pointee.chargedByteCount = 0
        flow.pointee.decoder = nil
        flow.pointee.protection = nil
        flow.pointee.resetRetention()
        flow.pointee.mayCompress = false
        flow.pointee.inflation = DatagramPacking.InflationRule()
        flow.pointee.arrivals = DuplicateFilter()
        flow.pointee.isQueued = false
    }

    /// The session is over: a client keeps its flows for the next one, a server ends them.
    func dropFlows(reason: ResetReason) {
        for slot in self.board.flows.slots {
            guard let flow = self.board.flows.live(slot), self.owns(flow)
            else { continue }
            self.detach(flow)
            if !self.isClient {
                self.board.post(.flowClosed(flow.pointee.handle, reason))
                self.board.flows.release(flow.pointee.slot)
            }
        }
    }
}
