import KCP
public import Primitives

/// What the driver does with streams.
extension Engine {
    /// Client: opens a stream, which waits for a session if there is none; `nil` at the limit.
    public func openStream(_ request: OpenRequest, at now: Instant) -> StreamHandle? {
        guard case .client(let client) = self.role,
            let stream = self.board.makeStream(request, at: now)
        else { return nil }
        let handle = stream.pointee.handle
        if let session = client.session, !client.isInDoubt, !session.leg.keys.isHeldBack {
            session.adopt(stream)
            self.touch(session)
        } else {
            if client.waiting.isEmpty { client.waitingSince = now }
            client.waiting.append(handle)
        }
        return handle
    }

    /// A stream with bytes to read, an end, or room to write again; each change is told once.
    public func nextReadyStream() -> StreamHandle? {
        while let slot = self.board.ready.popFirst() {
            guard let stream = self.board.streams.live(slot), stream.pointee.isReady else {
                continue
            }
            stream.pointee.isReady = false
            if !stream.pointee.isReset { return stream.pointee.handle }
        }
        return nil
    }

    private func session(of stream: StreamPointer) -> PeerSession? {
        self.session(stream.pointee.owner)
    }

    /// Makes contiguous room for bytes of the local side, valid until the next call into the
    /// engine; ``wrote(_:to:at:)`` says how much of it was used.
    ///
    /// Empty means: stop reading until the stream is reported ready.
    public func beginWrite(to handle: StreamHandle) -> UnsafeMutableRawBufferPointer {
        let none = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        guard let stream = self.board.stream(handle), stream.pointee.lifecycle == .open else {
            return none
        }
        let session = self.session(of: stream)
        let limit =
            session?.streams.makeRoom(stream)
            ?? EngineLimits.initialWindow - stream.pointee.sender.heldByteCount
        let region =
            limit > 0
            ? stream.pointee.beginWrite(
                room: limit,
                allowance: session?.memory.allowance ?? .unbounded,
                self.board
            ) : none
        session?.memory.settle(stream)
        if region.isEmpty { stream.pointee.wantsRoom = true }
        return region
    }

    /// `count` bytes of the local side stand at the front of ``beginWrite(to:)``.
    public func wrote(_ count: Int, to handle: StreamHandle, at now: Instant) {
        guard let stream = self.board.stream(handle) else { return }
        precondition(count >= 0)
        let session = self.session(of: stream)
        stream.pointee.wrote(
            count,
            mayGrow: session?.memory.mayHold(StreamCompression.mostByteCount) ?? true,
            self.board
        )
        self.board.watchStall(stream, at: now)
        guard let session else { return }
        // Compressed bytes go straight into the sender's memory.
        if stream.pointee.compression != nil { session.memory.settle(stream) }
        session.streams.scheduleData(stream)
        self.touch(session)
    }

    /// The local side has ended; what it wrote still goes out.
    public func finish(_ handle: StreamHandle, at now: Instant) {
        guard let stream = self.board.stream(handle), stream.pointee.lifecycle == .open else {
            return
        }
        guard let session = self.session(of: stream) else {
            // CLOSE follows once there is a session.
            _ = stream.pointee.on(.finished)
            return
        }
        session.streams.finish(stream)
        self.touch(session)
    }

    /// Finds contiguous bytes for the local side; empty when there are none now.
    ///
    /// ``consumed(_:from:at:)`` says how many were taken. Bytes of a compressed stream are unpacked
    /// here, and where they cannot be, the stream ends, as events tell.
    public func beginRead(from handle: StreamHandle) -> UnsafeRawBufferPointer {
        guard let stream = self.board.stream(handle) else {
            return UnsafeRawBufferPointer(start: nil, count: 0)
        }
        let region = stream.pointee.beginRead()
        if stream.pointee.compression != nil { self.session(of: stream)?.memory.settle(stream) }
        if let fault = stream.pointee.compression?.fault {
            self.session(of: stream)?.streams.failCompression(of: stream, fault)
            return UnsafeRawBufferPointer(start: nil, count: 0)
        }
        // The last compressed bytes may hold none of the stream's: then nobody will consume any.
        if region.isEmpty, stream.pointee.compression != nil, stream.pointee.isReceiveFinished,
            let session = self.session(of: stream)
        {
            session.streams.endedWithoutBytes(stream)
            self.touch(session)
        }
        return region
    }

    /// The local side took `count` bytes of ``beginRead(from:)``.
    public func consumed(_ count: Int, from handle: StreamHandle, at now: Instant) {
        guard let stream = self.board.stream(handle) else { return }
        precondition(count >= 0)
        stream.pointee.consumed(count)
        guard let session = self.session(of: stream) else { return }
        session.streams.updateCredit(stream, at: now)
        session.streams.look(at: stream)
        self.touch(session)
    }

    /// The peer has ended and the local side has everything: time to shut its socket's write side.
    public func isReceiveFinished(_ handle: StreamHandle) -> Bool {
        guard let stream = self.board.stream(handle) else { return false }
        return stream.pointee.isReceiveFinished
    }

    /// Ends a stream at once; the handle is dead and no event follows.
    public func reset(_ handle: StreamHandle, reason: ResetReason, at now: Instant) {
        guard let stream = self.board.stream(handle) else { return }
        if reason == .stalled { self.board.drop(.stalled) }
        guard let session = self.session(of: stream) else {
            self.board.streams.release(handle.slot)
            return
        }
        session.streams.reset(stream, reason: reason)
        self.touch(session)
    }
}
