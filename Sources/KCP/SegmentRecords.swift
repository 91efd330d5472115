/// What a receiver knows of segments beyond the first missing one, by number.
///
/// Records exist in blocks, and only where something came. So a number far ahead costs one block
/// and a longer list of blocks, not a record for every number before it.
struct SegmentRecords: ~Copyable {
    struct Record: BitwiseCopyable {
        var offset: UInt32 = 0
        var byteCount: UInt16 = 0
        var isPresent = false
        /// The chunks that have come, of a segment that comes in parts.
        var chunks: UInt64 = 0
    }

    private typealias Block = UnsafeMutablePointer<Record>

    private static let shift: UInt64 = 5
    private static let blockLength = 1 << Int(shift)
    private static let blockByteCount = blockLength * MemoryLayout<Record>.stride

    /// What any 33 numbers in a row need at most.
    static let reserve = 2 * blockByteCount + 2 * MemoryLayout<Block?>.stride

    /// Block `n` at place `n mod capacity`; `nil` where nothing came.
    private var blocks: UnsafeMutablePointer<Block?>?
    private var capacity = 0
    /// Blocks in ``blocks``.
    private var count = 0
    /// The block that was let go last, for the next that is needed.
    private var spare: Block?

    deinit { self.free() }

    var isEmpty: Bool { self.count == 0 }

    /// Bytes of memory held.
    var byteCount: Int { self.byteCount(self.capacity, blocks: self.count) }

    private func byteCount(_ capacity: Int, blocks: Int) -> Int {
        let held = max(blocks, self.count + (self.spare == nil ? 0 : 1))
        return capacity * MemoryLayout<Block?>.stride + held * Self.blockByteCount
    }

    /// The bytes it would hold with a record for `index`, none being needed below `lowest`.
    func byteCount(with index: UInt64, from lowest: UInt64) -> Int {
        let capacity = self.capacity(toHold: index, from: lowest)
        // Beyond what the list holds now, another block would be found.
        let isThere = capacity == self.capacity && self.find(index) != nil
        return self.byteCount(capacity, blocks: self.count + (isThere ? 0 : 1))
    }

    private func capacity(toHold index: UInt64, from lowest: UInt64) -> Int {
        // bound: indices lie within a window of segments
        let needed = Int((index >> Self.shift) - (lowest >> Self.shift)) + 1
        var capacity = max(self.capacity, 1)
        while capacity < needed { capacity *= 2 }
        return capacity
    }

    private func place(_ block: UInt64, in capacity: Int) -> Int {
        Int(truncatingIfNeeded: block) & (capacity - 1)
    }

    /// The record of `index`; `nil` where its whole block is missing.
    ///
    /// `index` is no higher than one that was made.
    @inline(__always)
    func find(_ index: UInt64) -> UnsafeMutablePointer<Record>? {
        guard let blocks = self.blocks,
            let block = blocks[self.place(index >> Self.shift, in: self.capacity)]
        else { return nil }
        return block + Int(truncatingIfNeeded: index) & (Self.blockLength - 1)
    }

    /// The record of `index`, made if it is missing; none is needed below `lowest`.
    mutating func make(_ index: UInt64, from lowest: UInt64) -> UnsafeMutablePointer<Record> {
        self.grow(to: self.capacity(toHold: index, from: lowest), from: lowest)
        if let record = self.find(index) { return record }
        let block = self.spare.take() ?? Block.allocate(capacity: Self.blockLength)
        block.initialize(repeating: Record(), count: Self.blockLength)
        self.blocks?[self.place(index >> Self.shift, in: self.capacity)] = block
        self.count += 1
        return block + Int(truncatingIfNeeded: index) & (Self.blockLength - 1)
    }

    private mutating func grow(to capacity: Int, from lowest: UInt64) {
        guard capacity > self.capacity else { return }
        let fresh = UnsafeMutablePointer<Block?>.allocate(capacity: capacity)
        fresh.initialize(repeating: nil, count: capacity)
        if let old = self.blocks {
            let first = lowest >> Self.shift
            for block in first..<first + UInt64(self.capacity) {
                fresh[self.place(block, in: capacity)] = old[self.place(block, in: self.capacity)]
            }
            old.deallocate()
        }
        self.blocks = fresh
        self.capacity = capacity
    }

    /// `index` and all below are needed no more; called for each of them.
    @inline(__always)
    mutating func passed(_ index: UInt64) {
        if index & UInt64(Self.blockLength - 1) == UInt64(Self.blockLength - 1) {
            self.drop(blockOf: index)
        }
    }

    /// Lets go of the block that `index` lies in.
    mutating func drop(blockOf index: UInt64) {
        guard let blocks = self.blocks else { return }
        let place = self.place(index >> Self.shift, in: self.capacity)
        guard let block = blocks[place].take() else { return }
        self.count -= 1
        self.spare?.deallocate()
        self.spare = block
    }

    /// Forgets everything and gives the memory back.
    mutating func release() {
        self.free()
        self.blocks = nil
        self.capacity = 0
        self.count = 0
        self.spare = nil
    }

    private borrowing func free() {
        self.spare?.deallocate()
        guard let blocks = self.blocks else { return }
        for place in 0..<self.capacity { blocks[place]?.deallocate() }
        blocks.deallocate()
    }
}
