public import Primitives

/// The receiving side of ``SlidingWindowEncoder``: takes datagrams and repairs in any order, and
/// gives out each message that only repairs could save, once.
///
/// Whatever a peer sends, memory stays what it was at the start (`2 × window` symbols and 64
/// equations), no call allocates, and nothing traps: a repair that makes no sense is counted.
public final class SlidingWindowDecoder {
    /// What became of a repair.
    public enum Verdict: Hashable, Sendable {
        /// It gave or will give back lost messages.
        case useful
        /// Everything it could say was known already: the normal fate of a repair.
        case redundant
        /// It covers messages from before what is remembered.
        case outdated
        /// More is missing than the equations have room for.
        case overloaded
        /// The frames before it have used up the work that they had a right to.
        case overBudget
        /// No encoder of ours wrote it.
        case malformed
    }

    private struct Slot {
        var state = State.missing
        var column: UInt8 = 0
        var byteCount: UInt16 = 0
        /// When its datagram came; never for a message that was recovered.
        var arrivedAt = Instant.never
    }

    private enum State: UInt8 {
        case missing
        /// Missing, and part of the equations.
        case unknown
        case known
        /// Known by recovery, not given out yet.
        case recovered
    }

    /// The largest message that a symbol has room for, in bytes; larger ones count as missing.
    public let maximumMessageByteCount: Int
    private let hasBudget: Bool
    /// Rows that may still be added to rows; below 0 after a frame that cost more than was left.
    private var credit = SlidingWindowDecoder.creditLimit
    /// The part of ``work`` that ``credit`` has been charged for.
    private var paid = 0
    private let galois: Galois
    private let stride: Int
    private let slotCount: Int
    private let symbols: UnsafeMutablePointer<UInt8>
    private let slots: UnsafeMutablePointer<Slot>
    private let system: RepairSystem
    private let sources: UnsafeMutablePointer<UnsafePointer<UInt8>?>
    private let sourceFactors: UnsafeMutablePointer<UInt8>
    private let factors: UnsafeMutablePointer<UInt8>
    private let recovered: UnsafeMutablePointer<UInt32>
    private var recoveredStart = 0
    private var recoveredCount = 0
    /// Ids from `oldest` to `newest` have slots.
    private var oldest: UInt32
    private var newest: UInt32
    /// Messages recovered so far, and of those the ones that were too late.
    public private(set) var recoveredTotal: UInt64 = 0
    /// Messages recovered too late, and therefore not given out.
    public private(set) var outlivedTotal: UInt64 = 0

    /// A decoder of a flow whose next datagram has the number `first`.
    ///
    /// What came before is neither known nor recovered. `window` is the largest a repair may have.
    /// With `hasBudget` the work that frames can cause is bounded by their number.
    public init(
        from first: UInt32,
        window: Int = RepairHeader.windowLimit,
        maximumMessageByteCount: Int,
        hasBudget: Bool = false,
        galois: Galois = .best
    ) {
        precondition(window > 0 && window <= RepairHeader.windowLimit)
        precondition(maximumMessageByteCount > 0 && maximumMessageByteCount <= Int(UInt16.max))
        self.maximumMessageByteCount = maximumMessageByteCount
        self.hasBudget = hasBudget
        self.galois = galois
        self.stride = SymbolShape.padded(SymbolShape.prefix + maximumMessageByteCount)
        self.slotCount = SymbolShape.powerOfTwo(2 * window)
        self.symbols = SymbolShape.allocate(self.stride * self.slotCount)
        self.slots = .allocate(capacity: self.slotCount)
        self.slots.initialize(repeating: Slot(), count: self.slotCount)
        self.system = RepairSystem(stride: self.stride, galois: galois)
        self.sources = .allocate(capacity: RepairHeader.windowLimit)
        self.sourceFactors = .allocate(capacity: RepairHeader.windowLimit)
        self.factors = .allocate(capacity: RepairHeader.windowLimit)
        self.recovered = .allocate(capacity: self.slotCount)
        self.oldest = first
        self.newest = first &- 1
    }

    deinit {
        self.symbols.deallocate()
        self.slots.deallocate()
        self.sources.deallocate()
        self.sourceFactors.deallocate()
        self.factors.deallocate()
        self.recovered.deallocate()
    }

    /// Lost messages that equations speak of; at most 64.
    public var unknownCount: Int { self.system.columns.nonzeroBitCount }

    /// Rows added to rows so far: what solving has cost.
    public var work: Int { self.system.work }

    /// A datagram arrived.
    ///
    /// Duplicates and stragglers are ignored here; whether to deliver the message is for a
    /// ``DuplicateFilter`` to say, which sees recovered messages too.
    public func received(
        _ number: UInt32,
        _ message: UnsafeRawBufferPointer,
        at now: Instant = Instant(nanoseconds: 0)
    ) {
        self.earn()
        defer { self.pay() }
        guard message.count <= self.maximumMessageByteCount, self.reach(number) else { return }
        let slot = self.slots + self.index(number)
        guard slot.pointee.state == .missing || slot.pointee.state == .unknown else { return }
        let symbol = UnsafeMutableRawBufferPointer(start: self.symbol(number), count: self.stride)
        let length = UInt16(message.count)  // bound: guarded above
        symbol.baseAddress?.storeLittle(length, at: 0)
        let byteCount = SymbolShape.prefix + message.count
        symbol[SymbolShape.prefix..<byteCount].copyBytes(from: message)
        symbol[byteCount...].initializeMemory(as: UInt8.self, repeating: 0)
        let wasUnknown = slot.pointee.state == .unknown
        slot.pointee.state = .known
        slot.pointee.byteCount = UInt16(message.count)  // bound: guarded above
        slot.pointee.arrivedAt = now
        guard wasUnknown else { return }
        let column = Int(slot.pointee.column)
        self.system.substitute(column, self.symbol(number), byteCount: byteCount)
        self.collect()
    }

    /// A repair arrived: ``RepairHeader`` and combination.
    public func received(repair bytes: UnsafeRawBufferPointer) -> Verdict {
        var reader = ByteReader(bytes)
        guard
            let header = RepairHeader(reading: &reader),
            Int(header.window) * 2 <= self.slotCount,
            reader.remaining >= SymbolShape.prefix,
            reader.remaining <= SymbolShape.prefix + self.maximumMessageByteCount
        else { return .malformed }
        self.earn()
        defer { self.pay() }
        guard !self.isBroke else { return .overBudget }
        guard self.reach(header.last), Self.distance(self.oldest, header.first) >= 0 else {
            return .outdated
        }
        let missing = self.count(.missing, in: header)
        guard missing + self.count(.unknown, in: header) > 0 else { return .redundant }
        guard self.makeRoom(for: header) else { return .overloaded }
        guard let row = self.system.draft(reader.rest) else { return .overloaded }
        self.write(header, to: row)
        guard self.system.insert(row) else { return .redundant }
        self.collect()
        return .useful
    }

    /// The next message that repairs gave back, valid until the next call that takes something.
    ///
    /// Messages whose next sibling came before `oldest` are too late to be of use, and left out.
    public func nextRecovered(
        siblingsSince oldest: Instant = Instant(nanoseconds: 0)
    ) -> (number: UInt32, message: UnsafeRawBufferPointer)? {
        while self.recoveredCount > 0 {
            let number = self.recovered[self.recoveredStart]
            self.recoveredStart = (self.recoveredStart + 1) & (self.slotCount - 1)
            self.recoveredCount -= 1
            guard Self.distance(self.oldest, number) >= 0 else { continue }
            let slot = self.slots + self.index(number)
            guard slot.pointee.state == .recovered else { continue }
            slot.pointee.state = .known
            guard self.siblingArrival(number) >= oldest else {
                self.outlivedTotal += 1
                continue
            }
            let message = UnsafeRawBufferPointer(
                start: self.symbol(number) + SymbolShape.prefix,
                count: Int(slot.pointee.byteCount)
            )
            return (number, message)
        }
        return nil
    }

    /// When the first datagram after `number` came that was not recovered.
    private func siblingArrival(_ number: UInt32) -> Instant {
        var next = number
        while Self.distance(next, self.newest) > 0 {
            next &+= 1
            let slot = self.slots[self.index(next)]
            if slot.arrivedAt != .never { return slot.arrivedAt }
        }
        return .never
    }

    /// What holds between any two calls, whatever the peer sends; looked at where asserts are.
    private func check() {
        let span = Self.distance(self.oldest, self.newest) + 1
        assert(span >= 0 && span <= self.slotCount, "more ids than slots")
        assert(self.recoveredCount >= 0 && self.recoveredCount <= self.slotCount)
        assert(self.recoveredStart >= 0 && self.recoveredStart < self.slotCount)
        assert(self.credit <= Self.creditLimit)
        assert(self.paid <= self.system.work)
        assert(self.unknownCount <= RepairSystem.limit)
        assert(self.outlivedTotal <= self.recoveredTotal)
        assert(self.namesItsColumns, "a lost symbol and its column do not name each other")
    }

    /// Whether each column of the equations is the one that its symbol's slot says.
    private var namesItsColumns: Bool {
        var left = self.system.columns
        while let column = RepairSystem.takeFirst(&left) {
            let slot = self.slots[self.index(self.system.id(of: column))]
            guard slot.state == .unknown, Int(slot.column) == column else { return false }
        }
        return true
    }

    // MARK: Work

    /// Rows that each frame may have added to rows, on the average and at most in advance.
    ///
    /// A burst of b losses costs about 2 b rows for each of its repairs, and each of these comes
    /// with the three to twenty datagrams that it protects.
    private static let creditPerFrame = 16
    private static let creditLimit = 2048

    private func earn() {
        self.credit = min(self.credit + Self.creditPerFrame, Self.creditLimit)
    }

    private func pay() {
        defer { self.check() }
        self.credit -= self.system.work - self.paid
        self.paid = self.system.work
    }

    private var isBroke: Bool {
        self.hasBudget && self.credit <= self.system.work - self.paid
    }

    /// Forgets all equations at once, which costs nothing.
    private func giveAllUp() {
        guard self.system.columns != 0 else { return }
        for slot in 0..<self.slotCount where self.slots[slot].state == .unknown {
            self.slots[slot].state = .missing
        }
        self.system.removeAll()
    }

    // MARK: Window

    private func index(_ number: UInt32) -> Int { Int(number) & (self.slotCount - 1) }

    private func symbol(_ number: UInt32) -> UnsafeMutablePointer<UInt8> {
        self.symbols + self.index(number) * self.stride
    }

    /// Steps from one id forward to another, on the circle of ids (RFC 1982).
    private static func distance(_ from: UInt32, _ to: UInt32) -> Int {
        Int(Int32(bitPattern: to &- from))
    }

    /// Moves the window forward if it has to; false for an id from before the window.
    private func reach(_ number: UInt32) -> Bool {
        let ahead = Self.distance(self.newest, number)
        guard ahead > 0 else { return Self.distance(self.oldest, number) >= 0 }
        if self.isBroke { self.giveAllUp() }
        if ahead >= self.slotCount {
            self.slots.update(repeating: Slot(), count: self.slotCount)
            self.system.removeAll()
            self.recoveredCount = 0
        } else {
            for step in 1...UInt32(clamping: ahead) {
                let slot = self.slots + self.index(self.newest &+ step)
                if slot.pointee.state == .unknown { self.forget(Int(slot.pointee.column)) }
                slot.pointee = Slot()
            }
        }
        assert(Self.distance(self.newest, number) > 0)
        self.newest = number
        let floor = number &- UInt32(clamping: self.slotCount - 1)
        if Self.distance(self.oldest, floor) > 0 { self.oldest = floor }
        return true
    }

    // MARK: Equations

    /// Drops a column, and the marks of every symbol that no equation mentions any more.
    private func forget(_ column: Int) {
        var gone = self.system.drop(column)
        while let column = RepairSystem.takeFirst(&gone) {
            self.slots[self.index(self.system.id(of: column))].state = .missing
        }
    }

    /// Frees columns for a repair by giving up the oldest lost symbols from before its window.
    private func makeRoom(for header: RepairHeader) -> Bool {
        // Giving up a symbol can leave others without an equation: they need columns again.
        while self.count(.missing, in: header) > self.system.freeColumnCount {
            var oldest: (age: Int, column: Int)?
            var left = self.system.columns
            while let column = RepairSystem.takeFirst(&left) {
                let age = Self.distance(self.system.id(of: column), header.first)
                if age > oldest?.age ?? 0 { oldest = (age, column) }
            }
            guard let oldest, !self.isBroke else { return false }
            self.forget(oldest.column)
        }
        return true
    }

    private func count(_ state: State, in header: RepairHeader) -> Int {
        var count = 0
        for step in 0..<UInt32(clamping: header.window) {
            if self.slots[self.index(header.first &+ step)].state == state { count += 1 }
        }
        return count
    }

    /// Fills in a draft: coefficients of what is missing, and the payload without what is known.
    private func write(_ header: RepairHeader, to row: Int) {
        header.factors(into: self.factors)
        var known = 0
        for step in 0..<Int(header.window) {
            let number = header.first &+ UInt32(clamping: step)
            let slot = self.slots + self.index(number)
            switch slot.pointee.state {
            case .known, .recovered:
                self.sources[known] = UnsafePointer(self.symbol(number))
                self.sourceFactors[known] = self.factors[step]
                known += 1
                continue
            case .missing:
                precondition(self.system.freeColumnCount > 0, "no room was made")
                slot.pointee.state = .unknown
                slot.pointee.column = UInt8(clamping: self.system.addColumn(for: number))
            case .unknown:
                break
            }
            let column = Int(slot.pointee.column)
            assert(self.system.id(of: column) == number, "another symbol's column")
            self.system.setCoefficient(self.factors[step], row: row, column: column)
        }
        var target: UnsafeMutablePointer<UInt8>? = self.system.payload(row)
        withUnsafePointer(to: &target) { targets in
            self.galois.combine(
                UnsafeBufferPointer(start: self.sources, count: known),
                factors: self.sourceFactors,
                into: UnsafeBufferPointer(start: targets, count: 1),
                count: self.system.payloadByteCount(row),
                adds: true
            )
        }
    }

    /// Turns every solved equation into a message.
    private func collect() {
        while let (row, number) = self.system.takeSolved() {
            let payload = self.system.payload(row)
            let held = self.system.payloadByteCount(row)
            let slot = self.slots + self.index(number)
            let symbol = self.symbol(number)
            assert(slot.pointee.state == .unknown, "solved, and never lost")
            precondition(held <= self.stride, "a symbol beyond its place")
            symbol.update(from: payload, count: held)
            (symbol + held).update(repeating: 0, count: self.stride - held)
            let byteCount = Int(UnsafeRawPointer(payload).little(0, as: UInt16.self))
            slot.pointee.state = .known
            // Only a peer that breaks the code gets here with nonsense; its message stays lost.
            guard byteCount <= min(held - SymbolShape.prefix, self.maximumMessageByteCount) else {
                continue
            }
            slot.pointee.state = .recovered
            slot.pointee.byteCount = UInt16(byteCount)  // bound: guarded above
            self.enqueue(number)
        }
    }

    private func enqueue(_ number: UInt32) {
        if self.recoveredCount == self.slotCount {
            self.recoveredStart = (self.recoveredStart + 1) & (self.slotCount - 1)
            self.recoveredCount -= 1
        }
        let end = (self.recoveredStart + self.recoveredCount) & (self.slotCount - 1)
        self.recovered[end] = number
        self.recoveredCount += 1
        self.recoveredTotal += 1
    }
}
