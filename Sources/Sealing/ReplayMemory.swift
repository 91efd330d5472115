import Primitives

/// The initiations accepted lately and what was answered, so that a copy costs one lookup and no
/// Diffie-Hellman, and makes nothing new.
///
/// A ring of fixed size: the oldest makes room. Memory is touched only as far as it is used.
struct ReplayMemory: ~Copyable {
    enum Finding {
        case unseen
        case resend(UnsafeRawBufferPointer)
        case spent
    }

    private struct Entry {
        var hash: UInt64 = 0
        var client: PublicKey?
        /// Of the keys the answer leads to.
        var localIndex: UInt32 = 0
        /// Where the initiation came from.
        var source = SocketAddress(high: 0, low: 0, port: 0)
        var acceptedAt = Instant(nanoseconds: 0)
        var byteCount = 0
        var resends = 0
    }

    private static let capacity = 4096
    private static let maximumResends = 3
    private static let slotByteCount = Layout.responseByteCount + Layout.maximumPadding

    private let entries: UnsafeMutablePointer<Entry>
    private let responses: UnsafeMutableRawPointer
    private var slots: [UInt64: Int] = [:]
    private var next = 0
    private let hashKey: (UInt64, UInt64)

    init(entropy: EntropySource) {
        Sodium.start()
        self.entries = .allocate(capacity: Self.capacity)
        self.responses = .allocate(
            byteCount: Self.capacity * Self.slotByteCount,
            alignment: 16
        )
        self.hashKey = (entropy.next(), entropy.next())
    }

    deinit {
        self.entries.deallocate()
        self.responses.deallocate()
    }

    /// `ephemeral` points to the 32 bytes that make an initiation unique.
    func hash(of ephemeral: UnsafeRawPointer) -> UInt64 {
        let low = ephemeral.loadUnaligned(as: (UInt64, UInt64).self)
        let high = ephemeral.loadUnaligned(fromByteOffset: 16, as: (UInt64, UInt64).self)
        let first = SipHash.hash(low, key: self.hashKey)
        return SipHash.hash((high.0 ^ first, high.1), key: self.hashKey)
    }

    /// Looks up a copy and, if it may be answered once more, counts that.
    ///
    /// Only where the first came from: the first packet under the keys of an answer proves that its
    /// address has received the answer, so the answer must go nowhere else.
    mutating func find(_ hash: UInt64, from source: SocketAddress, at now: Instant) -> Finding {
        guard let slot = self.slots[hash] else { return .unseen }
        let age = now.since(self.entries[slot].acceptedAt)
        guard age < KeyLifetime.replayMemory else { return .unseen }
        // Later than that the keys in the answer may be gone, and nobody should be led to them.
        guard age < KeyLifetime.pendingLifetime,
            self.entries[slot].source == source,
            self.entries[slot].resends < Self.maximumResends
        else { return .spent }
        self.entries[slot].resends += 1
        return .resend(
            UnsafeRawBufferPointer(
                start: self.responses + slot * Self.slotByteCount,
                count: self.entries[slot].byteCount
            )
        )
    }

    mutating func remember(
        _ hash: UInt64,
        client: PublicKey,
        localIndex: UInt32,
        source: SocketAddress,
        response: UnsafeRawBufferPointer,
        at now: Instant
    ) {
        precondition(response.count <= Self.slotByteCount)
        let slot = self.next % Self.capacity
        if self.next >= Self.capacity, self.slots[self.entries[slot].hash] == slot {
            self.slots[self.entries[slot].hash] = nil
        }
        self.next += 1
        var entry = Entry()
        entry.hash = hash
        entry.client = client
        entry.localIndex = localIndex
        entry.source = source
        entry.acceptedAt = now
        entry.byteCount = response.count
        self.entries[slot] = entry
        UnsafeMutableRawBufferPointer(
            start: self.responses + slot * Self.slotByteCount,
            count: response.count
        ).copyMemory(from: response)
        self.slots[hash] = slot
    }

    /// Lets go of everything about `client`: a copy is a new initiation then, whose clock is stale.
    mutating func forget(_ client: PublicKey) {
        for slot in 0..<min(self.next, Self.capacity) where self.entries[slot].client == client {
            if self.slots[self.entries[slot].hash] == slot {
                self.slots[self.entries[slot].hash] = nil
            }
            self.entries[slot].client = nil
        }
    }

    /// The keys behind `localIndex` are in use: whoever repeats their initiation now has no need of
    /// the answer.
    mutating func confirmed(_ localIndex: UInt32) {
        for slot in 0..<min(self.next, Self.capacity)
        where self.entries[slot].localIndex == localIndex {
            self.entries[slot].resends = Self.maximumResends
        }
    }
}
