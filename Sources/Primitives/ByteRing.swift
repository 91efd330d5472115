/// A circular byte buffer addressed by absolute stream offsets, growing by doubling up to a limit.
///
/// Offset `o` lives at `o mod capacity`, so that bytes may be placed ahead of a gap and need no
/// moving when the gap closes. Which offsets hold data is the owner's knowledge.
public struct ByteRing: ~Copyable {
    @usableFromInline var base: UnsafeMutableRawPointer
    /// A power of two, or 0 before the first growth.
    public private(set) var capacity: Int

    /// An empty ring, which holds no bytes before its first growth.
    public init() {
        self.base = UnsafeMutableRawPointer.allocate(byteCount: 0, alignment: 1)
        self.capacity = 0
    }

    deinit { self.base.deallocate() }

    @inlinable
    func position(_ offset: UInt64) -> Int {
        Int(truncatingIfNeeded: offset) & (self.capacity - 1)
    }

    /// The capacity of a ring that has grown to hold `minimum` bytes, from an empty one.
    public static func capacity(toHold minimum: Int, beginningAt least: Int = 4096) -> Int {
        var capacity = least
        while capacity < minimum { capacity *= 2 }
        return capacity
    }

    /// Makes the capacity at least `minimum`, keeping the bytes of `live` where their offsets say.
    ///
    /// `least`, a power of two, is what an empty ring begins with.
    public mutating func grow(
        toHold minimum: Int,
        keeping live: Range<UInt64>,
        beginningAt least: Int = 4096
    ) {
        precondition(least > 0 && least & (least - 1) == 0)
        let target = Self.capacity(toHold: minimum, beginningAt: max(self.capacity, least))
        guard target > self.capacity else { return }
        precondition(live.count <= self.capacity)
        let fresh = UnsafeMutableRawPointer.allocate(byteCount: target, alignment: 64)
        var offset = live.lowerBound
        while offset < live.upperBound {
            let from = self.position(offset)
            let into = Int(truncatingIfNeeded: offset) & (target - 1)
            let left = Int(live.upperBound - offset)
            let run = min(self.capacity - from, target - into, left)
            (fresh + into).copyMemory(from: self.base + from, byteCount: run)
            offset += UInt64(run)
        }
        self.base.deallocate()
        self.base = fresh
        self.capacity = target
    }

    /// Gives all memory back; what it held is gone.
    public mutating func release() {
        self.base.deallocate()
        self.base = UnsafeMutableRawPointer.allocate(byteCount: 0, alignment: 1)
        self.capacity = 0
    }

    /// Copies `source` to where offsets `offset...` live; at most `capacity` bytes.
    @inlinable
    public mutating func place(_ source: UnsafeRawBufferPointer, at offset: UInt64) {
        guard let bytes = source.baseAddress else { return }
        precondition(source.count <= self.capacity)
        let start = self.position(offset)
        let head = min(source.count, self.capacity - start)
        (self.base + start).copyMemory(from: bytes, byteCount: head)
        guard head < source.count else { return }
        self.base.copyMemory(from: bytes + head, byteCount: source.count - head)
    }

    /// Copies the bytes at `offset..<offset + count` out.
    @inlinable
    public func copy(from offset: UInt64, count: Int, to target: UnsafeMutableRawPointer) {
        precondition(count >= 0 && count <= self.capacity)
        guard count > 0 else { return }
        let start = self.position(offset)
        let head = min(count, self.capacity - start)
        target.copyMemory(from: self.base + start, byteCount: head)
        guard head < count else { return }
        (target + head).copyMemory(from: self.base, byteCount: count - head)
    }

    /// The longest run of memory that starts at `offset`, at most `count` bytes.
    @inlinable
    public func contiguous(from offset: UInt64, count: Int) -> UnsafeMutableRawBufferPointer {
        precondition(count >= 0)
        guard self.capacity > 0 else { return UnsafeMutableRawBufferPointer(start: nil, count: 0) }
        let start = self.position(offset)
        return UnsafeMutableRawBufferPointer(
            start: self.base + start,
            count: min(count, self.capacity - start)
        )
    }
}
