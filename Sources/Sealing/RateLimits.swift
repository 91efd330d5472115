import CSodium
import Primitives

/// Token buckets of a fixed number of slots, chosen by a keyed hash of the source.
///
/// Two sources may share a slot: that is the price for never allocating on a stranger's behalf. A
/// bucket is one instant, the time when it would be full again (the generic cell rate algorithm of
/// ITU-T I.371).
struct SourceBuckets: ~Copyable {
    private static let slotCount = 4096

    private let fullAt: UnsafeMutablePointer<UInt64>
    private let interval: UInt64
    private let tolerance: UInt64
    let hashKey: (UInt64, UInt64)

    init(perSecond: UInt64, burst: UInt64, entropy: EntropySource) {
        self.init(perSecond: perSecond, burst: burst, hashKey: (entropy.next(), entropy.next()))
    }

    init(perSecond: UInt64, burst: UInt64, hashKey: (UInt64, UInt64)) {
        Sodium.start()
        self.interval = 1_000_000_000 / perSecond
        self.tolerance = self.interval * (burst - 1)
        self.hashKey = hashKey
        self.fullAt = .allocate(capacity: Self.slotCount)
        self.fullAt.initialize(repeating: 0, count: Self.slotCount)
    }

    deinit { self.fullAt.deallocate() }

    /// One bucket per IPv4 address, and per /64 of IPv6, which is what one subscriber gets.
    mutating func take(for source: SocketAddress, at now: Instant) -> Bool {
        let prefix = (source.high, source.isIPv4 ? source.low : 0)
        let slot = Int(SipHash.hash(prefix, key: self.hashKey) % UInt64(Self.slotCount))
        return Bucket.take(
            &self.fullAt[slot],
            interval: self.interval,
            tolerance: self.tolerance,
            at: now
        )
    }
}

enum Bucket {
    /// Takes one token if there is one.
    static func take(
        _ fullAt: inout UInt64,
        interval: UInt64,
        tolerance: UInt64,
        at now: Instant
    ) -> Bool {
        let start = max(fullAt, now.nanoseconds)
        let wait = start - now.nanoseconds  // bound: `max` above
        guard wait <= tolerance else { return false }
        fullAt = start + interval
        return true
    }
}

enum SipHash {
    /// SipHash-2-4-64 of 16 bytes.
    static func hash(_ value: (UInt64, UInt64), key: (UInt64, UInt64)) -> UInt64 {
        var result: UInt64 = 0
        withUnsafePointer(to: value) { value in
            withUnsafePointer(to: key) { key in
                withUnsafeMutablePointer(to: &result) { result in
                    _ = crypto_shorthash(
                        UnsafeMutableRawPointer(result).bytes,
                        UnsafeRawPointer(value).bytes,
                        16,
                        UnsafeRawPointer(key).bytes
                    )
                }
            }
        }
        return result
    }
}

/// What the responder remembers of each client it has accepted: the highest clock reading, and how
/// often it came.
///
/// Forgetting is safe; it only makes replays cost one more answer.
struct ClientLedger {
    private struct Entry {
        var highestMilliseconds: UInt64 = 0
        var fullAt: UInt64 = 0
    }

    private static let capacity = 65_536
    private static let interval: UInt64 = 250_000_000
    private static let tolerance: UInt64 = Self.interval * 7

    private var entries: [PublicKey: Entry] = [:]

    /// Whether this client's clock went back, or this is a recording of an older initiation.
    func isStale(_ milliseconds: UInt64, of client: PublicKey) -> Bool {
        guard let entry = self.entries[client] else { return false }
        return milliseconds <= entry.highestMilliseconds
    }

    /// Four handshakes a second, bursts of eight, whatever addresses they come from.
    mutating func take(for client: PublicKey, at now: Instant) -> Bool {
        if self.entries.count >= Self.capacity { self.entries.removeAll(keepingCapacity: true) }
        return Bucket.take(
            &self.entries[client, default: Entry()].fullAt,
            interval: Self.interval,
            tolerance: Self.tolerance,
            at: now
        )
    }

    /// The highest reading counts: with the last one, recordings played in the order of their
    /// clocks would need one cookie for all of them.
    ///
    /// A clock that was set far ahead once costs a cookie a handshake from then on.
    mutating func accept(_ milliseconds: UInt64, of client: PublicKey) {
        let highest = self.entries[client, default: Entry()].highestMilliseconds
        self.entries[client, default: Entry()].highestMilliseconds = max(highest, milliseconds)
    }
}

/// Notices when initiations come faster than Diffie-Hellman should be computed for them.
struct LoadDetector {
    private static let stickiness = Instant.Interval.seconds(1)

    /// Initiations a second.
    var threshold: Int
    private var windowStart = Instant(nanoseconds: 0)
    private var count = 0
    private var loadedUntil = Instant(nanoseconds: 0)

    init(threshold: Int) { self.threshold = threshold }

    func isLoaded(at now: Instant) -> Bool { now < self.loadedUntil }

    /// Counts one initiation and says whether it has to show a cookie.
    mutating func note(at now: Instant) -> Bool {
        if now.since(self.windowStart) >= .seconds(1) {
            self.windowStart = now
            self.count = 0
        }
        self.count += 1
        if self.count > self.threshold { self.loadedUntil = now + Self.stickiness }
        return self.isLoaded(at: now)
    }
}
