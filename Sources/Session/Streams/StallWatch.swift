import KCP
import Primitives

/// Streams whose bytes may wait for the peer's acknowledgement no longer than their opener says.
///
/// A mark stands behind what had been written at some moment. Once the peer has all before it, the
/// next one is set behind what has been written by then, so that no byte waits for longer than the
/// limit and one round trip.
extension Switchboard {
    /// Bytes of `stream` were written or acknowledged.
    @inline(__always)
    func watchStall(_ stream: StreamPointer, at now: Instant) {
        guard let limit = stream.pointee.request.maximumStall else { return }
        self.moveMark(stream, limit, at: now)
    }

    private func moveMark(_ stream: StreamPointer, _ limit: Instant.Interval, at now: Instant) {
        if stream.pointee.sender.isEverythingAcknowledged {
            guard stream.pointee.stall.deadline != .never else { return }
            stream.pointee.stall.deadline = .never
        } else {
            guard
                stream.pointee.stall.deadline == .never
                    || stream.pointee.sender.acknowledgedOffset >= stream.pointee.stall.offset
            else { return }
            stream.pointee.stall.offset = stream.pointee.sender.writtenOffset
            stream.pointee.stall.deadline = now + limit
        }
        assert(stream.pointee.stall.offset <= stream.pointee.sender.writtenOffset)
        self.stalls.set(Int(stream.pointee.slot), to: stream.pointee.stall.deadline)
    }
}

extension Engine {
    /// Ends the streams whose bytes have waited for too long, and drops those bytes.
    func endStalled(at now: Instant) {
        while let slot = self.board.stalls.due(at: now) {
            self.board.stalls.set(slot, to: .never)
            guard let stream = self.board.streams.live(UInt32(clamping: slot)),
                !stream.pointee.isReset, stream.pointee.stall.deadline != .never
            else { continue }
            // The slot's last stream had one as well.
            guard stream.pointee.stall.deadline <= now else {
                self.board.stalls.set(slot, to: stream.pointee.stall.deadline)
                continue
            }
            let handle = stream.pointee.handle
            self.board.post(.streamReset(handle, .stalled))
            self.reset(handle, reason: .stalled, at: now)
        }
    }
}
