import LinuxIO
import Primitives
import Session

/// A worker's side of the tunnel: its UDP sockets, and what waits to be sent through them.
final class TunnelPort {
    let sockets: [UDPSocket]
    private let batches: [SendBatch]
    private var paths: ReturnPaths?
    /// Sockets that are full, as a bit set.
    private var blocked: UInt64 = 0

    /// At most 64 sockets, at least one.
    init(sockets: [UDPSocket], seed: UInt64) {
        precondition((1...64).contains(sockets.count))
        self.sockets = sockets
        self.batches = sockets.map { _ in SendBatch() }
        let needsPaths = sockets.count > 1 || sockets.contains { $0.reportsDestination }
        self.paths = needsPaths ? ReturnPaths(seed: seed) : nil
    }

    var isBlocked: Bool { self.blocked != 0 }

    func isBlocked(_ socket: Int) -> Bool { self.blocked >> UInt64(socket) & 1 == 1 }

    /// A packet came; where answers to it must leave from is remembered.
    @inline(__always)
    func note(_ source: SocketAddress, to destination: SocketAddress, socket: Int) {
        self.paths?.note(source, to: destination, socket: socket)
    }

    /// Sends what the engine has, until it has no more, a socket is full or `rounds` buffers have
    /// gone; says whether the engine may have more.
    func transmit(from engine: Engine, rounds: Int, at now: Instant) -> Bool {
        for _ in 0..<rounds {
            guard !self.isBlocked else { return false }
            let isExhausted = self.fill(from: engine, at: now)
            for index in self.sockets.indices { self.flush(index) }
            if isExhausted { return false }
        }
        return !self.isBlocked
    }

    /// A full socket has room again.
    func resume(_ socket: Int) {
        self.blocked &= ~(1 << UInt64(socket))
        self.flush(socket)
    }

    /// Fills the first batch; true when the engine has no more.
    private func fill(from engine: Engine, at now: Instant) -> Bool {
        let batch = self.batches[0]
        while let buffer = batch.freeBuffer {
            guard let transmit = engine.nextTransmit(into: buffer, at: now) else { return true }
            self.route(transmit, buffer)
        }
        return false
    }

    @inline(__always)
    private func route(_ transmit: Transmit, _ buffer: UnsafeMutableRawBufferPointer) {
        guard self.paths != nil else {
            return self.batches[0].commit(
                byteCount: transmit.byteCount,
                segmentSize: transmit.segmentSize,
                to: transmit.destination,
                from: nil
            )
        }
        let path = self.paths?.path(to: transmit.destination)
        let index = path?.socket ?? self.socketIndex(for: transmit.destination)
        let source = path.flatMap { $0.local.isWildcard ? nil : $0.local }
        if index != 0 {
            // The buffer belongs to the first batch; the rare second socket takes a copy.
            guard let other = self.batches[index].freeBuffer else { return self.flush(index) }
            other.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[..<transmit.byteCount]))
        }
        self.batches[index].commit(
            byteCount: transmit.byteCount,
            segmentSize: transmit.segmentSize,
            to: transmit.destination,
            from: source
        )
    }

    /// Without a memory of the peer: the first socket of its family.
    private func socketIndex(for peer: SocketAddress) -> Int {
        self.sockets.firstIndex { $0.family == peer.family } ?? 0
    }

    private func flush(_ index: Int) {
        guard !self.batches[index].isEmpty else { return }
        if self.sockets[index].send(self.batches[index]) == .blocked {
            self.blocked |= 1 << UInt64(index)
        }
    }
}
