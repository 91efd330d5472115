/// A first-in, first-out queue of plain values that doubles when full, and becomes small again when
/// it has been emptied of many.
struct Ring<Element: BitwiseCopyable>: ~Copyable {
    private var storage: UnsafeMutablePointer<Element>
    private var mask: Int
    private var head = 0
    private(set) var count = 0

    /// `capacity` is a power of two.
    init(capacity: Int) {
        precondition(capacity > 0 && capacity & (capacity - 1) == 0)
        self.storage = .allocate(capacity: capacity)
        self.mask = capacity - 1
    }

    deinit { self.storage.deallocate() }

    var isEmpty: Bool { self.count == 0 }
    var memoryByteCount: Int { (self.mask + 1) * MemoryLayout<Element>.stride }

    /// What an empty queue keeps, in elements.
    private static var keptCapacity: Int { 1024 }

    mutating func append(_ element: Element) {
        if self.count > self.mask { self.grow() }
        let place = (self.head &+ self.count) & self.mask  // bound: masked
        assert(self.count <= self.mask && place <= self.mask)
        (self.storage + place).initialize(to: element)
        self.count &+= 1  // bound: <= capacity
    }

    mutating func popFirst() -> Element? {
        guard self.count > 0 else {
            if self.mask >= Self.keptCapacity { self.shrink() }
            return nil
        }
        let element = self.storage[self.head]
        self.head = (self.head &+ 1) & self.mask  // bound: masked
        self.count &-= 1  // bound: checked above
        return element
    }

    private mutating func shrink() {
        precondition(self.count == 0, "what is in it would be lost")
        self.storage.deallocate()
        self.storage = .allocate(capacity: Self.keptCapacity)
        self.mask = Self.keptCapacity - 1
        self.head = 0
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<Element>.allocate(capacity: (self.mask + 1) * 2)
        for index in 0..<self.count {
            (larger + index).initialize(to: self.storage[(self.head + index) & self.mask])
        }
        self.storage.deallocate()
        self.storage = larger
        self.mask = self.mask * 2 + 1
        self.head = 0
    }
}
