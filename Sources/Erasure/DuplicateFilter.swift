/// Tells the first arrival of a flow's datagram from every later one.
///
/// Originals, copies, recovered messages and what the network doubled all pass here once. Remembers
/// the newest 1024 numbers; what is older counts as seen, because by then nobody can say.
public struct DuplicateFilter: ~Copyable {
    /// Numbers remembered.
    public static let window = 1024

    private let words: UnsafeMutablePointer<UInt64>
    private var newest: UInt32 = 0
    private var isStarted = false

    private static let wordCount = Self.window / 64

    /// A filter that has seen nothing; 128 bytes on the heap.
    public init() {
        self.words = .allocate(capacity: Self.wordCount)
        self.words.initialize(repeating: 0, count: Self.wordCount)
    }

    deinit { self.words.deallocate() }

    /// Marks the number as seen; true if it was not.
    ///
    /// Numbers wrap, and are compared the way RFC 1982 prescribes. The first one may be any.
    public mutating func admit(_ number: UInt32) -> Bool {
        let ahead = self.isStarted ? Int(Int32(bitPattern: number &- self.newest)) : Self.window
        self.isStarted = true
        if ahead > 0 { self.advance(to: number, by: ahead) }
        assert(Int32(bitPattern: number &- self.newest) <= 0, "ahead of the newest")
        guard ahead > -Self.window else { return false }
        let word = self.words + Int(number / 64) % Self.wordCount
        let bit: UInt64 = 1 << UInt64(number % 64)
        guard word.pointee & bit == 0 else { return false }
        word.pointee |= bit
        return true
    }

    /// Clears the bits of the numbers that enter the window.
    private mutating func advance(to number: UInt32, by ahead: Int) {
        precondition(ahead > 0)
        if ahead >= Self.window {
            self.words.update(repeating: 0, count: Self.wordCount)
        } else {
            for step in 1...UInt32(clamping: ahead) {
                let entering = self.newest &+ step
                self.words[Int(entering / 64) % Self.wordCount] &= ~(1 << UInt64(entering % 64))
            }
        }
        self.newest = number
    }
}
