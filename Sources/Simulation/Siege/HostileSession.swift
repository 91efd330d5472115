import Primitives
import Recovery
import Sealing

/// What an attacker knows of a session it has.
final class HostileSession {
    /// A stream or flow that it has asked for.
    struct Channel {
        let id: UInt32
        /// Of the next segment or datagram.
        var number: UInt32 = 0
        var offset: UInt32 = 0
        /// Of a flow: what its first repair ended with.
        var firstRepair: UInt32?
    }

    let keys: EstablishedKeys
    let tactic: Tactic
    let beganAt: Instant
    var received = ReceivedPackets()
    /// The newest packet it has said it got.
    private var acknowledged: UInt64?
    var nextNumber: UInt64 = 0
    var nextStream: UInt32 = 1
    var nextFlow: UInt32 = 1
    var streams: [Channel] = []
    var flows: [Channel] = []
    /// Challenges that came, and to which address.
    var tokens: [(token: UInt64, at: Int)] = []
    var lastHeard: Instant
    var isOver = false
    /// Packets that were sent, for replay.
    var records: [[UInt8]] = []
    /// How far downloads may go.
    var credit: UInt64 = 65_536

    init(_ keys: EstablishedKeys, tactic: Tactic, at now: Instant) {
        self.keys = keys
        self.tactic = tactic
        self.beganAt = now
        self.lastHeard = now
    }

    /// Reads a packet of the server's, its header unmasked; false if it is not one of this session.
    func receive(
        _ packet: UnsafeMutableRawBufferPointer,
        _ header: RecordHeader,
        at address: Int,
        _ now: Instant
    ) -> Bool {
        guard header.receiverIndex == self.keys.localIndex,
            self.keys.keys.open(packet, counter: header.counter)
        else { return false }
        self.lastHeard = now
        self.received.received(header.counter, isAckEliciting: true, isUrgent: false, at: now)
        let end = packet.count - RecordHeader.tagByteCount
        var reader = ByteReader(
            UnsafeRawBufferPointer(rebasing: packet[RecordHeader.byteCount..<end])
        )
        while let type: UInt8 = reader.read(), type != 0,
            let length: UInt16 = reader.read(), let body = reader.read(count: Int(length))
        {
            self.note(type, body, at: address)
        }
        return true
    }

    private func note(_ type: UInt8, _ body: UnsafeRawBufferPointer, at address: Int) {
        var reader = ByteReader(body)
        switch type {
        case WireFrame.closeSession:
            self.isOver = true
        case WireFrame.path:
            guard let operation: UInt8 = reader.read(), operation == 0,
                reader.read(UInt8.self) != nil, let token: UInt64 = reader.read()
            else { return }
            if self.tokens.count == 16 { self.tokens.removeFirst() }
            self.tokens.append((token, address))
        case WireFrame.reset:
            guard let kind: UInt8 = reader.read(), let id: UInt32 = reader.read() else { return }
            if kind == 0 {
                self.streams.removeAll { $0.id == id }
            } else {
                self.flows.removeAll { $0.id == id }
            }
        default:
            return
        }
    }

    /// An ACK as this session's habit has it; `nil` when there is nothing to say.
    func ack(_ dice: inout SeededGenerator, at now: Instant) -> FrameBytes? {
        guard self.received.hasAnythingToAck, self.acknowledged != self.received.largest else {
            return nil
        }
        var frames = FrameBytes()
        let newest = self.received.largest
        if self.tactic.acks == .fitful, dice.chance(1, in: 8) {
            let lone = newest - dice.below(min(64, newest + 1))
            guard self.received.contains(lone) else { return nil }
            frames.append(frame: WireFrame.ack) {
                for value in [lone, 0, 0, 0] { $0.appendVariable(value) }
            }
            return frames
        }
        self.acknowledged = newest
        switch self.tactic.acks {
        case .never: return nil
        case .prompt, .erratic, .fitful:
            let body = [UInt8](unsafeUninitializedCapacity: 512) { buffer, count in
                guard let base = UnsafeMutableRawPointer(buffer.baseAddress) else { return }
                count = self.received.writeAck(into: base, capacity: 512, at: now)
            }
            self.received.forget(below: newest &- min(newest, 4_096))
            frames.append(frame: WireFrame.ack) { $0.append(body) }
        case .newest, .optimistic:
            var largest = newest
            if self.tactic.acks == .optimistic { largest += dice.below(4) }
            // The delay is a lie as often as not.
            let delay = dice.chance(1, in: 2) ? 0 : dice.next() >> dice.below(64)
            frames.append(frame: WireFrame.ack) {
                $0.appendVariable(largest)
                $0.appendVariable(delay)
                $0.appendVariable(0)
                $0.appendVariable(largest - newest)
            }
            self.received.forget(below: newest)
        }
        return frames
    }
}
