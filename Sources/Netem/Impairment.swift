public import Primitives

/// What one direction of a path does to the packets on it.
///
/// Every field left at its default does nothing. Probabilities are whole parts per million and all
/// times are whole nanoseconds, because a run that used floating point could not be replayed
/// elsewhere.
public struct Impairment: Hashable, Sendable {
    /// One-way propagation delay.
    public var delay: Instant.Interval = .zero
    /// Added to the delay of each packet, drawn evenly from zero to this.
    public var jitter: Instant.Interval = .zero
    /// Whether jitter may let a packet overtake an earlier one; otherwise it waits behind it.
    public var jitterReorders = false

    /// Each packet alone is lost with this probability.
    public var lossPartsPerMillion: UInt32 = 0
    /// Loss that comes in runs counted in packets.
    public var gilbertElliott: GilbertElliott?
    /// Loss that comes in runs counted in time.
    public var bursts: Bursts?

    /// A packet that is delivered once more, both copies with their own jitter.
    public var duplicationPartsPerMillion: UInt32 = 0
    /// A packet that is held back by ``reorderHold`` while later ones pass.
    public var reorderPartsPerMillion: UInt32 = 0
    /// How much later than its turn a packet held back arrives.
    public var reorderHold: Instant.Interval = .milliseconds(5)
    /// A packet in which one or three bits are flipped.
    public var corruptionPartsPerMillion: UInt32 = 0

    /// Bottleneck in bits per second, 0 for none.
    public var bitsPerSecond: UInt64 = 0
    /// What may wait before the bottleneck; a packet that does not fit is dropped (drop tail).
    public var queueByteCount: UInt64 = 256 * 1024
    /// What the bottleneck carries besides the bytes it is given: IPv4 and UDP headers.
    public var headerByteCount: UInt64 = 28

    /// Packets of more bytes than this vanish, as in a path that filters "fragmentation needed".
    public var maximumPacketByteCount = 65_535
    /// Spans in which nothing gets through; the queue before the bottleneck keeps draining into
    /// the void.
    public var outages: [Range<Instant>] = []

    /// A path that does nothing to packets and takes no time.
    public init() {}

    /// A two-state Markov chain that moves once per packet (Gilbert 1960, Elliott 1963).
    public struct GilbertElliott: Hashable, Sendable {
        /// Chance per packet to go from the good state to the bad one.
        public var toBadPartsPerMillion: UInt32
        /// Chance per packet to come back; its inverse is the mean burst length in packets.
        public var toGoodPartsPerMillion: UInt32
        /// Loss of each packet while the chain is in its bad state.
        public var lossInBadPartsPerMillion: UInt32
        /// Loss of each packet while it is in its good state.
        public var lossInGoodPartsPerMillion: UInt32

        /// A chain by its four chances, each in parts per million of packets.
        public init(
            toBad: UInt32,
            toGood: UInt32,
            lossInBad: UInt32 = 1_000_000,
            lossInGood: UInt32 = 0
        ) {
            self.toBadPartsPerMillion = toBad
            self.toGoodPartsPerMillion = toGood
            self.lossInBadPartsPerMillion = lossInBad
            self.lossInGoodPartsPerMillion = lossInGood
        }

        /// The chain whose long-run loss is `loss` and whose bursts last `meanPackets` packets.
        public static func averaging(lossPartsPerMillion loss: UInt32, meanPackets: UInt32) -> Self
        {
            precondition(loss < 1_000_000 && meanPackets > 0)
            let toGood = 1_000_000 / UInt64(meanPackets)
            let toBad = toGood * UInt64(loss) / (1_000_000 - UInt64(loss))
            return Self(toBad: UInt32(min(toBad, 1_000_000)), toGood: UInt32(toGood))
        }
    }

    /// Good and bad spells with exponentially distributed lengths, whatever is sent meanwhile.
    public struct Bursts: Hashable, Sendable {
        /// Mean length of the good spells.
        public var meanGap: Instant.Interval
        /// Mean length of the bad ones.
        public var meanLength: Instant.Interval
        /// Loss of each packet within a bad spell.
        public var lossPartsPerMillion: UInt32

        /// Spells by their mean lengths, in the bad ones of which all packets are lost by default.
        public init(
            meanGap: Instant.Interval,
            meanLength: Instant.Interval,
            lossPartsPerMillion: UInt32 = 1_000_000
        ) {
            self.meanGap = meanGap
            self.meanLength = meanLength
            self.lossPartsPerMillion = lossPartsPerMillion
        }

        /// Bad spells of `meanLength` that cover `loss` of all time.
        public static func averaging(
            lossPartsPerMillion loss: UInt32,
            meanLength: Instant.Interval
        ) -> Self {
            precondition(loss > 0 && loss < 1_000_000)
            let gap = meanLength.nanoseconds / UInt64(loss) * (1_000_000 - UInt64(loss))
            return Self(meanGap: Instant.Interval(nanoseconds: gap), meanLength: meanLength)
        }
    }
}
