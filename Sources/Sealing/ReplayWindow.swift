/// Which packet numbers have been seen, over the last 8128 (RFC 6479: a ring of bit blocks, so that
/// moving forward clears whole words instead of shifting).
public struct ReplayWindow: ~Copyable {
    static let wordCount: UInt64 = 128
    /// How far behind the highest number a late packet may be: one word less than the ring, because
    /// the word being entered is cleared as a whole.
    public static let reach: UInt64 = (wordCount - 1) * 64

    private let words: UnsafeMutablePointer<UInt64>
    private var highest: UInt64 = 0

    /// A window that has seen nothing; 1 KiB on the heap.
    public init() {
        self.words = .allocate(capacity: Int(Self.wordCount))
        self.words.initialize(repeating: 0, count: Int(Self.wordCount))
    }

    deinit { self.words.deallocate() }

    /// Whether `counter` is new.
    ///
    /// Changes nothing: ask before the packet is authenticated.
    public func isFresh(_ counter: UInt64) -> Bool {
        if counter > self.highest { return true }
        guard self.highest - counter < Self.reach else { return false }
        let word = self.words[Int(counter / 64 % Self.wordCount)]
        return word & (1 << (counter % 64)) == 0
    }

    /// Remembers `counter`.
    ///
    /// Only after the packet proved authentic, and ``isFresh(_:)``.
    public mutating func accept(_ counter: UInt64) {
        if counter > self.highest {
            let from = self.highest / 64
            let steps = min(counter / 64 - from, Self.wordCount)
            var step: UInt64 = 0
            while step < steps {
                step += 1
                self.words[Int((from + step) % Self.wordCount)] = 0
            }
            self.highest = counter
        }
        guard self.highest - counter < Self.reach else { return }
        self.words[Int(counter / 64 % Self.wordCount)] |= 1 << (counter % 64)
    }
}
