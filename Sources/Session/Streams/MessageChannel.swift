import KCP
import Primitives

/// Flows whose delivery is `reliable`: datagrams as messages of one conversation.
///
/// On the wire they are a stream of `length (2) | bytes`; at both ends they are datagrams again. A
/// message that finds no room is dropped and counted before it is sent, never after.
extension StreamSet {
    /// Client: gives a reliable flow a conversation of its own, and that what waited.
    func adopt(_ flow: FlowPointer, mayDeflate: Bool, at now: Instant) {
        guard let stream = self.board.makeStream(flow.pointee.request, at: now) else {
            self.tell(flow, .stranded(self.owner))
            return self.board.drop(.streamLimit)
        }
        precondition(stream.pointee.messageFlow == nil && stream.pointee.owner == nil)
        stream.pointee.messageFlow = flow.pointee.slot
        self.tell(flow, .carried(self.owner, by: stream.pointee.slot))
        self.adopt(stream, mayDeflate: mayDeflate)
        let queue = flow.pointee.queue.count
        for _ in 0..<queue {
            let count = flow.pointee.queue.first.byteCount
            withUnsafeTemporaryAllocation(byteCount: max(1, count), alignment: 1) { buffer in
                guard let base = buffer.baseAddress else { return }
                flow.pointee.queue.copyFirst(from: 0, count: count, to: base)
                self.send(UnsafeRawBufferPointer(start: base, count: count), on: flow)
            }
            flow.pointee.queue.removeFirst()
        }
    }

    /// Server: the flow at the other end of a conversation that a client opened for messages.
    func accept(_ flow: FlowPointer, over stream: StreamPointer) {
        self.tell(flow, .carried(self.owner, by: stream.pointee.slot))
        stream.pointee.messageFlow = flow.pointee.slot
    }

    private func tell(_ flow: FlowPointer, _ event: FlowLifecycle.Event) {
        self.board.act(on: flow.pointee.on(event, isClient: self.isClient), flow)
    }

    /// Hands one message to the conversation.
    func send(_ message: UnsafeRawBufferPointer, on flow: FlowPointer) {
        assert(flow.pointee.request.delivery == .reliable)
        guard let stream = self.channel(of: flow),
            stream.pointee.sender.room(allowance: self.memory.allowance) >= message.count + 2
        else { return self.board.drop(.flowQueueFull) }
        withUnsafeBytes(of: UInt16(message.count).littleEndian) { length in  // bound: a datagram
            let taken = stream.pointee.sender.write(length) + stream.pointee.sender.write(message)
            precondition(taken == message.count + 2)
        }
        self.memory.settle(stream)
        self.scheduleData(stream)
    }

    func channel(of flow: FlowPointer) -> StreamPointer? {
        guard let slot = flow.pointee.carrier, let stream = self.board.streams.live(slot),
            stream.pointee.messageFlow == flow.pointee.slot, !stream.pointee.isReset
        else { return nil }
        return stream
    }

    /// Turns what has arrived in order into datagrams; false when the inbox has no room.
    func deliverMessages(_ stream: StreamPointer, at now: Instant) -> Bool {
        guard let flow = self.messageFlow(of: stream) else { return true }
        while stream.pointee.receiver.readableByteCount >= 2 {
            var length: UInt16 = 0
            withUnsafeMutableBytes(of: &length) { bytes in
                guard let base = bytes.baseAddress else { return }
                stream.pointee.receiver.copy(from: 0, count: 2, to: base)
            }
            let count = Int(UInt16(littleEndian: length))
            guard count <= DatagramPacking.largest else {
                self.failViolation(stream)
                return true
            }
            guard stream.pointee.receiver.readableByteCount >= 2 + count else { break }
            guard let target = self.board.inbox.reserve(count, for: flow.pointee.handle) else {
                return false
            }
            stream.pointee.receiver.copy(from: 2, count: count, to: target)
            stream.pointee.receiver.consumed(2 + count)
            flow.pointee.lastActivity = now
        }
        self.updateCredit(stream, at: now)
        return true
    }

    private func messageFlow(of stream: StreamPointer) -> FlowPointer? {
        assert(self.owns(stream))
        guard let slot = stream.pointee.messageFlow, let flow = self.board.flows.live(slot),
            flow.pointee.carrier == stream.pointee.slot
        else { return nil }
        return flow
    }

    /// Tells the driver that a stream, or the flow it carries, is over.
    func announceEnd(_ stream: StreamPointer, _ reason: ResetReason?) {
        guard stream.pointee.messageFlow != nil else {
            let handle = stream.pointee.handle
            self.board.post(reason.map { .streamReset(handle, $0) } ?? .streamClosed(handle))
            return
        }
        guard let flow = self.messageFlow(of: stream) else { return }
        // A client's flow outlives the session and gets another conversation in the next.
        self.tell(flow, .carrierEnded(reason))
    }
}
