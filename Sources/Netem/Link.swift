public import Primitives

/// One direction of a network path: packets and times in, packets and times out.
///
/// The contract is every engine's: say what happened (``send(_:tag:at:)``), take what is due
/// (``nextDelivery(at:)``) until `nil`, then sleep until ``deadline``. Times given never go back.
/// The same seed and the same calls give the same deliveries, bit for bit; the simulator and the
/// userspace relay are loops around this type.
///
/// A packet meets, in this order: the size limit, the bottleneck with its queue, outages, loss,
/// then delay, jitter, corruption and duplication. Loss comes after the bottleneck, so a lost
/// packet has used capacity, as on a radio last mile.
public final class Link {
    /// May change at any time and governs the packets sent from then on.
    public var impairment: Impairment
    /// What became of all packets so far.
    public private(set) var counters = LinkCounters()

    private var random: SeededGenerator
    private var flight: PacketHeap
    /// When the bottleneck will have sent everything queued before it.
    private var idleAt = Instant(nanoseconds: 0)
    /// The latest arrival so far of packets that keep their order.
    private var lastDue = Instant(nanoseconds: 0)
    private var isChainBad = false
    private var isBurst = false
    private var spellEnd: Instant?

    /// A packet that arrives.
    public struct Delivery {
        /// Valid until the next ``Link/send(_:tag:at:)``.
        public let bytes: UnsafeRawBufferPointer
        /// What the sender attached.
        public let tag: UInt64
        /// When it arrived, which may be earlier than when it was asked for.
        public let due: Instant
    }

    /// - Parameter capacity: packets that can be in flight or queued at once; more are dropped and
    ///   counted.
    public init(impairment: Impairment = Impairment(), seed: UInt64, capacity: Int = 4_096) {
        self.impairment = impairment
        self.random = SeededGenerator(seed: seed)
        self.flight = PacketHeap(capacity: capacity)
    }

    /// Packets that will still arrive.
    public var inFlightCount: Int { self.flight.count }

    /// When the next packet arrives; ``Instant/never`` when none is under way.
    public var deadline: Instant { self.flight.firstDue }

    /// Gives a packet to the path.
    ///
    /// The bytes are copied; `tag` travels along unseen and unharmed.
    public func send(_ bytes: UnsafeRawBufferPointer, tag: UInt64 = 0, at now: Instant) {
        self.counters.sent += 1
        self.counters.bytesSent += UInt64(bytes.count)
        guard bytes.count <= self.impairment.maximumPacketByteCount else {
            self.counters.droppedTooLarge += 1
            return
        }
        guard let departure = self.passBottleneck(byteCount: bytes.count, at: now) else {
            self.counters.droppedByQueue += 1
            return
        }
        guard !self.isLost(at: departure) else { return }
        self.launch(bytes, tag: tag, at: departure)
        if self.happens(self.impairment.duplicationPartsPerMillion) {
            self.counters.duplicated += 1
            self.launch(bytes, tag: tag, at: departure)
        }
    }

    /// The next packet that has arrived by `now`, in order of arrival.
    public func nextDelivery(at now: Instant) -> Delivery? {
        let due = self.flight.firstDue
        guard due <= now, due != .never else { return nil }
        let (bytes, tag) = self.flight.removeFirst()
        self.counters.delivered += 1
        self.counters.bytesDelivered += UInt64(bytes.count)
        return Delivery(bytes: bytes, tag: tag, due: due)
    }

    /// When the packet has left the bottleneck, or `nil` if the queue before it is full.
    private func passBottleneck(byteCount: Int, at now: Instant) -> Instant? {
        let rate = self.impairment.bitsPerSecond
        guard rate > 0 else { return now }
        let size = UInt64(byteCount) + self.impairment.headerByteCount
        let start = max(self.idleAt, now)
        let wait = start.since(now).nanoseconds.multipliedFullWidth(by: rate)
        let bitNanoseconds: UInt64 = 8_000_000_000
        guard wait.high < bitNanoseconds else { return nil }
        let queued = bitNanoseconds.dividingFullWidth(wait).quotient
        // An idle link takes any packet: it is being sent, not queued.
        guard queued == 0 || queued + size <= self.impairment.queueByteCount else { return nil }
        let duration = (size * bitNanoseconds).quotientRoundedUp(by: rate)
        self.idleAt = start + Instant.Interval(nanoseconds: duration)
        return self.idleAt
    }

    private func isLost(at departure: Instant) -> Bool {
        for outage in self.impairment.outages where outage.contains(departure) {
            self.counters.lostInOutages += 1
            return true
        }
        // Every process moves on with every packet, whichever of them loses it.
        let isLostInBurst = self.isLostInBurst(at: departure)
        let isLostByChain = self.isLostByChain()
        let isLostRandomly = self.happens(self.impairment.lossPartsPerMillion)
        if isLostInBurst {
            self.counters.lostInBursts += 1
        } else if isLostByChain {
            self.counters.lostByChain += 1
        } else if isLostRandomly {
            self.counters.lostRandomly += 1
        }
        return isLostInBurst || isLostByChain || isLostRandomly
    }

    private func isLostByChain() -> Bool {
        guard let chain = self.impairment.gilbertElliott else { return false }
        let change = self.isChainBad ? chain.toGoodPartsPerMillion : chain.toBadPartsPerMillion
        if self.happens(change) { self.isChainBad.toggle() }
        return self.happens(
            self.isChainBad ? chain.lossInBadPartsPerMillion : chain.lossInGoodPartsPerMillion
        )
    }

    private func isLostInBurst(at departure: Instant) -> Bool {
        guard let bursts = self.impairment.bursts else { return false }
        var end = self.spellEnd ?? departure + self.drawSpell(mean: bursts.meanGap)
        while end <= departure {
            self.isBurst.toggle()
            end = end + self.drawSpell(mean: self.isBurst ? bursts.meanLength : bursts.meanGap)
        }
        self.spellEnd = end
        return self.isBurst && self.happens(bursts.lossPartsPerMillion)
    }

    /// At least a microsecond, so that catching up after a silence ends.
    private func drawSpell(mean: Instant.Interval) -> Instant.Interval {
        max(.microseconds(1), .init(nanoseconds: self.random.exponential(mean: mean.nanoseconds)))
    }

    /// Puts one copy in flight.
    private func launch(_ bytes: UnsafeRawBufferPointer, tag: UInt64, at departure: Instant) {
        var due = departure + self.impairment.delay
        if self.impairment.jitter != .zero {
            let jitter = self.random.below(self.impairment.jitter.nanoseconds + 1)
            due = due + Instant.Interval(nanoseconds: jitter)
        }
        if self.happens(self.impairment.reorderPartsPerMillion) {
            self.counters.reordered += 1
            due = due + self.impairment.reorderHold
        } else if !self.impairment.jitterReorders {
            due = max(due, self.lastDue)
            self.lastDue = due
        }
        guard let copy = self.flight.insert(bytes, tag: tag, due: due) else {
            self.counters.droppedByStorage += 1
            return
        }
        if !copy.isEmpty, self.happens(self.impairment.corruptionPartsPerMillion) {
            self.corrupt(copy)
        }
    }

    /// Flips an odd number of bits, so that no two flips can undo each other entirely.
    private func corrupt(_ bytes: UnsafeMutableRawBufferPointer) {
        self.counters.corrupted += 1
        for _ in 0..<(self.random.next() & 1 == 0 ? 1 : 3) {
            let bit = Int(self.random.below(UInt64(bytes.count) * 8))
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
        }
    }

    private func happens(_ partsPerMillion: UInt32) -> Bool {
        partsPerMillion > 0 && self.random.chance(UInt64(partsPerMillion), in: 1_000_000)
    }
}

extension UInt64 {
    fileprivate func quotientRoundedUp(by divisor: UInt64) -> UInt64 {
        let (quotient, remainder) = self.quotientAndRemainder(dividingBy: divisor)
        return remainder == 0 ? quotient : quotient + 1
    }
}
