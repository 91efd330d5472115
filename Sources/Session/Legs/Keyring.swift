import Primitives
import Sealing

/// One handshake's keys; the session outlives them.
final class Keypair {
    let keys: TransportKeys
    let localIndex: UInt32
    let remoteIndex: UInt32
    let establishedAt: Instant
    /// Whether they are a handshake's strengthened ones.
    let isPostQuantum: Bool

    init(_ established: EstablishedKeys, at now: Instant) {
        self.keys = established.keys
        self.localIndex = established.localIndex
        self.remoteIndex = established.remoteIndex
        self.establishedAt = now
        self.isPostQuantum = false
    }

    init(strengthened keys: TransportKeys, local: UInt32, remote: UInt32, at now: Instant) {
        self.keys = keys
        self.localIndex = local
        self.remoteIndex = remote
        self.establishedAt = now
        self.isPostQuantum = true
    }

    func isTooOld(at now: Instant) -> Bool {
        now.since(self.establishedAt) >= KeyLifetime.rejectAfter
    }
}

/// The keys of a leg: one to seal with, those that are still opened, and the exchange that makes
/// the newest of them stronger.
///
/// Which receiver indices lead here is the engine's to know: what lets go of keys returns theirs.
struct Keyring {
    /// Sealing uses this one.
    private(set) var current: Keypair
    /// Still opened: what was current before, and on a server what will be once the client uses it.
    private(set) var previous: Keypair?
    private(set) var next: Keypair?
    /// The exchange that makes the newest handshake's keys stronger, while it is under way.
    private(set) var ratchet: Ratchet?
    /// How many of those of this end have come to nothing in a row.
    private(set) var failedRatchets = 0
    /// Nothing of an application passes before such keys are in use: an end insists on them.
    private(set) var isHeldBack: Bool
    /// Such keys have been in use.
    private var wasPostQuantum = false
    private let isClient: Bool
    private let memory: MemoryCharge

    init(
        _ established: EstablishedKeys,
        isClient: Bool,
        charging memory: MemoryCharge,
        at now: Instant
    ) {
        self.current = Keypair(established, at: now)
        self.isHeldBack = established.requiresRatchet
        self.isClient = isClient
        self.memory = memory
    }

    /// What holds between any two calls; looked at where asserts are.
    private func check() {
        let indices = self.indices
        assert(Set(indices).count == indices.count, "two keys under one index")
        assert(!self.isClient || self.next == nil, "a client does not wait for its own keys")
        assert(self.failedRatchets >= 0)
        assert(self.ratchet.map { !indices.contains($0.localIndex) || !self.isClient } ?? true)
    }

    /// The receiver indices of all keys here.
    var indices: [UInt32] {
        [self.current, self.previous, self.next].compactMap { $0?.localIndex }
    }

    /// The keys that `index` names on this side; `nil` too when they are too old to be used.
    func pair(_ index: UInt32, at now: Instant) -> Keypair? {
        let named: Keypair?
        if self.current.localIndex == index {
            named = self.current
        } else if let next = self.next, next.localIndex == index {
            named = next
        } else if let previous = self.previous, previous.localIndex == index {
            named = previous
        } else {
            named = nil
        }
        guard let named, !named.isTooOld(at: now) else { return nil }
        return named
    }

    /// When the keys beside the current ones are too old.
    var spareDeadline: Instant {
        var earliest = Instant.never
        if let previous = self.previous {
            earliest = previous.establishedAt + KeyLifetime.rejectAfter
        }
        if let next = self.next {
            earliest = min(earliest, next.establishedAt + KeyLifetime.rejectAfter)
        }
        if let ratchet = self.ratchet {
            earliest = min(earliest, ratchet.startedAt + KeyLifetime.rejectAfter)
        }
        return earliest
    }

    /// Lets go of keys beside the current ones that are too old, which wipes them.
    mutating func dropOld(at now: Instant) -> [UInt32] {
        var dropped: [UInt32] = []
        if let previous = self.previous, previous.isTooOld(at: now) {
            dropped.append(previous.localIndex)
            self.previous = nil
        }
        if let next = self.next, next.isTooOld(at: now) {
            dropped.append(next.localIndex)
            self.next = nil
        }
        if let ratchet = self.ratchet,
            now.since(ratchet.startedAt) >= KeyLifetime.rejectAfter,
            let index = self.endRatchet()
        {
            dropped.append(index)
        }
        return dropped
    }

    /// Starts to seal with `keypair`; returns the index that is no longer in use, if any.
    mutating func promote(_ keypair: Keypair) -> UInt32? {
        precondition(keypair !== self.current, "these keys are in use")
        let retired = self.previous?.localIndex
        self.previous = self.current
        self.current = keypair
        if self.next === keypair { self.next = nil }
        self.check()
        return retired
    }

    /// Server: keeps `keypair` until the client uses it; returns the index of what it replaces.
    mutating func expect(_ keypair: Keypair) -> UInt32? {
        precondition(!self.isClient, "only a server waits for the other end to begin")
        let replaced = self.next?.localIndex
        self.next = keypair
        self.check()
        return replaced
    }

    /// Does not wait any more for the client to use keys that are not post-quantum.
    mutating func dropClassicalNext() -> UInt32? {
        guard let next = self.next, !next.isPostQuantum else { return nil }
        self.next = nil
        return next.localIndex
    }

    // MARK: - The exchange that makes keys stronger

    /// Begins one, and gives up the one before; returns the index that is no longer in use, if any.
    mutating func begin(_ ratchet: Ratchet) -> UInt32? {
        let retired = self.endRatchet()
        self.ratchet = ratchet
        self.memory.hold(ratchet.memoryByteCount)
        return retired
    }

    /// Lets go of the exchange, done or not; returns the index under which no keys came to be.
    mutating func endRatchet() -> UInt32? {
        guard let ratchet = self.ratchet else { return nil }
        self.memory.hold(-ratchet.memoryByteCount)
        self.ratchet = nil
        return self.isClient ? ratchet.localIndex : nil
    }

    /// An exchange of this end's has come to nothing, or to keys.
    mutating func ratchetEnded(hasFailed: Bool) {
        self.failedRatchets = hasFailed ? self.failedRatchets + 1 : 0
    }

    /// The keys in use are post-quantum.
    ///
    /// - Returns: whether something waited for that, and whether it is the first time.
    mutating func strengthened() -> (wasHeldBack: Bool, isFirst: Bool) {
        precondition(self.current.isPostQuantum)
        defer {
            self.isHeldBack = false
            self.wasPostQuantum = true
        }
        return (self.isHeldBack, !self.wasPostQuantum)
    }

    /// Whether parts of this end's message are still to be sent, or sent again.
    var hasDueParts: Bool { self.ratchet?.outgoing.map { $0.parts != 0 } ?? false }

    /// Writes what is due and has room.
    mutating func write(into packet: inout PacketBuilder) {
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

    /// A packet with a part is lost.
    mutating func lost(_ frame: FrameRecord) {
        guard let ratchet = self.ratchet, ratchet.handshake == frame.id else { return }
        ratchet.outgoing?.repeatPart(UInt8(clamping: frame.value))
    }

    /// A part of the peer's message; the engine acts on one that is complete.
    mutating func receive(
        _ type: UInt8,
        _ body: UnsafeRawBufferPointer,
        _ board: Switchboard
    ) -> Receipt {
        guard self.isClient == (type == FrameType.ratchetAnswer) else {
            board.drop(.protocolViolation)
            return .taken
        }
        var reader = ByteReader(body)
        guard let frame = RatchetFrame(parsing: &reader) else {
            board.drop(.malformed)
            return .taken
        }
        guard let ratchet = self.ratchet, ratchet.handshake == frame.handshake, !ratchet.isSpent
        else {
            board.drop(.ratchet)
            return .taken
        }
        if ratchet.incoming == nil {
            guard self.memory.mayHold(Ratchet.byteCount) else {
                board.drop(.sessionMemory)
                return .noMemory
            }
            ratchet.incoming = Ratchet.Message(receivingByteCount: Ratchet.offerByteCount)
            self.memory.hold(ratchet.memoryByteCount)
        }
        if ratchet.incoming?.receive(frame.part, reader.rest) != true { board.drop(.ratchet) }
        return .taken
    }
}
