/// A table beside the engine's own, indexed by the slot of its handles; grows by doubling.
///
/// Elements are plain memory: no reference counting, no bounds beyond the capacity check.
final class SlotTable<Element: BitwiseCopyable> {
    private let vacant: Element
    private(set) var pointer: UnsafeMutablePointer<Element>
    private(set) var capacity: Int

    init(vacant: Element, capacity: Int = 64) {
        self.vacant = vacant
        self.capacity = capacity
        self.pointer = .allocate(capacity: capacity)
        self.pointer.initialize(repeating: vacant, count: capacity)
    }

    deinit { self.pointer.deallocate() }

    /// Where `slot` lives until the next call with a larger slot.
    @inline(__always)
    func entry(_ slot: Int) -> UnsafeMutablePointer<Element> {
        if slot >= self.capacity { self.grow(toHold: slot) }
        return self.pointer + slot
    }

    /// The element at `slot`, vacant beyond what was ever used.
    @inline(__always)
    subscript(slot: Int) -> Element {
        slot < self.capacity ? self.pointer[slot] : self.vacant
    }

    func clear(_ slot: Int) {
        if slot < self.capacity { self.pointer[slot] = self.vacant }
    }

    private func grow(toHold slot: Int) {
        var target = self.capacity
        while target <= slot { target *= 2 }
        let fresh = UnsafeMutablePointer<Element>.allocate(capacity: target)
        fresh.update(from: self.pointer, count: self.capacity)
        (fresh + self.capacity).initialize(repeating: self.vacant, count: target - self.capacity)
        self.pointer.deallocate()
        self.pointer = fresh
        self.capacity = target
    }
}
