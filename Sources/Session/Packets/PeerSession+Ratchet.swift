import Primitives
import Sealing

/// The exchange after a handshake that makes its keys stronger; see ``Ratchet``.
extension PeerSession {
    /// Begins one, and gives up the one before; returns the index that is no longer in use, if any.
    func beginRatchet(_ ratchet: Ratchet) -> UInt32? {
        let retired = self.endRatchet()
        self.ratchet = ratchet
        self.hold(ratchet.memoryByteCount)
        return retired
    }

    /// Lets go of the exchange, done or not; returns the index under which no keys came to be.
    func endRatchet() -> UInt32? {
        guard let ratchet = self.ratchet else { return nil }
        self.hold(-ratchet.memoryByteCount)
        self.ratchet = nil
        return self.isClient ? ratchet.localIndex : nil
    }

    var isRatchetDue: Bool { self.ratchet?.outgoing.map { $0.parts != 0 } ?? false }

    func writeRatchet(to packet: inout PacketBuilder) {
        guard let ratchet = self.ratchet else { return }
        while let message = ratchet.outgoing,
            packet.room >= RatchetFrame.byteCount + message.partByteCount,
            let part = ratchet.outgoing?.takeDue()
        {
            packet.append(
                RatchetFrame(isOffer: self.isClient, handshake: ratchet.handshake, part: part),
                rest: message.partByteCount
            )
            message.bytes.withUnsafeBytes {
                packet.writer.write(UnsafeRawBufferPointer(rebasing: $0[message.range(of: part)]))
            }
            packet.note(
                .ratchet,
                slot: 0,
                id: ratchet.handshake,
                value: UInt32(truncatingIfNeeded: part)
            )
        }
    }

    func repeatRatchet(_ frame: FrameRecord) {
        guard let ratchet = self.ratchet, ratchet.handshake == frame.id else { return }
        ratchet.outgoing?.repeatPart(UInt8(clamping: frame.value))
    }

    /// A part of the peer's message; the engine acts on one that is complete.
    func receiveRatchet(_ type: UInt8, _ body: UnsafeRawBufferPointer) {
        guard self.isClient == (type == FrameType.ratchetAnswer) else {
            return self.board.drop(.protocolViolation)
        }
        var reader = ByteReader(body)
        guard let frame = RatchetFrame(parsing: &reader) else {
            return self.board.drop(.malformed)
        }
        guard let ratchet = self.ratchet, ratchet.handshake == frame.handshake, !ratchet.isSpent
        else {
            return self.board.drop(.ratchet)
        }
        if ratchet.incoming == nil {
            guard self.mayHold(Ratchet.byteCount) else {
                self.mustComeAgain = true
                return self.board.drop(.sessionMemory)
            }
            ratchet.incoming = Ratchet.Message(receivingByteCount: Ratchet.offerByteCount)
            self.hold(ratchet.memoryByteCount)
        }
        if ratchet.incoming?.receive(frame.part, reader.rest) != true { self.board.drop(.ratchet) }
    }
}
