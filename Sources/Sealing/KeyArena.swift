import CSodium

/// Where session keys live: slots inside few guarded blocks, because one guarded block per key
/// would lock four kibibytes for sixty-four bytes and take 30 µs.
///
/// Belongs to one initiator or responder and to its thread; the keys keep it alive.
final class KeyArena {
    /// A sending and a receiving AES-GCM state, 512 bytes each, and one nonce scratch each.
    static let slotByteCount = 1088

    private var slabs: [GuardedMemory] = []
    private var freeSlots: [UnsafeMutableRawPointer] = []

    func take() -> UnsafeMutableRawPointer {
        if self.freeSlots.isEmpty { self.grow() }
        return self.freeSlots.removeLast()
    }

    func giveBack(_ slot: UnsafeMutableRawPointer) {
        sodium_memzero(slot, Self.slotByteCount)
        self.freeSlots.append(slot)
    }

    /// Seven slots fill two pages; a busy server then takes 60 at a time.
    private func grow() {
        let count = self.slabs.isEmpty ? 7 : 60
        let slab = GuardedMemory(byteCount: count * Self.slotByteCount)
        self.slabs.append(slab)
        for index in 0..<count { self.freeSlots.append(slab.base + index * Self.slotByteCount) }
    }
}
