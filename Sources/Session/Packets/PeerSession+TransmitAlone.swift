import Primitives
import Recovery
import Sealing

/// Packets that carry one thing and nothing else.
extension PeerSession {
    func transmitMTUProbe(
        into buffer: UnsafeMutableRawBufferPointer,
        at now: Instant
    ) -> Transmit? {
        guard let size = self.mtu.dueProbe(at: now), let base = buffer.baseAddress,
            buffer.count >= size, self.path.isValidated
        else { return nil }
        var packet = PacketBuilder(
            base: base,
            size: size,
            number: self.nextNumber,
            log: self.log
        )
        var filler = packet.frameBody
        filler.cursor.initializeMemory(as: UInt8.self, repeating: 0, count: filler.room)
        filler.count = filler.room
        packet.append(FrameType.mtuProbe, filler, flags: [.ackEliciting, .isProbe])
        packet.note(.mtuProbe, slot: 0, id: 0, value: UInt32(clamping: size))
        let length = self.seal(packet, at: now)
        self.settleLogs()
        self.mtu.probeSent(size)
        self.board.countSent(packets: 1, bytes: length)
        self.wireBytesSent &+= UInt64(length)
        return Transmit(
            destination: self.path.address,
            byteCount: length,
            segmentSize: length
        )
    }

    /// Sends one small frame right away, to an address that need not be the session's.
    ///
    /// Nothing goes where it would be more than what came from there allows.
    func sendAlone<Kind: Frame>(_ frame: Kind, to address: SocketAddress, at now: Instant) {
        guard !self.current.keys.isExhausted else { return }
        withUnsafeTemporaryAllocation(byteCount: 128, alignment: 16) { buffer in
            guard let base = buffer.baseAddress else { return }
            var packet = PacketBuilder(
                base: base,
                size: buffer.count,
                number: self.nextNumber,
                log: self.log
            )
            packet.writer.writeFrameHeader(frame.type, count: Kind.fieldByteCount)
            frame.encode(to: &packet.writer)
            guard packet.sealedByteCount <= self.path.allowance(for: address) else {
                return self.board.drop(.pathUnvalidated)
            }
            let length = self.seal(packet, to: address, at: now)
            self.settleLogs()
            self.board.send(
                UnsafeRawBufferPointer(start: base, count: length),
                to: address
            )
        }
    }
}
