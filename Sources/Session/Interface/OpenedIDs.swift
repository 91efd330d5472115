/// Which ids a peer has opened, so that a late copy of an OPEN raises no dead stream.
///
/// Openers count upwards; the last 8192 ids are told apart and all below count as used.
struct OpenedIDs: ~Copyable {
    private static let span: UInt32 = 8192
    private var bits = [UInt64](repeating: 0, count: Int(span / 64))
    private var highest: UInt32 = 0
    private var isEmpty = true

    func contains(_ id: UInt32) -> Bool {
        guard !self.isEmpty, id <= self.highest else { return false }
        guard self.highest - id < Self.span else { return true }
        return self.bits[Int(id % Self.span / 64)] & (1 << UInt64(id % 64)) != 0
    }

    mutating func insert(_ id: UInt32) {
        if self.isEmpty || id > self.highest {
            let gap = self.isEmpty ? Self.span : min(id - self.highest, Self.span)
            for step in 0..<gap { self.clear(id &- step) }
            self.highest = id
            self.isEmpty = false
        }
        assert(id <= self.highest)
        guard self.highest - id < Self.span else { return }
        self.bits[Int(id % Self.span / 64)] |= 1 << UInt64(id % 64)
        assert(self.contains(id))
    }

    private mutating func clear(_ id: UInt32) {
        self.bits[Int(id % Self.span / 64)] &= ~(1 << UInt64(id % 64))
    }
}
