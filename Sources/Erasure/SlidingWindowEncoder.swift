import Primitives

/// The sending side of a random linear code over a sliding window of messages (RFC 8681).
///
/// Remembers the newest messages of one flow and combines them into repairs. Memory is fixed:
/// `capacity` symbols of the largest message; no call allocates.
public final class SlidingWindowEncoder {
    /// Most symbols that a repair can cover.
    public let capacity: Int
    /// The largest message that a symbol has room for, in bytes; a larger one empties the window.
    public let maximumMessageByteCount: Int
    private let galois: Galois
    private let stride: Int
    /// A power of two, so that ids keep their places when they wrap around.
    private let slotCount: Int
    private let symbols: UnsafeMutablePointer<UInt8>
    private let byteCounts: UnsafeMutablePointer<Int>
    private let sources: UnsafeMutablePointer<UnsafePointer<UInt8>?>
    private let factors: UnsafeMutablePointer<UInt8>
    private var newest: UInt32 = 0
    private var nextKey: UInt16 = 0
    /// Symbols a repair can cover now: consecutive ids up to the newest.
    public private(set) var count = 0

    /// Allocates `capacity` symbols, rounded up to a power of two; traps beyond 128.
    public init(
        capacity: Int = RepairHeader.windowLimit,
        maximumMessageByteCount: Int,
        galois: Galois = .best
    ) {
        precondition(capacity > 0 && capacity <= RepairHeader.windowLimit)
        precondition(maximumMessageByteCount > 0 && maximumMessageByteCount <= Int(UInt16.max))
        self.capacity = capacity
        self.maximumMessageByteCount = maximumMessageByteCount
        self.galois = galois
        self.stride = SymbolShape.padded(SymbolShape.prefix + maximumMessageByteCount)
        self.slotCount = SymbolShape.powerOfTwo(capacity)
        self.symbols = SymbolShape.allocate(self.stride * self.slotCount)
        self.byteCounts = .allocate(capacity: self.slotCount)
        self.sources = .allocate(capacity: capacity)
        self.factors = .allocate(capacity: capacity)
    }

    /// Bytes of memory for messages, which is nearly all.
    public var memoryByteCount: Int { self.stride * self.slotCount }

    deinit {
        self.symbols.deallocate()
        self.byteCounts.deallocate()
        self.sources.deallocate()
        self.factors.deallocate()
    }

    /// A message went out in the datagram of that number.
    ///
    /// A number that does not follow the last one starts the window anew, as does a message that
    /// is too large for a symbol: repairs cover consecutive symbols only.
    public func sent(_ number: UInt32, _ message: UnsafeRawBufferPointer) {
        guard message.count <= self.maximumMessageByteCount else {
            self.count = 0
            return
        }
        if self.count == 0 || number != self.newest &+ 1 { self.count = 0 }
        self.newest = number
        self.count = min(self.count + 1, self.capacity)
        let slot = self.slot(number)
        let symbol = UnsafeMutableRawPointer(self.symbols + slot * self.stride)
        symbol.storeLittle(UInt16(message.count), at: 0)  // bound: `maximumMessageByteCount`
        if let bytes = message.baseAddress {
            (symbol + SymbolShape.prefix).copyMemory(from: bytes, byteCount: message.count)
        }
        let byteCount = SymbolShape.prefix + message.count
        (symbol + byteCount).initializeMemory(
            as: UInt8.self,
            repeating: 0,
            count: self.stride - byteCount
        )
        assert(byteCount <= self.stride)
        self.byteCounts[slot] = byteCount
        assert(self.count > 0 && self.count <= self.capacity)
    }

    /// Bytes of the next repair over the newest `window` symbols, header included; 0 if there is
    /// nothing to cover.
    public func repairByteCount(window: Int) -> Int {
        let covered = min(window, self.count)
        guard covered > 0 else { return 0 }
        return RepairHeader.byteCount + self.longest(covered)
    }

    /// Writes a repair over the newest `window` symbols, or as many as there are.
    ///
    /// Returns its bytes; `nil` if there is nothing to cover or the buffer is too small for
    /// ``repairByteCount(window:)``.
    public func repair(
        window: Int,
        into buffer: UnsafeMutableRawBufferPointer
    ) -> Int? {
        let covered = min(window, self.count)
        guard covered > 0, let base = buffer.baseAddress else { return nil }
        assert(covered <= RepairHeader.windowLimit)
        let longest = self.longest(covered)
        assert(longest >= SymbolShape.prefix && longest <= self.stride, "a symbol of no message")
        guard buffer.count >= RepairHeader.byteCount + longest else { return nil }
        let window = UInt8(covered)  // bound: `windowLimit`
        let header = RepairHeader(last: self.newest, window: window, key: self.nextKey)
        self.nextKey &+= 1
        var writer = ByteWriter(base, capacity: buffer.count)
        header.write(to: &writer)
        header.factors(into: self.factors)
        for index in 0..<covered {
            let slot = self.slot(header.first &+ UInt32(clamping: index))
            self.sources[index] = UnsafePointer(self.symbols + slot * self.stride)
        }
        let combination = base + RepairHeader.byteCount
        combination.withMemoryRebound(to: UInt8.self, capacity: longest) { target in
            var target: UnsafeMutablePointer<UInt8>? = target
            withUnsafePointer(to: &target) { targets in
                self.galois.combine(
                    UnsafeBufferPointer(start: self.sources, count: covered),
                    factors: self.factors,
                    into: UnsafeBufferPointer(start: targets, count: 1),
                    count: longest
                )
            }
        }
        return RepairHeader.byteCount + longest
    }

    /// Forgets everything sent: the next repair covers only what comes after.
    public func restart() { self.count = 0 }

    private func slot(_ number: UInt32) -> Int { Int(number) & (self.slotCount - 1) }

    private func longest(_ covered: Int) -> Int {
        var longest = 0
        for index in 0..<UInt32(clamping: covered) {
            longest = max(longest, self.byteCounts[self.slot(self.newest &- index)])
        }
        return longest
    }
}
