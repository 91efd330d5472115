import Primitives

/// The newest datagrams of a flow, kept for as long as sending them again still makes sense.
///
/// Where delivery is `deadline`, all of them; otherwise those of a slow flow, so that what
/// redundancy did not save, or was lost before there was any, comes a round trip later.
final class DatagramRetention {
    struct Entry: BitwiseCopyable {
        var number: UInt32
        var offset: UInt64
        var byteCount: Int
        var queuedAt: Instant
        /// Bytes of each fragment but the last; 0 for a datagram that went out whole.
        var fragmentByteCount: Int
        var isAcknowledged = false
    }

    /// A datagram, or one fragment of it, to be sent again.
    struct Resend: BitwiseCopyable {
        var number: UInt32
        var fragment: UInt8
    }

    /// Above these rates, in bits per second, nothing is kept unless delivery is `deadline`.
    static let slowFlow = 250_000
    static let realtimeFlow = 8_000_000

    private let byteLimit: Int
    private let entryLimit: Int
    /// Counted from when a datagram was given to the engine.
    var maximumAge: Instant.Interval
    private var bytes = ByteRing()
    private var entries = IndexedRing<Entry>(capacity: 4)
    private var head: UInt64 = 0
    private var tail: UInt64 = 0
    private var readOffset: UInt64 = 0
    private var writeOffset: UInt64 = 0
    private var resends = IndexedRing<Resend>(capacity: 2)
    private var resendHead: UInt64 = 0
    private var resendTail: UInt64 = 0

    init(maximumAge: Instant.Interval, byteLimit: Int = 1 << 20, entryLimit: Int = 4096) {
        self.maximumAge = maximumAge
        self.byteLimit = byteLimit
        self.entryLimit = entryLimit
    }

    /// What holds between any two calls; looked at where asserts are.
    private func check() {
        assert(self.head <= self.tail && self.resendHead <= self.resendTail)
        assert(self.readOffset <= self.writeOffset)
        assert(self.writeOffset - self.readOffset <= UInt64(self.bytes.capacity))
        assert(self.tail - self.head <= UInt64(self.entries.capacity))
        assert(self.resendTail - self.resendHead <= UInt64(self.resends.capacity))
        assert(self.head == self.tail || self.entries[self.head].offset == self.readOffset)
    }

    var hasResends: Bool { self.resendHead != self.resendTail }

    /// Bytes of memory held, three rings.
    var memoryByteCount: Int {
        self.bytes.capacity + self.entries.capacity * MemoryLayout<Entry>.stride
            + self.resends.capacity * MemoryLayout<Resend>.stride
    }

    /// Makes room for a datagram whose bytes follow by ``place(_:at:)``; false if there is none.
    ///
    /// With `mayGrow` false others go so that it fits the memory there is.
    func begin(
        _ number: UInt32,
        byteCount: Int,
        fragmentByteCount: Int,
        queuedAt: Instant,
        mayGrow: Bool = true,
        at now: Instant
    ) -> Bool {
        let byteLimit = mayGrow ? self.byteLimit : min(self.byteLimit, self.bytes.capacity)
        let entryLimit = mayGrow ? self.entryLimit : min(self.entryLimit, self.entries.capacity)
        while self.head < self.tail,
            Int(self.writeOffset - self.readOffset) + byteCount > byteLimit
                || Int(self.tail - self.head) > entryLimit - 1
                || now.since(self.entries[self.head].queuedAt) > self.maximumAge
        {
            let oldest = self.entries[self.head]
            self.readOffset = oldest.offset + UInt64(oldest.byteCount)
            self.head += 1
        }
        guard mayGrow || byteCount <= byteLimit else { return false }
        self.bytes.grow(
            toHold: Int(self.writeOffset - self.readOffset) + byteCount,
            keeping: self.readOffset..<self.writeOffset,
            beginningAt: 256
        )
        self.entries.grow(toHold: Int(self.tail - self.head) + 1, keeping: self.head..<self.tail)
        self.entries[self.tail] = Entry(
            number: number,
            offset: self.writeOffset,
            byteCount: byteCount,
            queuedAt: queuedAt,
            fragmentByteCount: fragmentByteCount
        )
        self.tail += 1
        self.writeOffset += UInt64(byteCount)
        self.check()
        return true
    }

    /// Fills in part of the datagram begun last.
    func place(_ part: UnsafeRawBufferPointer, at start: Int) {
        guard self.head < self.tail else { return }
        let newest = self.entries[self.tail - 1]
        precondition(start >= 0 && start + part.count <= newest.byteCount, "beyond the datagram")
        self.bytes.place(part, at: newest.offset + UInt64(start))
    }

    /// A packet with the whole of this datagram has arrived.
    func acknowledged(_ number: UInt32) {
        self.find(number)?.pointee.isAcknowledged = true
    }

    /// A packet with this datagram, or a fragment of it, is lost.
    ///
    /// Copies may be under way, and nearly always one of them arrives; but waiting to hear of it
    /// would cost more than sending those few again.
    func lost(_ number: UInt32, fragment: UInt8, mayGrow: Bool = true) {
        let limit = mayGrow ? 4096 : UInt64(self.resends.capacity)
        guard let entry = self.find(number), !entry.pointee.isAcknowledged,
            self.resendTail - self.resendHead < limit
        else { return }
        let live = self.resendHead..<self.resendTail
        self.resends.grow(toHold: live.count + 1, keeping: live)
        self.resends[self.resendTail] = Resend(number: number, fragment: fragment)
        self.resendTail += 1
        self.check()
    }

    /// What to send again first; what has grown too old meanwhile is forgotten.
    func firstResend(at now: Instant) -> (Resend, Entry)? {
        while self.resendHead < self.resendTail {
            let resend = self.resends[self.resendHead]
            if let entry = self.find(resend.number)?.pointee, !entry.isAcknowledged,
                now.since(entry.queuedAt) <= self.maximumAge
            {
                return (resend, entry)
            }
            self.resendHead += 1
        }
        return nil
    }

    func removeFirstResend() {
        precondition(self.hasResends)
        self.resendHead += 1
    }

    func copy(_ entry: Entry, from start: Int, count: Int, to target: UnsafeMutableRawPointer) {
        precondition(entry.offset >= self.readOffset, "these bytes are gone")
        precondition(start >= 0 && count >= 0 && start + count <= entry.byteCount)
        self.bytes.copy(from: entry.offset + UInt64(start), count: count, to: target)
    }

    /// Numbers are kept in order but may have gaps, where datagrams were given up.
    private func find(_ number: UInt32) -> UnsafeMutablePointer<Entry>? {
        var low = self.head
        var high = self.tail
        while low < high {
            let middle = (low + high) / 2
            let ahead = Int32(bitPattern: number &- self.entries[middle].number)
            if ahead == 0 { return self.entries.pointer(middle) }
            if ahead > 0 { low = middle + 1 } else { high = middle }
        }
        return nil
    }
}
