/// A ring of plain values addressed by ever-growing index, doubling up to where its owner lets it.
///
/// Element `i` lives at `i mod capacity`; the owner keeps the live range no longer than the
/// capacity by calling ``grow(toHold:keeping:)`` first.
@frozen
public struct IndexedRing<Element: BitwiseCopyable>: ~Copyable {
    @usableFromInline var base: UnsafeMutablePointer<Element>
    @usableFromInline var mask: Int

    /// A ring with uninitialised memory for `capacity` elements, a power of two.
    @inlinable
    public init(capacity: Int) {
        precondition(capacity > 0 && capacity & (capacity - 1) == 0)
        self.base = .allocate(capacity: capacity)
        self.mask = capacity - 1
    }

    @inlinable
    deinit { self.base.deallocate() }

    /// How many elements are held at most; index `i + capacity` overwrites index `i`.
    @inlinable
    public var capacity: Int { self.mask + 1 }

    /// The value at `index`; undefined before it was written.
    @inlinable
    public subscript(index: UInt64) -> Element {
        get { self.base[Int(truncatingIfNeeded: index) & self.mask] }
        set { self.base[Int(truncatingIfNeeded: index) & self.mask] = newValue }
    }

    /// Where `index` lives, for changes in place.
    @inlinable
    public func pointer(_ index: UInt64) -> UnsafeMutablePointer<Element> {
        self.base + (Int(truncatingIfNeeded: index) & self.mask)
    }

    /// The capacity it would have once it had grown to hold `minimum` elements.
    @inlinable
    public func capacity(toHold minimum: Int) -> Int {
        var capacity = self.capacity
        while capacity < minimum { capacity *= 2 }
        return capacity
    }

    /// Makes room for `minimum` live elements, keeping those of `live`.
    @inlinable
    public mutating func grow(toHold minimum: Int, keeping live: Range<UInt64>) {
        guard minimum > self.capacity else { return }
        // More than fits would have overwritten itself already, and would do so again here.
        precondition(live.count <= self.capacity)
        let target = self.capacity(toHold: minimum)
        let fresh = UnsafeMutablePointer<Element>.allocate(capacity: target)
        for index in live {
            fresh[Int(truncatingIfNeeded: index) & (target - 1)] = self[index]
        }
        self.base.deallocate()
        self.base = fresh
        self.mask = target - 1
    }
}
