/// What the operator wants: `fec` of the configuration.
public enum RedundancyLevel: String, Sendable, CaseIterable {
    /// As much as the measured loss asks for.
    case auto
    /// Nothing; what is lost goes out again only where `delivery` asks for it.
    case off
    /// One copy, in the next message's packet, or one repair for ten: less than three times the
    /// bytes.
    case low
    /// Three copies, or one repair for three.
    case high
}

/// What kind of flow asks for redundancy.
public enum RedundancyClass: UInt8, Sendable, CaseIterable {
    /// Small messages that are of use only in time, as a game's.
    case interactive
    /// A steady flow of sound or picture; it may cost more.
    case realtime
    /// Never gets any: on bulk, redundancy is a loss of goodput and nothing else.
    case bulk
}

/// What a flow adds to its messages.
@frozen
public enum RedundancyPlan: Hashable, Sendable {
    /// Nothing is added.
    case off
    /// Each message is sent again, whole.
    case copies(CopyPlan)
    /// Combinations of several messages are sent beside them.
    case repairs(RepairPlan)

    /// Bytes of a packet that are not messages: IPv4 and UDP 28, record 28, frame 8.
    static let packetOverhead = 64.0

    /// What the plan adds to a flow, in bits per second on the wire.
    public func bitsPerSecond(of traffic: FlowTraffic) -> Double {
        let size = traffic.messageByteCount
        switch self {
        case .off:
            return 0
        case .copies(let plan):
            let packet = Self.packetOverhead + 7 + size
            return traffic.rate * Double(plan.copies) * packet * 8
        case .repairs(let plan):
            let symbol = Double(RepairHeader.byteCount + SymbolShape.prefix) + size
            return traffic.rate / Double(plan.interval) * (Self.packetOverhead + symbol) * 8
        }
    }

    /// The strongest plan of its kind, no stronger than this one, within a budget.
    func fitted(to bitsPerSecond: UInt64, of traffic: FlowTraffic) -> Self {
        var plan = self
        while plan != .off, plan.bitsPerSecond(of: traffic) > Double(bitsPerSecond) {
            plan = plan.weaker
        }
        return plan
    }

    /// The next cheaper plan: fewer copies, rarer repairs.
    private var weaker: Self {
        switch self {
        case .off:
            return .off
        case .copies(var plan):
            guard plan.copies > 1 else { return .off }
            plan.removeLast()
            return .copies(plan)
        case .repairs(var plan):
            guard plan.interval < 20 else { return .off }
            plan.interval += 1
            return .repairs(plan)
        }
    }
}
