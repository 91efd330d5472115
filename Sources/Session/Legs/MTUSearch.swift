import Primitives

/// Finds the largest UDP payload the path carries, by probes that carry nothing else (RFC 8899).
///
/// Starts at 1200 bytes and tries from the top down, because most paths carry a full Ethernet frame
/// and one probe settles it.
struct MTUSearch {
    static let base = 1200
    /// Ethernet without tunnel, PPPoE, common tunnels, the IPv6 minimum (UDP payload over IPv4).
    private static let fewestLosses = 4
    private static let candidates = [1472, 1452, 1440, 1420, 1400, 1380, 1350, 1280]
    private static let attempts = 2
    private static let raiseInterval = Instant.Interval.seconds(600)

    /// Packets up to this size arrive.
    private(set) var confirmed: Int
    private var sizes: [Int]
    private var place = 0
    private var attempt = 0
    private var outstanding = 0
    private let most: Int
    private let isFixed: Bool
    /// Packets above ``base`` lost since one of them arrived, and whether smaller ones arrive.
    private var largeLosses = 0
    private var smallArrived = false
    /// When the next probe may go; ``Instant/never`` while one is out or the search is over.
    private(set) var deadline: Instant

    /// - Parameter isFixed: the operator chose `limit`; it is believed and never probed.
    init(limit: Int, isFixed: Bool, isIPv4: Bool) {
        self.isFixed = isFixed
        self.most = min(limit, isIPv4 ? 1472 : 1452)
        if isFixed {
            self.confirmed = max(limit, 512)
            self.sizes = []
            self.deadline = .never
            return
        }
        self.confirmed = min(Self.base, max(limit, 512))
        self.sizes = []
        self.deadline = .never
        self.begin(at: Instant(nanoseconds: 0))
    }

    private mutating func begin(at now: Instant) {
        self.sizes = Self.candidates.filter { $0 <= self.most && $0 > self.confirmed }
        self.place = 0
        self.attempt = 0
        self.outstanding = 0
        self.largeLosses = 0
        self.smallArrived = false
        self.deadline = self.sizes.isEmpty ? .never : now
        self.check()
    }

    /// What holds between any two calls; looked at where asserts are.
    private func check() {
        assert(self.confirmed >= 512, "smaller than any path")
        assert(self.place >= 0 && (self.place == 0 || self.place < self.sizes.count))
        assert(self.attempt >= 0 && self.attempt < Self.attempts)
        assert(self.sizes.allSatisfy { $0 > self.confirmed }, "it tries what is known to arrive")
        assert(self.outstanding == 0 || self.deadline == .never, "two probes at a time")
        assert(!self.isFixed || self.sizes.isEmpty && self.deadline == .never)
    }

    /// Another path: nothing is known of it.
    mutating func pathChanged(at now: Instant) {
        guard !self.isFixed else { return }
        self.confirmed = min(self.confirmed, Self.base)
        self.begin(at: now)
    }

    mutating func packetArrived(size: Int) {
        if size > Self.base {
            self.largeLosses = 0
            self.smallArrived = false
        } else {
            self.smallArrived = true
        }
    }

    /// A packet is lost: true if that makes the path look too small, and ``confirmed`` is the base
    /// again.
    ///
    /// RFC 8899 §4.3, black hole detection. A false alarm costs a round trip with small packets,
    /// for the search starts at the top; so few losses are enough.
    mutating func packetLost(size: Int, at now: Instant) -> Bool {
        guard !self.isFixed, size > Self.base, self.confirmed > Self.base else { return false }
        self.largeLosses += 1
        guard self.largeLosses >= Self.fewestLosses, self.smallArrived else { return false }
        self.confirmed = Self.base
        self.begin(at: now)
        return true
    }

    /// The size to probe now, if one is due.
    func dueProbe(at now: Instant) -> Int? {
        guard self.deadline <= now, self.place < self.sizes.count else { return nil }
        return self.sizes[self.place]
    }

    mutating func probeSent(_ size: Int) {
        precondition(size > self.confirmed, "that size is known to arrive")
        defer { self.check() }
        self.outstanding = size
        self.deadline = .never
    }

    /// True if larger packets may be sent from now on.
    mutating func probeArrived(size: Int, at now: Instant) -> Bool {
        guard size > self.confirmed else { return false }
        defer { self.check() }
        self.confirmed = size
        self.outstanding = 0
        // The sizes below are settled; those above are tried again much later.
        self.sizes = self.sizes.filter { $0 > size }
        self.place = 0
        self.attempt = 0
        self.deadline = self.sizes.isEmpty ? .never : now + Self.raiseInterval
        return true
    }

    mutating func probeLost(size: Int, at now: Instant) {
        guard size == self.outstanding else { return }
        defer { self.check() }
        self.outstanding = 0
        self.attempt += 1
        if self.attempt == Self.attempts {
            self.attempt = 0
            self.place += 1
        }
        if self.place < self.sizes.count {
            self.deadline = now
        } else {
            self.place = 0
            self.deadline = now + Self.raiseInterval
        }
    }
}
