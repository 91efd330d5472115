import LinuxIO
import Primitives
import Session

/// One player's UDP flow beside the engine's; servers only.
final class BackendFlow {
    let generation: UInt32
    let socket: UDPSocket
    let backend: Int32
    let service: Int32
    let address: SocketAddress
    /// Whom the backend is shown, whatever its address.
    let player: ShownPlayer
    /// What goes before datagrams towards the backend, if anything.
    let header: FlowHeader?
    /// The right to the player's address, where the socket has it.
    let claim: TransparentFlows.Claim?
    /// Whether the backend has ever answered.
    var isAnswered = false
    /// Of the socket's errors, how many have been looked at.
    var errorsSeen: UInt64 = 0
    /// Datagrams for the backend since it last said something.
    var unansweredCount: UInt64 = 0
    /// When the backend last said something, or the flow went to it.
    var heardAt: Instant
    /// Whether the backend's name leads elsewhere by now.
    var isOrphan = false

    /// The client that leads the player here.
    var peer: Int32 { self.player.peer }

    init(
        generation: UInt32,
        socket: UDPSocket,
        service: Int32,
        backend: Int32,
        address: SocketAddress,
        player: ShownPlayer,
        header: FlowHeader?,
        claim: TransparentFlows.Claim?,
        at now: Instant
    ) {
        self.generation = generation
        self.socket = socket
        self.service = service
        self.backend = backend
        self.address = address
        self.player = player
        self.header = header
        self.claim = claim
        self.heardAt = now
    }
}

/// The flows of a server: one connected socket each, by slot.
final class BackendFlows {
    private var flows: [BackendFlow?] = []
    private(set) var count = 0

    @inline(__always)
    func find(_ handle: FlowHandle) -> BackendFlow? {
        let slot = Int(handle.slot)
        guard slot < self.flows.count, let flow = self.flows[slot],
            flow.generation == handle.generation
        else { return nil }
        return flow
    }

    func insert(_ handle: FlowHandle, _ flow: BackendFlow) {
        while self.flows.count <= Int(handle.slot) { self.flows.append(nil) }
        self.flows[Int(handle.slot)] = flow
        self.count += 1
    }

    /// Forgets a flow and closes its socket; says which it was.
    @discardableResult
    func remove(_ handle: FlowHandle) -> BackendFlow? {
        guard let flow = self.find(handle) else { return nil }
        self.flows[Int(handle.slot)] = nil
        self.count -= 1
        return flow
    }

    /// Every live flow that `matches` picks.
    func handles(where matches: (BackendFlow) -> Bool) -> [FlowHandle] {
        self.flows.enumerated().compactMap { slot, flow in
            guard let flow, matches(flow) else { return nil }
            return FlowHandle(slot: UInt32(slot), generation: flow.generation)
        }
    }
}
