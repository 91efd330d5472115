/// A map from 32-bit ids to 32-bit slots: open addressing with linear probing, no hashing of
/// anything but integers, no allocation except when it doubles.
public struct IndexTable: ~Copyable {
    struct Entry: BitwiseCopyable {
        var key: UInt32
        var value: UInt32
    }

    /// A value that marks an empty place, and therefore cannot be stored.
    public static let none = UInt32.max

    private var entries: UnsafeMutablePointer<Entry>
    private var mask: Int
    /// How many ids are stored; the table doubles before they fill three quarters of its places.
    public private(set) var count = 0

    /// An empty table of `capacity` places, a power of two, at 8 bytes each.
    public init(capacity: Int = 16) {
        precondition(capacity > 0 && capacity & (capacity - 1) == 0)
        self.entries = Self.empty(capacity)
        self.mask = capacity - 1
    }

    deinit { self.entries.deallocate() }

    private static func empty(_ capacity: Int) -> UnsafeMutablePointer<Entry> {
        let entries = UnsafeMutablePointer<Entry>.allocate(capacity: capacity)
        entries.initialize(repeating: Entry(key: 0, value: Self.none), count: capacity)
        return entries
    }

    private func home(_ key: UInt32) -> Int {
        // Fibonacci hashing (Knuth, TAOCP 3, 6.4): consecutive ids spread over the table.
        Int((UInt64(key) &* 0x9E37_79B9_7F4A_7C15) >> 32) & self.mask
    }

    /// The slot of `key`, or ``none``.
    public subscript(key: UInt32) -> UInt32 {
        var place = self.home(key)
        while self.entries[place].value != Self.none {
            if self.entries[place].key == key { return self.entries[place].value }
            place = (place + 1) & self.mask
        }
        return Self.none
    }

    /// Stores the slot of `key` in place of an earlier one; `value` is anything but ``none``.
    public mutating func insert(_ key: UInt32, _ value: UInt32) {
        precondition(value != Self.none)
        if (self.count + 1) * 4 > (self.mask + 1) * 3 { self.double() }
        var place = self.home(key)
        while self.entries[place].value != Self.none {
            if self.entries[place].key == key {
                self.entries[place].value = value
                return
            }
            place = (place + 1) & self.mask
        }
        self.entries[place] = Entry(key: key, value: value)
        self.count += 1
    }

    /// Removes by shifting later entries back, so that no tombstones pile up.
    public mutating func remove(_ key: UInt32) {
        var place = self.home(key)
        while self.entries[place].value != Self.none, self.entries[place].key != key {
            place = (place + 1) & self.mask
        }
        guard self.entries[place].value != Self.none else { return }
        self.count -= 1
        var hole = place
        var next = (hole + 1) & self.mask
        while self.entries[next].value != Self.none {
            let home = self.home(self.entries[next].key)
            if (next &- home) & self.mask >= (next &- hole) & self.mask {
                self.entries[hole] = self.entries[next]
                hole = next
            }
            next = (next + 1) & self.mask
        }
        self.entries[hole].value = Self.none
    }

    private mutating func double() {
        let old = self.entries
        let oldCapacity = self.mask + 1
        self.entries = Self.empty(oldCapacity * 2)
        self.mask = oldCapacity * 2 - 1
        self.count = 0
        for place in 0..<oldCapacity where old[place].value != Self.none {
            self.insert(old[place].key, old[place].value)
        }
        old.deallocate()
    }
}
