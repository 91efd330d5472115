public import Primitives

extension StandaloneConversation {
    /// Writes the next datagram and returns its size; `nil` when all that may leave now has left.
    ///
    /// `output` must have room for `maximumDatagram` bytes.
    public func nextDatagram(
        into output: UnsafeMutableRawBufferPointer,
        at now: Instant
    ) -> Int? {
        guard self.isFlushing, !self.isDead, let base = output.baseAddress else { return nil }
        precondition(output.count >= self.settings.maximumDatagram)
        let time = Self.milliseconds(now)
        var datagram = StandaloneDatagram(
            base: base,
            capacity: self.settings.maximumDatagram,
            template: self.template()
        )
        self.writeAcknowledgements(to: &datagram)
        self.writeProbes(to: &datagram)
        self.writeData(to: &datagram, at: time)
        guard datagram.count > 0 else {
            self.isFlushing = false
            return nil
        }
        self.statistics.datagramsSent += 1
        self.advertisedWindow = Int(datagram.template.window)
        return datagram.count
    }

    private func template() -> StandaloneSegmentHeader {
        let window = min(self.receiving.room, 65535)
        self.advertisedWindow = window
        return StandaloneSegmentHeader(
            conversation: self.settings.conversation,
            command: 0,
            window: UInt16(window),  // bound: `min` above
            timestamp: 0,
            serial: 0,
            unacknowledged: self.receiving.next
        )
    }

    private func writeAcknowledgements(to datagram: inout StandaloneDatagram) {
        let una = self.receiving.next
        let command = StandaloneSegmentHeader.Command.acknowledgement
        while datagram.hasRoom(for: 0), let entry = self.acknowledgements.next(after: una) {
            datagram.append(command, serial: entry.serial, timestamp: entry.timestamp)
        }
    }

    private func writeProbes(to datagram: inout StandaloneDatagram) {
        if self.asksWindow, datagram.hasRoom(for: 0) {
            self.asksWindow = false
            datagram.append(StandaloneSegmentHeader.Command.askWindow)
        }
        if self.tellsWindow, datagram.hasRoom(for: 0) {
            self.tellsWindow = false
            datagram.append(StandaloneSegmentHeader.Command.tellWindow)
        }
    }

    /// Lost segments first, then new ones as far as the windows allow.
    private func writeData(to datagram: inout StandaloneDatagram, at time: UInt64) {
        while let index = self.sending.front(of: StandaloneSendBuffer.lostList) {
            let ahead = self.sending.serial(at: index) &- self.windowEnd
            if Int32(bitPattern: ahead) >= 0 {
                self.sending.unlink(index)
                self.sending.link(index, to: StandaloneSendBuffer.parkedList)
                continue
            }
            guard datagram.hasRoom(for: Int(self.sending[index].length)) else { return }
            self.sending.unlink(index)
            self.transmit(index, in: &datagram, at: time)
            if self.isDead { return }
        }
        while self.maySendNew {
            let index = self.sending.index(of: self.sending.next)
            guard datagram.hasRoom(for: Int(self.sending[index].length)) else { return }
            self.transmit(self.sending.takeUnsent(), in: &datagram, at: time)
        }
    }

    private func transmit(
        _ index: Int32,
        in datagram: inout StandaloneDatagram,
        at time: UInt64
    ) {
        self.transmissions += 1
        self.statistics.segmentsSent += 1
        self.sending[index].transmission = self.transmissions
        self.sending[index].transmissions += 1
        self.sending[index].sentAt = time
        let segment = self.sending[index]
        self.sending.link(index, to: segment.timeouts)
        if segment.transmissions >= UInt32(clamping: self.settings.deadLink) { self.isDead = true }
        datagram.append(
            StandaloneSegmentHeader.Command.push,
            serial: self.sending.serial(at: index),
            timestamp: UInt32(truncatingIfNeeded: time),
            fragment: segment.fragment,
            data: self.sending.payload(at: index)
        )
    }
}

/// A datagram while segments are put into it, back to back.
struct StandaloneDatagram {
    let base: UnsafeMutableRawPointer
    let capacity: Int
    let template: StandaloneSegmentHeader
    var count = 0

    func hasRoom(for byteCount: Int) -> Bool {
        self.count + StandaloneSegmentHeader.byteCount + byteCount <= self.capacity
    }

    mutating func append(
        _ command: UInt8,
        serial: UInt32 = 0,
        timestamp: UInt32 = 0,
        fragment: UInt8 = 0,
        data: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) {
        var header = self.template
        header.command = command
        header.serial = serial
        header.timestamp = timestamp
        header.fragment = fragment
        header.length = UInt32(clamping: data.count)
        header.write(to: self.base + self.count)
        self.count += StandaloneSegmentHeader.byteCount
        if let source = data.baseAddress {
            (self.base + self.count).copyMemory(from: source, byteCount: data.count)
            self.count += data.count
        }
    }
}
