import Glibc
import LinuxIO
import Primitives
import Session

/// One TCP connection beside the engine's stream.
struct StreamEntry: BitwiseCopyable {
    var generation: UInt32 = 0
    /// −1: vacant.
    var descriptor: Int32 = -1
    var service: Int32 = 0
    /// The backend's index within the service; −1 on a client.
    var backend: Int32 = -1
    /// The listener that accepted the connection; −1 on a server.
    var listener: Int32 = -1
    /// The client that leads the player here; −1 on a client.
    var peer: Int32 = -1
    /// What the poller watches for; meaningless while not ``isWatched``.
    var interest: UInt32 = 0
    var isWatched = false
    /// Its bytes may not wait for ever; the kernel sees to those in the socket.
    var hasStallLimit = false
    /// The local peer has sent all it will.
    var isReadFinished = false
    /// The local peer has been told that no more comes.
    var isWriteFinished = false
}

/// Moves bytes between TCP sockets and the engine's streams, straight from one's memory to the
/// other's.
///
/// Back-pressure both ways: a stream without room stops the reading of its socket, a full socket
/// stops the consuming of its stream. Nothing here allocates per byte or per packet.
final class StreamRelay {
    /// Bytes of a player's that travel with the header before them.
    private static let firstSegmentSize = 1_024

    private let engine: Engine
    private let poller: Poller
    private let tallies: Tallies
    /// Which way bytes read from local sockets go: up on a client, down on a server.
    private let readsUp: Bool
    private let table = SlotTable(vacant: StreamEntry())
    private(set) var count = 0
    /// Told the service and backend of every socket that is let go; servers only.
    var freedPlace: ((Int32, Int32) -> Void)?
    /// Told the service of every stream that the local peer's silence has ended.
    var stalled: ((Int32) -> Void)?

    init(engine: Engine, poller: Poller, tallies: Tallies, readsUp: Bool) {
        self.engine = engine
        self.poller = poller
        self.tallies = tallies
        self.readsUp = readsUp
    }

    // MARK: Coming and going

    /// Takes over an open socket; closes it and says false if it cannot be watched.
    func attach(
        _ handle: StreamHandle,
        socket: TCPSocket,
        maximumStall: Instant.Interval? = nil,
        service: Int32,
        backend: Int32 = -1,
        listener: Int32 = -1,
        peer: Int32 = -1
    ) -> Bool {
        if let maximumStall { socket.limitStall(to: maximumStall) }
        let entry = self.table.entry(Int(handle.slot))
        assert(entry.pointee.descriptor == -1, "the end of the slot's last stream went unheard")
        do {
            try self.poller.add(
                socket.descriptor,
                token: Self.token(handle),
                interest: .readable
            )
        } catch {
            socket.abort()
            return false
        }
        entry.pointee = StreamEntry(
            generation: handle.generation,
            descriptor: socket.descriptor,
            service: service,
            backend: backend,
            listener: listener,
            peer: peer,
            interest: Readiness.readable.rawValue,
            isWatched: true,
            hasStallLimit: maximumStall != nil
        )
        self.count += 1
        self.tallies.changeStreams(by: 1, service: service, backend: backend)
        return true
    }

    /// The socket of `handle` is a backend's: send `header`, then start moving bytes.
    func connected(
        _ handle: StreamHandle,
        header: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        at now: Instant
    ) {
        guard let entry = self.entry(handle) else { return }
        if !header.isEmpty, !self.write(header, to: entry, handle, at: now) {
            return self.fail(handle, 0, at: now)
        }
        self.serve(handle, at: now)
    }

    /// Writes `header` and, in the same segment, what the player has sent so far; false if the
    /// connection is over already.
    ///
    /// A fresh socket's buffer is far larger than a header, so that always goes out whole.
    private func write(
        _ header: UnsafeRawBufferPointer,
        to entry: UnsafeMutablePointer<StreamEntry>,
        _ handle: StreamHandle,
        at now: Instant
    ) -> Bool {
        let region = self.engine.beginRead(from: handle)
        let payload = min(region.count, Self.firstSegmentSize)
        let total = header.count + payload
        return withUnsafeTemporaryAllocation(byteCount: total, alignment: 16) { buffer in
            buffer.copyMemory(from: header)
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[header.count...])
            rest.copyMemory(from: UnsafeRawBufferPointer(rebasing: region[..<payload]))
            let socket = TCPSocket(adopting: entry.pointee.descriptor)
            guard case .moved(let count) = socket.write(UnsafeRawBufferPointer(buffer)),
                count >= header.count
            else { return false }
            let moved = count - header.count
            guard moved > 0 else { return true }
            self.engine.consumed(moved, from: handle, at: now)
            self.tallies.moved(up: moved, service: entry.pointee.service)
            return true
        }
    }

    /// Lets go of the socket without touching the stream; `nil` if there was none.
    func detach(_ handle: StreamHandle) -> TCPSocket? {
        guard let entry = self.entry(handle) else { return nil }
        let socket = TCPSocket(adopting: entry.pointee.descriptor)
        self.tallies.changeStreams(
            by: -1,
            service: entry.pointee.service,
            backend: entry.pointee.backend
        )
        self.count -= 1
        let (service, backend) = (entry.pointee.service, entry.pointee.backend)
        self.table.clear(Int(handle.slot))
        if backend >= 0 { self.freedPlace?(service, backend) }
        return socket
    }

    /// Every byte has passed: closes the socket in peace.
    func close(_ handle: StreamHandle) { self.detach(handle)?.close() }

    /// The stream failed: the local peer gets a reset.
    func abort(_ handle: StreamHandle) { self.detach(handle)?.abort() }

    /// Resets, on both sides, every stream that `isCondemned` picks.
    func reset(
        where isCondemned: (StreamEntry) -> Bool,
        reason: ResetReason,
        at now: Instant
    ) {
        for slot in 0..<self.table.capacity {
            let entry = self.table[slot]
            guard entry.descriptor != -1, isCondemned(entry) else { continue }
            let handle = StreamHandle(slot: UInt32(slot), generation: entry.generation)
            self.engine.reset(handle, reason: reason, at: now)
            self.abort(handle)
        }
    }

    /// The live entry of `handle`.
    @inline(__always)
    func entry(_ handle: StreamHandle) -> UnsafeMutablePointer<StreamEntry>? {
        let slot = Int(handle.slot)
        guard slot < self.table.capacity else { return nil }
        let entry = self.table.pointer + slot
        guard entry.pointee.descriptor != -1, entry.pointee.generation == handle.generation else {
            return nil
        }
        return entry
    }

    static func token(_ handle: StreamHandle) -> UInt64 {
        Token(.stream, slot: Int(handle.slot), generation: handle.generation).rawValue
    }

    // MARK: Moving bytes

    /// Gives a stream without a socket what its local peer has sent; false if there is no room.
    func write(
        _ bytes: UnsafeRawBufferPointer,
        to handle: StreamHandle,
        service: Int32,
        at now: Instant
    ) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            let region = self.engine.beginWrite(to: handle)
            guard !region.isEmpty else { return false }
            let count = min(rest.count, region.count)
            region.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<count]))
            self.engine.wrote(count, to: handle, at: now)
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
        if self.readsUp {
            self.tallies.moved(up: bytes.count, service: service)
        } else {
            self.tallies.moved(down: bytes.count, service: service)
        }
        return true
    }

    /// The socket of an established stream is ready; reads at most `budget` bytes.
    func socketReady(
        _ handle: StreamHandle,
        _ readiness: Readiness,
        budget: Int,
        at now: Instant
    ) {
        if readiness.contains(.failed) {
            guard let entry = self.entry(handle) else { return }
            let socket = TCPSocket(adopting: entry.pointee.descriptor)
            let code = socket.takeError()
            if code != 0 { return self.fail(handle, code, at: now) }
        }
        if readiness.contains(.writable) { self.drain(handle, at: now) }
        if readiness.contains(.readable) { self.fill(handle, budget: budget, at: now) }
        if readiness.contains(.hungUp) { self.muffle(handle) }
    }

    /// The engine has something new for this stream: bytes, an end or room.
    func serve(_ handle: StreamHandle, at now: Instant) {
        self.drain(handle, at: now)
        guard let entry = self.entry(handle), !entry.pointee.isReadFinished,
            entry.pointee.interest & Readiness.readable.rawValue == 0,
            !self.engine.beginWrite(to: handle).isEmpty
        else { return }
        self.watch(entry, handle, adding: .readable)
    }

    /// Socket → stream.
    private func fill(_ handle: StreamHandle, budget: Int, at now: Instant) {
        guard let entry = self.entry(handle), !entry.pointee.isReadFinished else { return }
        let socket = TCPSocket(adopting: entry.pointee.descriptor)
        var budget = budget
        while budget > 0 {
            let region = self.engine.beginWrite(to: handle)
            guard !region.isEmpty else {
                // Full: the engine reports the stream ready once there is room again.
                return self.watch(entry, handle, removing: .readable)
            }
            let target = UnsafeMutableRawBufferPointer(
                start: region.baseAddress,
                count: min(region.count, budget)
            )
            switch socket.read(into: target) {
            case .moved(let count):
                self.engine.wrote(count, to: handle, at: now)
                if self.readsUp {
                    self.tallies.moved(up: count, service: entry.pointee.service)
                } else {
                    self.tallies.moved(down: count, service: entry.pointee.service)
                }
                budget -= count
                // A short read has emptied the socket; the poller says when there is more.
                if count < target.count, count < region.count { return }
            case .wouldBlock: return
            case .finished:
                entry.pointee.isReadFinished = true
                self.watch(entry, handle, removing: .readable)
                return self.engine.finish(handle, at: now)
            case .failed(let code): return self.fail(handle, code, at: now)
            }
        }
    }

    /// Stream → socket.
    private func drain(_ handle: StreamHandle, at now: Instant) {
        guard let entry = self.entry(handle) else { return }
        let socket = TCPSocket(adopting: entry.pointee.descriptor)
        while true {
            let region = self.engine.beginRead(from: handle)
            guard !region.isEmpty else { break }
            switch socket.write(region) {
            case .moved(let count):
                self.engine.consumed(count, from: handle, at: now)
                if self.readsUp {
                    self.tallies.moved(down: count, service: entry.pointee.service)
                } else {
                    self.tallies.moved(up: count, service: entry.pointee.service)
                }
            case .wouldBlock, .finished:
                return self.watch(entry, handle, adding: .writable)
            case .failed(let code): return self.fail(handle, code, at: now)
            }
        }
        self.watch(entry, handle, removing: .writable)
        guard !entry.pointee.isWriteFinished, self.engine.isReceiveFinished(handle) else { return }
        entry.pointee.isWriteFinished = true
        socket.finishWriting()
    }

    /// `code`: the socket's error.
    private func fail(_ handle: StreamHandle, _ code: Int32, at now: Instant) {
        guard let entry = self.entry(handle) else { return }
        let isStalled = code == ETIMEDOUT && entry.pointee.hasStallLimit
        if isStalled { self.stalled?(entry.pointee.service) }
        self.engine.reset(handle, reason: isStalled ? .stalled : .aborted, at: now)
        self.abort(handle)
    }

    // MARK: Watching

    /// Takes a hung-up socket out of the poller while nobody can read it: level-triggered, it would
    /// be reported for ever.
    private func muffle(_ handle: StreamHandle) {
        guard let entry = self.entry(handle), entry.pointee.isWatched,
            entry.pointee.interest & Readiness.readable.rawValue == 0
        else { return }
        try? self.poller.remove(entry.pointee.descriptor)
        entry.pointee.isWatched = false
    }

    private func watch(
        _ entry: UnsafeMutablePointer<StreamEntry>,
        _ handle: StreamHandle,
        adding readiness: Readiness
    ) {
        let current = Readiness(rawValue: entry.pointee.interest)
        self.watch(entry, handle, for: current.union(readiness))
    }

    private func watch(
        _ entry: UnsafeMutablePointer<StreamEntry>,
        _ handle: StreamHandle,
        removing readiness: Readiness
    ) {
        let current = Readiness(rawValue: entry.pointee.interest)
        self.watch(entry, handle, for: current.subtracting(readiness))
    }

    private func watch(
        _ entry: UnsafeMutablePointer<StreamEntry>,
        _ handle: StreamHandle,
        for interest: Readiness
    ) {
        guard entry.pointee.interest != interest.rawValue else { return }
        entry.pointee.interest = interest.rawValue
        let token = Self.token(handle)
        let descriptor = entry.pointee.descriptor
        // Changing an interest fails only for lack of kernel memory; the socket then stays as it
        // was watched, and the next change tries again.
        if entry.pointee.isWatched {
            try? self.poller.modify(descriptor, token: token, interest: interest)
        } else if !interest.isEmpty {
            entry.pointee.isWatched = true
            try? self.poller.add(descriptor, token: token, interest: interest)
        }
    }
}
