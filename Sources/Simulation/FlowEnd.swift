import Primitives
import Session

/// The application at one end of a UDP flow.
///
/// Datagrams of 16 bytes and more carry their serial number and size; shorter ones can only be
/// counted.
final class FlowEnd {
    let plan: FlowPlan
    let side: Side
    let handle: FlowHandle
    private(set) var sent: UInt32 = 0
    private(set) var received: UInt32 = 0
    private(set) var nextActionAt: Instant
    private var seen: Set<UInt32> = []
    private var shortOnes = [UInt32](repeating: 0, count: 16)
    /// The first serial number of this end: a server's end that follows another goes on counting.
    private var serial: UInt32

    private static let headerByteCount = 16

    init(plan: FlowPlan, side: Side, handle: FlowHandle, firstSerial: UInt32, at now: Instant) {
        self.plan = plan
        self.side = side
        self.handle = handle
        self.serial = firstSerial
        self.nextActionAt = side == .client ? now : .never
    }

    var isComplete: Bool { self.side == .server || self.sent == self.plan.count }

    /// Client: sends what its schedule says.
    func act(on engine: Engine, world: World, at now: Instant) {
        guard self.side == .client, self.sent < self.plan.count else {
            self.nextActionAt = .never
            return
        }
        self.send(on: engine, world: world, at: now)
        self.nextActionAt = self.sent < self.plan.count ? now + self.plan.interval : .never
    }

    private func send(on engine: Engine, world: World, at now: Instant) {
        let count = Int(world.dice.below(self.plan.byteCountLimit))
        let bytes = UnsafeMutableRawBufferPointer(rebasing: world.datagram[..<count])
        self.plan.pattern(from: self.side, serial: self.serial).fill(bytes, from: 0)
        if count >= Self.headerByteCount {
            bytes.storeBytes(of: self.serial, as: UInt32.self)
            bytes.storeBytes(of: UInt32(count), toByteOffset: 4, as: UInt32.self)
            bytes.storeBytes(of: UInt64(self.plan.number), toByteOffset: 8, as: UInt64.self)
        } else {
            for index in 0..<count { bytes[index] = UInt8(self.plan.number & 0xFF) }
            world.shortDatagrams[self.plan.number][self.side.index][count] += 1
        }
        self.serial += 1
        self.sent += 1
        world.statistics.datagramsSent += 1
        engine.send(UnsafeRawBufferPointer(bytes), on: self.handle, at: now)
    }

    /// Takes a datagram; a server's end answers it.
    func receive(
        _ bytes: UnsafeRawBufferPointer,
        on engine: Engine,
        world: World,
        at now: Instant
    ) {
        self.received += 1
        world.statistics.datagramsReceived += 1
        world.digest.add(UInt64(self.plan.number) << 8 | 0xD0 | UInt64(self.side.index))
        world.digest.add(bytes)
        self.check(bytes, world: world)
        if self.side == .server { self.send(on: engine, world: world, at: now) }
    }

    private func check(_ bytes: UnsafeRawBufferPointer, world: World) {
        let sender = self.side == .client ? Side.server : .client
        guard bytes.count >= Self.headerByteCount else {
            self.shortOnes[bytes.count] += 1
            if bytes.contains(where: { $0 != UInt8(self.plan.number & 0xFF) }) {
                world.violate("\(self) received a changed datagram of \(bytes.count) bytes")
            }
            let sent = world.shortDatagrams[self.plan.number][sender.index][bytes.count]
            if self.shortOnes[bytes.count] > sent {
                world.violate("\(self) received more datagrams of \(bytes.count) bytes than sent")
            }
            return
        }
        let serial = bytes.load(as: UInt32.self)
        let body = UnsafeRawBufferPointer(rebasing: bytes[Self.headerByteCount...])
        let pattern = self.plan.pattern(from: sender, serial: serial)
        if bytes.load(fromByteOffset: 4, as: UInt32.self) != UInt32(bytes.count)
            || bytes.load(fromByteOffset: 8, as: UInt64.self) != UInt64(self.plan.number)
            || pattern.firstDifference(body, from: UInt64(Self.headerByteCount)) != nil
        {
            world.violate("\(self) received datagram \(serial) changed")
        }
        if !self.seen.insert(serial).inserted {
            world.violate("\(self) received datagram \(serial) twice")
        }
    }

    /// Where a successor of this end goes on counting.
    var nextSerial: UInt32 { self.serial }
}

extension FlowEnd: CustomStringConvertible {
    var description: String { "flow \(self.plan.number), \(self.side) end," }
}
