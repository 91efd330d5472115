/// What became of the packets given to a ``Link``.
///
/// Conservation: `sent + duplicated` equals `delivered`, everything lost or dropped, and what is
/// still in flight.
public struct LinkCounters: Hashable, Sendable {
    /// Packets given to the link.
    public internal(set) var sent: UInt64 = 0
    /// Packets taken from it, copies included.
    public internal(set) var delivered: UInt64 = 0

    /// Packets lost each by itself, ``Impairment/lossPartsPerMillion``.
    public internal(set) var lostRandomly: UInt64 = 0
    /// Packets lost by the chain, ``Impairment/gilbertElliott``.
    public internal(set) var lostByChain: UInt64 = 0
    /// Packets lost in bad spells, ``Impairment/bursts``.
    public internal(set) var lostInBursts: UInt64 = 0
    /// Packets lost because nothing got through, ``Impairment/outages``.
    public internal(set) var lostInOutages: UInt64 = 0
    /// Packets for which the bottleneck's queue had no room.
    public internal(set) var droppedByQueue: UInt64 = 0
    /// Packets larger than the path takes.
    public internal(set) var droppedTooLarge: UInt64 = 0
    /// The link's own storage was full: a property of the model, not of the path modelled.
    public internal(set) var droppedByStorage: UInt64 = 0

    /// Second copies that were made.
    public internal(set) var duplicated: UInt64 = 0
    /// Packets, copies included, that were held back so that later ones pass.
    public internal(set) var reordered: UInt64 = 0
    /// Packets, copies included, in which bits were flipped.
    public internal(set) var corrupted: UInt64 = 0

    /// Bytes of all packets given to the link.
    public internal(set) var bytesSent: UInt64 = 0
    /// Bytes of all packets taken from it.
    public internal(set) var bytesDelivered: UInt64 = 0

    /// Nothing sent yet.
    public init() {}

    /// Packets that will never arrive, whatever the cause.
    public var lost: UInt64 {
        self.lostRandomly + self.lostByChain + self.lostInBursts + self.lostInOutages
            + self.droppedByQueue + self.droppedTooLarge + self.droppedByStorage
    }
}
