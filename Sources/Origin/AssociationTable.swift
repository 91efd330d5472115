import Primitives

/// Which player stands behind a proxy's address, for proxies that say so once per flow.
///
/// A chained hash table with the entries in order of use, so that the stale ones lie at one end.
/// Grows up to its capacity and then refuses: to evict would let a flood of new flows cut off the
/// players that are there.
struct AssociationTable {
    enum Mode: UInt8 {
        /// `any`: one header with payload was seen, the next datagram decides.
        case undecided
        case everyDatagram
        case announced
        /// Two players were named: neither is believed until the flow has been silent for long.
        case disputed
    }

    struct Entry {
        var proxy: SocketAddress
        var header: ProxyHeader?
        var mode: Mode
        var lastUse: Instant
        var chain: Int32 = -1
        var older: Int32 = -1
        var newer: Int32 = -1
    }

    private let capacity: Int
    private let lifetime: Instant.Interval
    private let key: HashKey
    private var entries: [Entry] = []
    private var free: [Int32] = []
    private var heads: [Int32]
    private var oldest: Int32 = -1
    private var newest: Int32 = -1

    init(capacity: Int, lifetime: Instant.Interval, key: HashKey) {
        precondition(capacity > 0 && capacity < Int(Int32.max))
        self.capacity = capacity
        self.lifetime = lifetime
        self.key = key
        self.heads = Array(repeating: -1, count: 16)
    }

    var count: Int { self.entries.count - self.free.count }

    subscript(slot: Int32) -> Entry {
        get { self.entries[Int(slot)] }
        set { self.entries[Int(slot)] = newValue }
    }

    /// The slot of a live entry; one that outlived its use is removed and not found.
    mutating func find(_ proxy: SocketAddress, at now: Instant) -> Int32? {
        var slot = self.heads[self.bucket(proxy)]
        while slot >= 0, self.entries[Int(slot)].proxy != proxy {
            slot = self.entries[Int(slot)].chain
        }
        guard slot >= 0 else { return nil }
        guard self.isLive(slot, at: now) else {
            self.remove(slot)
            return nil
        }
        return slot
    }

    /// Marks an entry as used, which keeps it for another lifetime.
    mutating func touch(_ slot: Int32, at now: Instant) {
        self.entries[Int(slot)].lastUse = max(now, self.entries[Int(slot)].lastUse)
        guard slot != self.newest else { return }
        self.unlink(slot)
        self.linkNewest(slot)
    }

    /// False when the table is full of live entries.
    ///
    /// The proxy must not be in the table.
    mutating func insert(
        _ proxy: SocketAddress,
        _ header: ProxyHeader?,
        _ mode: Mode,
        at now: Instant
    ) -> Bool {
        if self.count == self.capacity {
            guard !self.isLive(self.oldest, at: now) else { return false }
            self.remove(self.oldest)
        }
        let entry = Entry(proxy: proxy, header: header, mode: mode, lastUse: now)
        let slot: Int32
        if let reused = self.free.popLast() {
            slot = reused
            self.entries[Int(slot)] = entry
        } else {
            slot = Int32(self.entries.count)
            self.entries.append(entry)
            if self.entries.count > self.heads.count { self.rehash() }
        }
        self.linkChain(slot)
        self.linkNewest(slot)
        return true
    }

    private func isLive(_ slot: Int32, at now: Instant) -> Bool {
        now.since(self.entries[Int(slot)].lastUse) < self.lifetime
    }

    private func bucket(_ proxy: SocketAddress) -> Int {
        Int(truncatingIfNeeded: SipHash.hash(proxy, self.key)) & (self.heads.count - 1)
    }

    private mutating func linkChain(_ slot: Int32) {
        let bucket = self.bucket(self.entries[Int(slot)].proxy)
        self.entries[Int(slot)].chain = self.heads[bucket]
        self.heads[bucket] = slot
    }

    private mutating func rehash() {
        // Called with no free slots: every entry but the last is linked, and that one follows.
        self.heads = Array(repeating: -1, count: self.heads.count * 2)
        for slot in self.entries.indices.dropLast() { self.linkChain(Int32(slot)) }
    }

    private mutating func remove(_ slot: Int32) {
        let bucket = self.bucket(self.entries[Int(slot)].proxy)
        let after = self.entries[Int(slot)].chain
        if self.heads[bucket] == slot {
            self.heads[bucket] = after
        } else {
            var place = self.heads[bucket]
            while self.entries[Int(place)].chain != slot {
                place = self.entries[Int(place)].chain
            }
            self.entries[Int(place)].chain = after
        }
        self.unlink(slot)
        self.free.append(slot)
    }

    private mutating func unlink(_ slot: Int32) {
        let entry = self.entries[Int(slot)]
        if entry.older >= 0 {
            self.entries[Int(entry.older)].newer = entry.newer
        } else {
            self.oldest = entry.newer
        }
        if entry.newer >= 0 {
            self.entries[Int(entry.newer)].older = entry.older
        } else {
            self.newest = entry.older
        }
    }

    private mutating func linkNewest(_ slot: Int32) {
        self.entries[Int(slot)].older = self.newest
        self.entries[Int(slot)].newer = -1
        if self.newest >= 0 {
            self.entries[Int(self.newest)].newer = slot
        } else {
            self.oldest = slot
        }
        self.newest = slot
    }
}
