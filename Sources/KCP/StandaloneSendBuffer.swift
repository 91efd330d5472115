/// Everything sent and not yet acknowledged, and everything waiting to be sent: one ring by `sn`.
///
/// A segment gets its serial when it is queued, so that "in flight" is nothing but the part of the
/// ring before ``next``. Segments in flight stand in lists by how often they timed out, each in the
/// order of transmission: its front is the first to time out and the first to count as lost, which
/// is what makes every step O(1) where ikcp.c walks the whole buffer.
final class StandaloneSendBuffer {
    struct Segment {
        /// When it was last sent, in ms.
        var sentAt: UInt64 = 0
        /// Its last transmission's number; every transmission has its own, from 1.
        var transmission: UInt64 = 0
        /// `xmit`.
        var transmissions: UInt32 = 0
        var length: UInt32 = 0
        var previous: Int32 = -1
        var following: Int32 = -1
        var list: UInt8 = StandaloneSendBuffer.noList
        var timeouts: UInt8 = 0
        var fragment: UInt8 = 0
        var isAcknowledged = false
    }

    static let mostTimeouts = 31
    /// Lost segments, in the order in which they were found to be.
    static let lostList: UInt8 = 32
    /// Lost segments beyond the window the peer has room for.
    static let parkedList: UInt8 = 33
    private static let listCount = 34
    private static let noList: UInt8 = 255

    let segmentSize: Int
    /// How many segments fit.
    let limit: Int
    private let mask: UInt32
    private let segments: UnsafeMutablePointer<Segment>
    private let bytes: UnsafeMutableRawPointer
    private let fronts: UnsafeMutablePointer<Int32>
    private let backs: UnsafeMutablePointer<Int32>

    /// `snd_una`.
    private(set) var unacknowledged: UInt32
    /// `snd_nxt`.
    private(set) var next: UInt32
    /// One past the last segment queued.
    private(set) var end: UInt32
    /// One bit for every list that holds something.
    private(set) var occupied: UInt64 = 0

    init(segmentSize: Int, limit: Int, first: UInt32) {
        self.segmentSize = segmentSize
        self.limit = limit
        var capacity = 1
        while capacity < limit { capacity *= 2 }
        self.mask = UInt32(clamping: capacity - 1)
        self.segments = .allocate(capacity: capacity)
        self.segments.initialize(repeating: Segment(), count: capacity)
        self.bytes = .allocate(byteCount: capacity * segmentSize, alignment: 16)
        self.fronts = .allocate(capacity: Self.listCount)
        self.fronts.initialize(repeating: -1, count: Self.listCount)
        self.backs = .allocate(capacity: Self.listCount)
        self.backs.initialize(repeating: -1, count: Self.listCount)
        self.unacknowledged = first
        self.next = first
        self.end = first
    }

    deinit {
        self.segments.deallocate()
        self.bytes.deallocate()
        self.fronts.deallocate()
        self.backs.deallocate()
    }

    var inFlight: Int { Int(self.next &- self.unacknowledged) }
    var unsent: Int { Int(self.end &- self.next) }
    var free: Int { self.limit - Int(self.end &- self.unacknowledged) }

    /// What holds between any two calls; looked at where asserts are.
    private func check() {
        assert(self.inFlight >= 0 && self.unsent >= 0)
        assert(self.inFlight + self.unsent <= self.limit, "more segments than there is room for")
        assert(self.free >= 0)
    }

    func index(of serial: UInt32) -> Int32 { Int32(bitPattern: serial & self.mask) }

    /// The serial of a segment in flight.
    func serial(at index: Int32) -> UInt32 {
        self.unacknowledged &+ ((UInt32(bitPattern: index) &- self.unacknowledged) & self.mask)
    }

    subscript(index: Int32) -> Segment {
        get { self.segments[Int(index)] }
        _modify { yield &self.segments[Int(index)] }
    }

    func payload(at index: Int32) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: self.bytes + Int(index) * self.segmentSize,
            count: Int(self.segments[Int(index)].length)
        )
    }

    func contains(inFlight serial: UInt32) -> Bool {
        serial &- self.unacknowledged < self.next &- self.unacknowledged
    }

    /// Queues a segment of its own; there must be room for it.
    func append(_ data: UnsafeRawBufferPointer, fragment: UInt8) {
        precondition(self.free > 0 && data.count <= self.segmentSize)
        let index = self.index(of: self.end)
        var segment = Segment()
        segment.length = UInt32(clamping: data.count)
        segment.fragment = fragment
        self.segments[Int(index)] = segment
        if let source = data.baseAddress {
            (self.bytes + Int(index) * self.segmentSize).copyMemory(
                from: source,
                byteCount: data.count
            )
        }
        self.end &+= 1
        self.check()
    }

    /// Fills up the last segment if it has not been sent yet, and says how much went into it.
    func extendLast(_ data: UnsafeRawBufferPointer) -> Int {
        guard self.unsent > 0, let source = data.baseAddress else { return 0 }
        let index = self.index(of: self.end &- 1)
        let length = Int(self.segments[Int(index)].length)
        let count = min(data.count, self.segmentSize - length)
        assert(count >= 0, "a segment beyond its size")
        (self.bytes + Int(index) * self.segmentSize + length).copyMemory(
            from: source,
            byteCount: count
        )
        self.segments[Int(index)].length += UInt32(clamping: count)
        return count
    }

    /// Puts the first unsent segment in flight.
    func takeUnsent() -> Int32 {
        precondition(self.unsent > 0, "there is nothing to send")
        let index = self.index(of: self.next)
        assert(self.segments[Int(index)].list == Self.noList)
        assert(!self.segments[Int(index)].isAcknowledged)
        self.next &+= 1
        self.check()
        return index
    }

    /// Takes a segment out of its list and marks it as arrived; false if it was already.
    func acknowledge(at index: Int32) -> Bool {
        guard !self.segments[Int(index)].isAcknowledged else { return false }
        self.segments[Int(index)].isAcknowledged = true
        self.unlink(index)
        return true
    }

    /// Moves `snd_una` over what has arrived.
    func shrink() {
        while self.unacknowledged != self.next,
            self.segments[Int(self.index(of: self.unacknowledged))].isAcknowledged
        {
            assert(self.segments[Int(self.index(of: self.unacknowledged))].list == Self.noList)
            self.unacknowledged &+= 1
        }
        self.check()
    }

    /// Moves what `serials` covers from the parked to the lost; O(their number).
    func unpark(_ serials: Range<UInt32>, from una: UInt32) {
        guard self.front(of: Self.parkedList) != nil else { return }
        for offset in serials {
            let index = self.index(of: una &+ offset)
            guard self.segments[Int(index)].list == Self.parkedList else { continue }
            self.unlink(index)
            self.link(index, to: Self.lostList)
        }
    }

    func front(of list: UInt8) -> Int32? {
        let front = self.fronts[Int(list)]
        return front < 0 ? nil : front
    }

    func link(_ index: Int32, to list: UInt8) {
        precondition(self.segments[Int(index)].list == Self.noList, "it stands in another list")
        precondition(list < Self.listCount)
        let back = self.backs[Int(list)]
        self.segments[Int(index)].list = list
        self.segments[Int(index)].previous = back
        self.segments[Int(index)].following = -1
        if back >= 0 {
            self.segments[Int(back)].following = index
        } else {
            self.fronts[Int(list)] = index
        }
        self.backs[Int(list)] = index
        self.occupied |= 1 << UInt64(list)
    }

    func unlink(_ index: Int32) {
        let segment = self.segments[Int(index)]
        guard segment.list != Self.noList else { return }
        let list = Int(segment.list)
        if segment.previous >= 0 {
            self.segments[Int(segment.previous)].following = segment.following
        } else {
            self.fronts[list] = segment.following
        }
        if segment.following >= 0 {
            self.segments[Int(segment.following)].previous = segment.previous
        } else {
            self.backs[list] = segment.previous
        }
        assert((self.fronts[list] < 0) == (self.backs[list] < 0), "half of an empty list")
        if self.fronts[list] < 0 { self.occupied &= ~(1 << UInt64(list)) }
        self.segments[Int(index)].list = Self.noList
    }
}
