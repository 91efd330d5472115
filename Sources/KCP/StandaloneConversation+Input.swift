public import Primitives

extension StandaloneConversation {
    /// Takes one datagram from the network (`ikcp_input`).
    ///
    /// Nothing in it can trap: what does not make sense is skipped or ends the datagram.
    @discardableResult
    public func input(_ datagram: UnsafeRawBufferPointer, at now: Instant) -> InputOutcome {
        let time = Self.milliseconds(now)
        var rest = datagram
        var outcome = InputOutcome.accepted
        while let base = rest.baseAddress, !rest.isEmpty {
            guard rest.count >= StandaloneSegmentHeader.byteCount else {
                outcome = .malformed
                break
            }
            let header = StandaloneSegmentHeader(from: base)
            guard header.conversation == self.settings.conversation else {
                outcome = .foreignConversation
                break
            }
            let body = UnsafeRawBufferPointer(
                rebasing: rest[StandaloneSegmentHeader.byteCount...]
            )
            guard Int(header.length) <= body.count,
                (StandaloneSegmentHeader.Command.push...StandaloneSegmentHeader.Command.tellWindow)
                    .contains(header.command)
            else {
                outcome = .malformed
                break
            }
            self.take(
                header,
                UnsafeRawBufferPointer(rebasing: body[..<Int(header.length)]),
                at: time
            )
            rest = UnsafeRawBufferPointer(rebasing: body[Int(header.length)...])
        }
        self.detectOvertaken()
        self.moveWindowEnd()
        return outcome
    }

    private func take(
        _ header: StandaloneSegmentHeader,
        _ data: UnsafeRawBufferPointer,
        at time: UInt64
    ) {
        // An acknowledgement is looked at before `una`, which would take away what it is about.
        if header.command == StandaloneSegmentHeader.Command.acknowledgement {
            self.acknowledge(header, at: time)
        }
        // What was overtaken on the way says nothing about the window any more.
        if Int32(bitPattern: header.unacknowledged &- self.sending.unacknowledged) >= 0 {
            self.remoteWindow = Int(header.window)
        }
        self.advance(to: header.unacknowledged)
        switch header.command {
        case StandaloneSegmentHeader.Command.push:
            self.push(header, data)
        case StandaloneSegmentHeader.Command.askWindow:
            self.tellsWindow = true
        default:
            break
        }
    }

    private func push(_ header: StandaloneSegmentHeader, _ data: UnsafeRawBufferPointer) {
        self.statistics.segmentsReceived += 1
        switch self.receiving.insert(
            serial: header.serial,
            fragment: header.fragment,
            data: data
        )
        {
        case .new:
            break
        case .duplicate:
            self.statistics.duplicates += 1
        case .refused:
            self.statistics.refused += 1
            return
        }
        self.acknowledgements.append(serial: header.serial, timestamp: header.timestamp)
    }

    private func acknowledge(_ header: StandaloneSegmentHeader, at time: UInt64) {
        guard self.sending.contains(inFlight: header.serial) else { return }
        let index = self.sending.index(of: header.serial)
        let segment = self.sending[index]
        guard self.sending.acknowledge(at: index) else { return }
        // `ts` tells which transmission arrived; an older one than the last is no evidence. Every
        // acknowledgement is a sample, as those of one tick waited for different times.
        if UInt32(truncatingIfNeeded: segment.sentAt) == header.timestamp {
            self.evidence.arrived(segment.transmission)
            self.timing.sample(Int(clamping: time - min(time, segment.sentAt)))
        }
        self.congestion.acknowledged(1)
        self.sending.shrink()
    }

    /// Takes everything before `una` as arrived; a `una` beyond what was sent is nonsense.
    private func advance(to una: UInt32) {
        let count = una &- self.sending.unacknowledged
        guard count > 0, count <= UInt32(clamping: self.sending.inFlight) else { return }
        for offset in 0..<count {
            let index = self.sending.index(of: self.sending.unacknowledged &+ offset)
            let segment = self.sending[index]
            guard self.sending.acknowledge(at: index) else { continue }
            if segment.transmissions == 1 { self.evidence.arrived(segment.transmission) }
            self.congestion.acknowledged(1)
        }
        self.sending.shrink()
    }
}
