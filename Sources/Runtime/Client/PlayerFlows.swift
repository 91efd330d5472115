import LinuxIO
import Primitives
import Session

/// One player's UDP flow beside the engine's; clients only.
struct PlayerFlow: BitwiseCopyable {
    var generation: UInt32 = 0
    /// −1: vacant.
    var listener: Int32 = -1
    var service: Int32 = 0
    /// Where ``ReplySockets`` had the socket for ``answerFrom`` last; −1: nowhere.
    var replyPlace: Int32 = -1
    /// With `local` what tells this flow from others; a proxy's word where one speaks for players.
    var player = SocketAddress.anyIPv4(port: 0)
    var local = SocketAddress.anyIPv4(port: 0)
    /// Where answers go: the player, or the proxy that spoke for it last.
    var answerTo = SocketAddress.anyIPv4(port: 0)
    /// The address the last datagram came to, and answers therefore come from.
    var answerFrom = SocketAddress.anyIPv4(port: 0)
}

/// The flows of a client, found by listener, player and local address.
///
/// An open-addressing index of slots, because a `Dictionary` costs more than the rest of a
/// datagram's way through this process.
final class PlayerFlows {
    private static let empty: Int32 = -1
    private let table = SlotTable(vacant: PlayerFlow())
    private var index: UnsafeMutablePointer<Int32>
    private var mask: Int
    private(set) var count = 0
    private let seed: UInt64

    init(seed: UInt64) {
        self.seed = seed
        self.mask = 255
        self.index = .allocate(capacity: self.mask + 1)
        self.index.initialize(repeating: Self.empty, count: self.mask + 1)
    }

    deinit { self.index.deallocate() }

    /// The flow of a datagram, if there is one.
    @inline(__always)
    func find(listener: Int32, player: SocketAddress, local: SocketAddress) -> FlowHandle? {
        var place = self.home(listener, player, local)
        while self.index[place] != Self.empty {
            let slot = Int(self.index[place])
            let flow = self.table.pointer + slot
            if flow.pointee.player == player, flow.pointee.listener == listener,
                flow.pointee.local == local
            {
                return FlowHandle(slot: UInt32(slot), generation: flow.pointee.generation)
            }
            place = (place + 1) & self.mask
        }
        return nil
    }

    /// The live entry of `handle`.
    @inline(__always)
    func entry(_ handle: FlowHandle) -> UnsafeMutablePointer<PlayerFlow>? {
        let slot = Int(handle.slot)
        guard slot < self.table.capacity else { return nil }
        let flow = self.table.pointer + slot
        guard flow.pointee.listener >= 0, flow.pointee.generation == handle.generation else {
            return nil
        }
        return flow
    }

    func insert(_ handle: FlowHandle, _ flow: PlayerFlow) {
        if (self.count + 1) * 2 > self.mask + 1 { self.double() }
        assert(self.table[Int(handle.slot)].listener < 0, "the end of the slot's flow went unheard")
        self.table.entry(Int(handle.slot)).pointee = flow
        self.put(Int32(handle.slot), flow)
        self.count += 1
    }

    /// Forgets a flow; says which it was.
    @discardableResult
    func remove(_ handle: FlowHandle) -> PlayerFlow? {
        guard let flow = self.entry(handle)?.pointee else { return nil }
        var place = self.home(flow.listener, flow.player, flow.local)
        while self.index[place] != Int32(handle.slot) { place = (place + 1) & self.mask }
        self.unlink(place)
        self.table.clear(Int(handle.slot))
        self.count -= 1
        return flow
    }

    /// Every live flow that `matches` picks.
    func handles(where matches: (PlayerFlow) -> Bool) -> [FlowHandle] {
        (0..<self.table.capacity).compactMap { slot in
            let flow = self.table[slot]
            guard flow.listener >= 0, matches(flow) else { return nil }
            return FlowHandle(slot: UInt32(slot), generation: flow.generation)
        }
    }

    private func home(_ listener: Int32, _ player: SocketAddress, _ local: SocketAddress) -> Int {
        let hash = fold(
            addressHash(player, seed: self.seed),
            local.high ^ local.low ^ UInt64(UInt32(bitPattern: listener)) << 32
                ^ UInt64(local.port) << 16
        )
        return Int(truncatingIfNeeded: hash) & self.mask
    }

    private func put(_ slot: Int32, _ flow: PlayerFlow) {
        var place = self.home(flow.listener, flow.player, flow.local)
        while self.index[place] != Self.empty { place = (place + 1) & self.mask }
        self.index[place] = slot
    }

    /// Closes the gap by moving later slots back, so that no tombstones pile up (Knuth, TAOCP 3,
    /// 6.4, algorithm R).
    private func unlink(_ start: Int) {
        var hole = start
        var place = (hole + 1) & self.mask
        while self.index[place] != Self.empty {
            let flow = self.table[Int(self.index[place])]
            let home = self.home(flow.listener, flow.player, flow.local)
            if (place &- home) & self.mask >= (place &- hole) & self.mask {
                self.index[hole] = self.index[place]
                hole = place
            }
            place = (place + 1) & self.mask
        }
        self.index[hole] = Self.empty
    }

    private func double() {
        let old = self.index
        let oldCapacity = self.mask + 1
        self.mask = oldCapacity * 2 - 1
        self.index = .allocate(capacity: self.mask + 1)
        self.index.initialize(repeating: Self.empty, count: self.mask + 1)
        for place in 0..<oldCapacity where old[place] != Self.empty {
            self.put(old[place], self.table[Int(old[place])])
        }
        old.deallocate()
    }
}
