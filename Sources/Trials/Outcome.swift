/// What one application saw between the end of the warm-up and the end of the trial.
public struct Tally: Sendable {
    /// Bytes that the application received; of echoes none are counted.
    public internal(set) var byteCount: UInt64 = 0
    /// Milliseconds from when a message was due until it was back, sorted at the end.
    public internal(set) var latencies: [Double] = []
    /// Messages that were due in that time.
    public internal(set) var sent = 0
    /// The longest time without a byte, in milliseconds.
    public internal(set) var longestGap = 0.0
    var lastAt: UInt64 = 0

    /// Messages that never came back.
    public var undelivered: Int { self.sent - self.latencies.count }

    /// The latency which `share` of the messages that came back did not exceed.
    public func quantile(_ share: Double) -> Double {
        guard let last = self.latencies.last else { return .infinity }
        let index = Int(share * Double(self.latencies.count))
        return index < self.latencies.count ? self.latencies[index] : last
    }
}

/// What a trial came to.
public struct Outcome: Sendable {
    /// By tunnel and load.
    public internal(set) var tallies: [[Tally]]
    /// What the bottleneck could have carried meanwhile, in bytes.
    public internal(set) var capacity = 0.0
    /// IP bytes given to the path, towards the server and back.
    public internal(set) var wireBytes: [UInt64] = [0, 0]
    /// Packets that the path lost or dropped, towards the server and back.
    public internal(set) var packetsLost: [UInt64] = [0, 0]
    /// Mean and greatest wait at the bottleneck in milliseconds, towards the server and back.
    public internal(set) var meanQueue: [Double] = [0, 0]
    /// The greatest wait, likewise.
    public internal(set) var greatestQueue: [Double] = [0, 0]
    /// Packets that found the bottleneck's queue full.
    public internal(set) var dropped: UInt64 = 0
    /// What the sessions' ends noticed of loss that was none.
    public internal(set) var redundancyBytes: UInt64 = 0

    /// Application bytes as a share of what the bottleneck could have carried.
    public func share(tunnel: Int = 0, load: Int = 0) -> Double {
        Double(self.tallies[tunnel][load].byteCount) / self.capacity
    }

    /// Jain's index over the first loads of the tunnels.
    public var fairness: Double {
        let shares = self.tallies.indices.map { self.share(tunnel: $0) }
        let sum = shares.reduce(0, +)
        let squares = shares.reduce(0) { $0 + $1 * $1 }
        return squares > 0 ? sum * sum / (Double(shares.count) * squares) : 0
    }
}
