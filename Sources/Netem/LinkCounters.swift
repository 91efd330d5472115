/// What became of the packets given to a ``Link``.
///
/// Conservation: `sent + duplicated` equals `delivered`, everything lost or dropped, and what is
/// still in flight.
public struct LinkCounters: Hashable, Sendable {
    public internal(set) var sent: UInt64 = 0
    public internal(set) var delivered: UInt64 = 0

    public internal(set) var lostRandomly: UInt64 = 0
    public internal(set) var lostByChain: UInt64 = 0
    public internal(set) var lostInBursts: UInt64 = 0
    public internal(set) var lostInOutages: UInt64 = 0
    public internal(set) var droppedByQueue: UInt64 = 0
    public internal(set) var droppedTooLarge: UInt64 = 0
    /// The link's own storage was full: a property of the model, not of the path modelled.
    public internal(set) var droppedByStorage: UInt64 = 0

    public internal(set) var duplicated: UInt64 = 0
    public internal(set) var reordered: UInt64 = 0
    public internal(set) var corrupted: UInt64 = 0

    public internal(set) var bytesSent: UInt64 = 0
    public internal(set) var bytesDelivered: UInt64 = 0

    public init() {}

    /// Packets that will never arrive, whatever the cause.
    public var lost: UInt64 {
        self.lostRandomly + self.lostByChain + self.lostInBursts + self.lostInOutages
            + self.droppedByQueue + self.droppedTooLarge + self.droppedByStorage
    }
}
