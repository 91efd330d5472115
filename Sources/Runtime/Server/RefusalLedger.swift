public import Primitives
import Configuration
import Sealing

/// How often one key has been turned away for one reason.
public struct RefusalTally: Sendable {
    /// As the logs of both ends and the client's `connect-failed` name it.
    public var reason: String
    /// The client's public key, as the configuration writes it.
    public var key: String
    /// The name in the configuration; `nil` for an unknown key.
    public var peer: String?
    /// Where the last one came from.
    public var from: SocketAddress
    /// How often, since the entry was made.
    public var count: UInt64
    /// When the last one came, in whole seconds since 1970.
    public var last: Int
}

/// Whom a server has turned away, for its operator: the latest keys, and a total for each reason.
///
/// Whoever knows the server's public key can make up as many keys as it likes, so that only
/// ``capacity`` are kept; the one that was silent longest makes room.
struct RefusalLedger {
    static let capacity = 64

    private(set) var tallies: [RefusalTally] = []
    /// Every refusal since the process started, by reason.
    private(set) var totals: [String: UInt64] = [:]

    mutating func note(
        _ reason: String,
        key: String,
        peer: String?,
        from source: SocketAddress,
        at time: Int
    ) {
        self.totals[reason, default: 0] &+= 1
        if let index = self.tallies.firstIndex(where: { $0.key == key && $0.reason == reason }) {
            self.tallies[index].count &+= 1
            self.tallies[index].from = source
            self.tallies[index].peer = peer
            self.tallies[index].last = time
            return
        }
        if self.tallies.count == Self.capacity {
            let oldest = self.tallies.indices.min { self.tallies[$0].last < self.tallies[$1].last }
            if let oldest { self.tallies.remove(at: oldest) }
        }
        self.tallies.append(
            RefusalTally(
                reason: reason,
                key: key,
                peer: peer,
                from: source,
                count: 1,
                last: time
            )
        )
    }

    /// The same key may come to several workers.
    mutating func add(_ other: [RefusalTally]) {
        for tally in other {
            let same = self.tallies.firstIndex {
                $0.key == tally.key && $0.reason == tally.reason
            }
            guard let same else {
                self.tallies.append(tally)
                continue
            }
            self.tallies[same].count &+= tally.count
            if self.tallies[same].last < tally.last {
                self.tallies[same].last = tally.last
                self.tallies[same].from = tally.from
                self.tallies[same].peer = tally.peer
            }
        }
        self.tallies.sort { $0.last > $1.last }
        self.tallies.removeLast(max(0, self.tallies.count - Self.capacity))
    }
}
