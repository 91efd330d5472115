import LinuxIO
import Primitives
import Session
import Testing

@testable import Runtime

@Suite struct TableTests {
    private func address(_ generator: inout SeededGenerator) -> SocketAddress {
        SocketAddress(
            ipv4: UInt32(generator.below(64)),
            port: UInt16(generator.below(16))
        )
    }

    /// Against a dictionary, with keys that collide often.
    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func findsEveryFlowAndNoOther(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let flows = PlayerFlows(seed: seed)
        var model: [SocketAddress: FlowHandle] = [:]
        var free = (0..<600).map { UInt32($0) }
        let local = SocketAddress(ipv4: 1, port: 1)
        for step in 0..<20_000 as Range<UInt32> {
            let player = self.address(&generator)
            let found = flows.find(listener: 0, player: player, local: local)
            #expect(found == model[player])
            #expect(flows.find(listener: 1, player: player, local: local) == nil)
            if let handle = model[player] {
                guard generator.chance(1, in: 2) else { continue }
                #expect(flows.remove(handle)?.player == player)
                #expect(flows.entry(handle) == nil)
                model[player] = nil
                free.append(handle.slot)
            } else if model.count < 600, let slot = free.popLast() {
                let handle = FlowHandle(slot: slot, generation: step)
                let flow = PlayerFlow(
                    generation: step,
                    listener: 0,
                    service: 0,
                    player: player,
                    local: local
                )
                flows.insert(handle, flow)
                model[player] = handle
            }
            #expect(flows.count == model.count)
        }
        #expect(Set(flows.handles { _ in true }) == Set(model.values))
    }

    @Test func aFloodOfStrangersMovesNoKnownPath() {
        var paths = ReturnPaths(seed: 9)
        let peer = SocketAddress(ipv4: 7, port: 7)
        let here = SocketAddress(ipv4: 100, port: 1)
        let there = SocketAddress(ipv4: 101, port: 1)
        paths.note(peer, to: here, socket: 0)
        #expect(paths.path(to: peer)?.local == here)
        for stranger in 0..<100_000 as Range<UInt32> {
            paths.note(SocketAddress(ipv4: 1_000 + stranger, port: 5), to: there, socket: 1)
        }
        #expect(paths.path(to: peer)?.local == here)
        #expect(paths.path(to: SocketAddress(ipv4: 1_001, port: 5)) == nil)
        paths.note(peer, to: there, socket: 1)
        #expect(paths.path(to: peer)?.local == there)
        #expect(paths.path(to: peer)?.socket == 1)
    }

    @Test func theBacklogIsBoundedAndKeepsOrder() {
        let backlog = PacketBacklog()
        let source = SocketAddress(ipv4: 1, port: 2)
        var pushed = 0
        let bytes = pattern(1_350)
        while pushed < 10_000 {
            let isQueued = bytes.withUnsafeBytes {
                backlog.push($0, source: source, destination: source, socket: pushed)
            }
            guard isQueued else { break }
            pushed += 1
        }
        #expect((500..<1_000).contains(pushed))
        var drained = 0
        backlog.drain { packet in
            #expect(packet.socket == drained)
            #expect(packet.source == source)
            #expect(packet.bytes.count == 1_350)
            drained += 1
        }
        #expect(drained == pushed)
        #expect(
            [1].withUnsafeBytes {
                backlog.push($0, source: source, destination: source, socket: 0)
            }
        )
        backlog.drain { _ in drained += 1 }
        #expect(drained == pushed + 1)
    }

    @Test func tokensKeepTheirParts() {
        let token = Token(.flow, slot: 0xABC_DEF0, generation: 0xFEDC_BA98)
        let read = Token(rawValue: token.rawValue)
        #expect(read.kind == .flow)
        #expect(read.slot == 0xABC_DEF0)
        #expect(read.generation == 0xFEDC_BA98)
    }
}
