import Primitives

/// Loses and delays datagrams, so that later ones overtake; seeded, one for each direction.
struct BadLink {
    private let lossPercent: UInt64
    private let jitter: UInt64
    private let delay: UInt64
    private var generator: SeededGenerator
    private var underway: [(dueAt: Instant, bytes: [UInt8])] = []

    init(lossPercent: UInt64, jitterMilliseconds: UInt64, seed: UInt64) {
        self.lossPercent = lossPercent
        self.jitter = jitterMilliseconds
        self.delay = 5
        self.generator = SeededGenerator(seed: seed)
    }

    var deadline: Instant { self.underway.map(\.dueAt).min() ?? .never }

    mutating func take(_ bytes: some Sequence<UInt8>, at now: Instant) {
        guard !self.generator.chance(self.lossPercent, in: 100) else { return }
        let delay = self.delay + self.generator.below(self.jitter + 1)
        self.underway.append((now + .milliseconds(delay), Array(bytes)))
    }

    /// What comes out by now, in the order of arrival.
    mutating func arrivals(at now: Instant) -> [[UInt8]] {
        let due = self.underway.filter { $0.dueAt <= now }
        self.underway.removeAll { $0.dueAt <= now }
        return due.sorted { $0.dueAt < $1.dueAt }.map(\.bytes)
    }
}

/// The bytes one side sends: a linear congruential generator that is three lines in any language.
struct Payload {
    private var state: UInt32
    private var messages = 0

    init(seed: UInt32) { self.state = seed }

    mutating func next() -> UInt8 {
        self.state = (self.state &* 1_103_515_245 &+ 12345) & 0x7FFF_FFFF
        return UInt8(truncatingIfNeeded: self.state >> 16)
    }

    mutating func next(_ count: Int) -> [UInt8] { (0..<count).map { _ in self.next() } }

    /// The size of the next message.
    mutating func nextMessageSize() -> Int {
        self.messages += 1
        return 1 + self.messages * 997 % 3000
    }
}
