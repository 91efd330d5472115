/// Things of one kind at addresses that do not move, found by slot or by handle.
///
/// Memory comes in pages and stays: a slot that was released is the first to be used again, under
/// another generation.
final class SlotMap<Element: ~Copyable, Tag> {
    typealias Pointer = UnsafeMutablePointer<Element>

    private var pages: [Pointer] = []
    private var generations: [UInt32] = []
    private var isLive: [Bool] = []
    private var free: [UInt32] = []
    private(set) var count = 0
    private let limit: Int
    private var sampled = 0

    private static var pageSize: Int { 64 }
    private static var sampleSize: Int { 64 }

    /// - Parameter limit: how many there may be at a time.
    init(limit: Int) { self.limit = limit }

    deinit {
        for slot in self.isLive.indices where self.isLive[slot] {
            self.pointer(UInt32(clamping: slot)).deinitialize(count: 1)
        }
        for page in self.pages { page.deallocate() }
    }

    /// Every slot ever used.
    var slots: Range<UInt32> { 0..<UInt32(clamping: self.generations.count) }
    var isFull: Bool { self.count >= self.limit }

    private func pointer(_ slot: UInt32) -> Pointer {
        self.pages[Int(slot) / Self.pageSize] + Int(slot) % Self.pageSize
    }

    /// What is in `slot`, which is in use.
    subscript(slot: UInt32) -> Pointer {
        assert(self.isLive[Int(slot)])
        return self.pointer(slot)
    }

    /// Puts what `make` makes into a free slot; `nil` at the limit.
    func insert(_ make: (Handle<Tag>) -> Element) -> Pointer? {
        guard self.count < self.limit else { return nil }
        if self.free.isEmpty { self.addSlot() }
        let slot = self.free.removeLast()
        precondition(!self.isLive[Int(slot)], "a free slot is in use")
        self.count += 1
        self.isLive[Int(slot)] = true
        let element = self.pointer(slot)
        element.initialize(
            to: make(Handle(slot: slot, generation: self.generations[Int(slot)]))
        )
        return element
    }

    private func addSlot() {
        let slot = UInt32(clamping: self.generations.count)
        if Int(slot) % Self.pageSize == 0 {
            self.pages.append(.allocate(capacity: Self.pageSize))
        }
        self.generations.append(1)
        self.isLive.append(false)
        self.free.append(slot)
    }

    /// Ends what is in `slot`; handles to it are dead.
    func release(_ slot: UInt32) {
        precondition(self.isLive[Int(slot)], "a slot was released twice")
        self.pointer(slot).deinitialize(count: 1)
        self.isLive[Int(slot)] = false
        self.generations[Int(slot)] &+= 1
        self.free.append(slot)
        self.count -= 1
        assert(self.free.count + self.count == self.generations.count)
    }

    /// What is in `slot`, if anything is.
    func live(_ slot: UInt32) -> Pointer? {
        guard Int(slot) < self.isLive.count, self.isLive[Int(slot)] else { return nil }
        return self.pointer(slot)
    }

    /// What `handle` names, if that is still here.
    func find(_ handle: Handle<Tag>) -> Pointer? {
        guard let element = self.live(handle.slot),
            self.generations[Int(handle.slot)] == handle.generation
        else { return nil }
        return element
    }

    /// Shows some of all, each time the next.
    func sample(_ look: (Pointer) -> Void) {
        for _ in 0..<min(Self.sampleSize, self.generations.count) {
            self.sampled = (self.sampled + 1) % self.generations.count
            if let element = self.live(UInt32(clamping: self.sampled)) { look(element) }
        }
    }
}
