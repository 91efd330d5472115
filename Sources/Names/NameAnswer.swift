public import Primitives

/// What a name leads to.
public struct NameAnswer: Hashable, Sendable {
    /// One address, and what is said of the host that has it.
    public struct Place: Hashable, Sendable {
        /// Address and port, the latter from the SRV record or the question.
        public var address: SocketAddress
        /// The host; two places of one target are two ways to one server.
        public var target: String
        /// Lower ones first (RFC 2782); 0 without a SRV record.
        public var priority: UInt16
        /// The share among equal priorities; 0 without a SRV record.
        public var weight: UInt16

        /// One address of `target`; a name without SRV records has priority and weight 0.
        public init(
            _ address: SocketAddress,
            target: String,
            priority: UInt16 = 0,
            weight: UInt16 = 0
        ) {
            self.address = address
            self.target = target
            self.priority = priority
            self.weight = weight
        }
    }

    /// In the order of preference (RFC 6724) within each target.
    public var places: [Place]
    /// How long this is true, as whoever said it thinks.
    public var timeToLive: Instant.Interval
    /// Targets of SRV records whose addresses could not be had.
    public var missing: [ServiceRecord]

    /// An answer out of its parts; a time to live of zero asks to look again soon.
    public init(
        _ places: [Place],
        timeToLive: Instant.Interval = .zero,
        missing: [ServiceRecord] = []
    ) {
        self.places = places
        self.timeToLive = timeToLive
        self.missing = missing
    }

    /// One host's addresses.
    public init(_ addresses: [SocketAddress]) {
        self.init(addresses.map { Place($0, target: "") })
    }

    /// All addresses in the order of ``places``, one that two targets share twice.
    public var addresses: [SocketAddress] { self.places.map(\.address) }

    /// Whether both lead to the same places, in whatever order.
    public func isSame(as other: Self) -> Bool { Set(self.places) == Set(other.places) }

    /// The places of targets that are missing here and were known `before` stay.
    public func completed(from before: Self?) -> Self {
        guard let before, !self.missing.isEmpty else { return self }
        var whole = self
        for record in self.missing {
            for var place in before.places
            where place.target == record.target && place.address.port == record.port {
                place.priority = record.priority
                place.weight = record.weight
                whole.places.append(place)
            }
        }
        return whole
    }
}

extension NameAnswer {
    /// The servers in the order in which they are to be tried, each with all its addresses.
    ///
    /// Servers: by priority, and by chance among equals, as weights say (RFC 2782). Addresses: the
    /// preferred one first, then of both families in turn (RFC 8305 §4). `draw` is a source of
    /// chance.
    public func servers(_ draw: () -> UInt64) -> [[SocketAddress]] {
        var targets: [(place: Place, addresses: [SocketAddress])] = []
        for place in self.places {
            let index = targets.firstIndex {
                $0.place.target == place.target && $0.place.address.port == place.address.port
                    && $0.place.priority == place.priority
            }
            if let index {
                targets[index].addresses.append(place.address)
            } else {
                targets.append((place, [place.address]))
            }
        }
        // Those without weight first, so that they have the smallest chance (RFC 2782).
        targets.sort {
            ($0.place.priority, $0.place.weight > 0 ? 1 : 0)
                < ($1.place.priority, $1.place.weight > 0 ? 1 : 0)
        }
        var order: [[SocketAddress]] = []
        while let priority = targets.first?.place.priority {
            let equals = targets.prefix { $0.place.priority == priority }
            let total = equals.reduce(0) { $0 + UInt64($1.place.weight) }
            let number = draw() % (total + 1)
            var sum: UInt64 = 0
            let chosen = equals.firstIndex {
                sum += UInt64($0.place.weight)
                return sum >= number
            }
            order.append(Self.interleaved(targets.remove(at: chosen ?? 0).addresses))
        }
        return order
    }

    /// Both families in turn, beginning with that of the first address.
    static func interleaved(_ addresses: [SocketAddress]) -> [SocketAddress] {
        guard let first = addresses.first else { return [] }
        let same = addresses.filter { $0.isIPv4 == first.isIPv4 }
        let other = addresses.filter { $0.isIPv4 != first.isIPv4 }
        return (0..<max(same.count, other.count)).flatMap { index in
            [same, other].compactMap { index < $0.count ? $0[index] : nil }
        }
    }
}
