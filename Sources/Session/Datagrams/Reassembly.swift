import Primitives

/// Puts datagrams larger than the path together again.
///
/// A fixed number of places, each with a fixed most of bytes: what a peer starts and never finishes
/// is overwritten by what comes later, and counted.
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
        var bytes: UnsafeMutableRawPointer?
    }

    static let placeCount = 32
    static let patience = Instant.Interval.seconds(2)
    /// The largest UDP payload, and the byte that says how a compressed flow's datagram is packed.
    static let datagramLimit = DatagramPacking.largest + 1

    private var places: [Place] = []
    /// Datagrams given up: their place was needed, or their time was over.
    private(set) var abandoned: UInt64 = 0

    init() {}

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
        at now: Instant
    ) -> Outcome {
        guard count > 1, index < count, total <= Self.datagramLimit, !bytes.isEmpty,
            offset + bytes.count <= total, let source = bytes.baseAddress
        else { return .malformed }
        let place = self.find(flow, number) ?? self.begin(flow, number, count, total, at: now)
        guard self.places[place].total == total, self.places[place].fragmentCount == count,
            let target = self.places[place].bytes
        else { return .malformed }
        guard self.places[place].mark(index) else { return .incomplete }
        (target + offset).copyMemory(from: source, byteCount: bytes.count)
        self.places[place].arrived += bytes.count
        guard self.places[place].isFull else { return .incomplete }
        defer { self.places[place].fragmentCount = 0 }
        guard self.places[place].arrived == total else { return .malformed }
        return .complete(UnsafeRawBufferPointer(start: target, count: total))
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
        at now: Instant
    ) -> Int {
        var chosen = self.places.firstIndex {
            $0.fragmentCount == 0 || now.since($0.startedAt) > Self.patience
        }
        if chosen == nil, self.places.count < Self.placeCount {
            self.places.append(Place())
            chosen = self.places.count - 1
        }
        let place = chosen ?? self.oldest()
        if self.places[place].fragmentCount > 0 { self.abandoned += 1 }
        let bytes =
            self.places[place].bytes
            ?? UnsafeMutableRawPointer.allocate(byteCount: Self.datagramLimit, alignment: 16)
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

    fileprivate var isFull: Bool {
        self.present.0.nonzeroBitCount + self.present.1.nonzeroBitCount
            + self.present.2.nonzeroBitCount + self.present.3.nonzeroBitCount
            == self.fragmentCount
    }
}
