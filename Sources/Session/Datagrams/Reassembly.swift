import Primitives

/// Puts datagrams larger than the path together again.
///
/// A fixed number of places, each with a fixed most of bytes: what a peer starts and never finishes
/// is overwritten by what comes later, and counted.
///
/// A datagram is delivered only if its fragments, in the order of their indices, cover every byte
/// of it exactly once (PROTOCOL.md section 9). The memory behind a place held other peers' bytes
/// before: a gap would deliver those.
struct Reassembly: ~Copyable {
    enum Outcome {
        case incomplete
        case malformed
        /// Whole; the bytes are valid until the next call.
        case complete(UnsafeRawBufferPointer)
    }

    struct Place {
        var flow: UInt32 = 0
        var number: UInt32 = 0
        var total = 0
        var fragmentCount = 0
        var arrived = 0
        var present: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        var startedAt = Instant(nanoseconds: 0)
        /// ``datagramLimit`` bytes, and behind them an ``Extent`` for each fragment.
        var bytes: UnsafeMutableRawPointer?
    }

    /// Where a fragment lies in its datagram.
    struct Extent: BitwiseCopyable {
        var offset: UInt16
        var count: UInt16
    }

    static let placeCount = 32
    static let patience = Instant.Interval.seconds(2)
    /// The largest UDP payload, and the byte that says how a compressed flow's datagram is packed.
    static let datagramLimit = DatagramPacking.largest + 1
    /// `count` of a fragment is one byte on the wire.
    static let fragmentLimit = 255
    private static let extentsOffset = 65_536
    /// Bytes allocated for a place.
    static let placeByteCount =
        Self.extentsOffset + Self.fragmentLimit * MemoryLayout<Extent>.stride

    private var places: [Place] = []
    /// Datagrams given up: their place was needed, or their time was over.
    private(set) var abandoned: UInt64 = 0

    init() {}

    var memoryByteCount: Int { self.places.count * Self.placeByteCount }

    deinit {
        for place in self.places { place.bytes?.deallocate() }
    }

    mutating func receive(
        flow: UInt32,
        number: UInt32,
        index: Int,
        count: Int,
        offset: Int,
        total: Int,
        _ bytes: UnsafeRawBufferPointer,
        mayGrow: Bool = true,
        at now: Instant
    ) -> Outcome {
        guard count > 1, count <= Self.fragmentLimit, index >= 0, index < count,
            total <= Self.datagramLimit, !bytes.isEmpty, offset >= 0,
            offset + bytes.count <= total, let source = bytes.baseAddress,
            let extent = Extent(offset: offset, count: bytes.count)
        else { return .malformed }
        let place =
            self.find(flow, number)
            ?? self.begin(flow, number, count, total, mayGrow: mayGrow, at: now)
        guard self.places[place].total == total, self.places[place].fragmentCount == count,
            let target = self.places[place].bytes
        else { return .malformed }
        guard self.places[place].mark(index) else { return .incomplete }
        precondition(offset + bytes.count <= Self.datagramLimit, "beyond its place")
        (target + offset).copyMemory(from: source, byteCount: bytes.count)
        Self.extents(target)[index] = extent
        self.places[place].arrived += 1
        assert(self.places[place].arrived <= count, "more fragments than there are")
        assert(self.places.count <= Self.placeCount)
        guard self.places[place].arrived == count else { return .incomplete }
        defer { self.places[place].fragmentCount = 0 }
        guard Self.covers(total, UnsafeBufferPointer(rebasing: Self.extents(target)[..<count]))
        else { return .malformed }
        return .complete(UnsafeRawBufferPointer(start: target, count: total))
    }

    private static func extents(
        _ place: UnsafeMutableRawPointer
    ) -> UnsafeMutableBufferPointer<Extent> {
        UnsafeMutableBufferPointer(
            start: (place + Self.extentsOffset).assumingMemoryBound(to: Extent.self),
            count: Self.fragmentLimit
        )
    }

    /// Whether the fragments lie end to end from 0 to `total`.
    private static func covers(_ total: Int, _ extents: UnsafeBufferPointer<Extent>) -> Bool {
        var end = 0
        for extent in extents {
            guard Int(extent.offset) == end else { return false }
            end += Int(extent.count)
        }
        return end == total
    }

    private func find(_ flow: UInt32, _ number: UInt32) -> Int? {
        self.places.firstIndex {
            $0.fragmentCount > 0 && $0.flow == flow && $0.number == number
        }
    }

    private mutating func begin(
        _ flow: UInt32,
        _ number: UInt32,
        _ count: Int,
        _ total: Int,
        mayGrow: Bool,
        at now: Instant
    ) -> Int {
        var chosen = self.places.firstIndex {
            $0.fragmentCount == 0 || now.since($0.startedAt) > Self.patience
        }
        if chosen == nil, self.places.count < (mayGrow ? Self.placeCount : 1) {
            self.places.append(Place())
            chosen = self.places.count - 1
        }
        precondition(!self.places.isEmpty, "there is no place at all")
        let place = chosen ?? self.oldest()
        if self.places[place].fragmentCount > 0 { self.abandoned += 1 }
        let bytes =
            self.places[place].bytes
            ?? Self.allocatePlace()
        self.places[place] = Place(
            flow: flow,
            number: number,
            total: total,
            fragmentCount: count,
            startedAt: now,
            bytes: bytes
        )
        return place
    }

    private static func allocatePlace() -> UnsafeMutableRawPointer {
        let bytes = UnsafeMutableRawPointer.allocate(
            byteCount: Self.placeByteCount,
            alignment: 16
        )
        (bytes + Self.extentsOffset).initializeMemory(
            as: Extent.self,
            repeating: Extent(),
            count: Self.fragmentLimit
        )
        return bytes
    }

    private func oldest() -> Int {
        var oldest = 0
        for place in self.places.indices
        where self.places[place].startedAt < self.places[oldest].startedAt {
            oldest = place
        }
        return oldest
    }
}

extension Reassembly.Place {
    /// Notes fragment `index`; false if it was here before.
    fileprivate mutating func mark(_ index: Int) -> Bool {
        let bit = UInt64(1) << UInt64(index & 63)
        return withUnsafeMutableBytes(of: &self.present) { raw in
            let words = raw.bindMemory(to: UInt64.self)
            guard words[index >> 6] & bit == 0 else { return false }
            words[index >> 6] |= bit
            return true
        }
    }
}

extension Reassembly.Extent {
    fileprivate init() {
        self.offset = 0
        self.count = 0
    }

    /// `nil` if the values do not fit the fields, which no valid fragment's exceed.
    fileprivate init?(offset: Int, count: Int) {
        guard let offset = UInt16(exactly: offset), let count = UInt16(exactly: count) else {
            return nil
        }
        self.offset = offset
        self.count = count
    }
}
