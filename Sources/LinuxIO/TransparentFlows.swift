import Glibc
public import Primitives
import Synchronization

/// Which player speaks with which backend over UDP, for the whole process.
///
/// The kernel lets a second socket with the same two ends take the replies of the first without a
/// word. Workers therefore claim the pair before they open the socket. Used when a flow begins and
/// ends, never for a packet.
public final class TransparentFlows: Sendable {
    /// A claim; give it back with ``release(_:)`` when the socket is closed.
    public struct Claim: Hashable, Sendable {
        fileprivate let pair: Pair
        fileprivate let number: UInt64
        /// Whether it replaced an older claim of the same owner.
        public let isTakeOver: Bool
    }

    fileprivate struct Pair: Hashable, Sendable {
        let player: SocketAddress
        let backend: SocketAddress
    }

    private struct Holder {
        let owner: UInt64
        let number: UInt64
    }

    private struct Table {
        var holders: [Pair: Holder] = [:]
        var nextNumber: UInt64 = 1
    }

    private let table = Mutex(Table())
    private let limit: Int

    /// Allows at most `limit` claims at a time.
    public init(limit: Int) { self.limit = limit }

    /// How many pairs are claimed now, over all workers.
    public var count: Int { self.table.withLock { $0.holders.count } }

    /// Claims the pair for `owner`, the number of the peer that leads the player here.
    ///
    /// The same owner may claim again, which happens when a client restarts while the server still
    /// keeps the flow of the old session: the newer socket gets the replies. Another owner may not.
    public func claim(
        player: SocketAddress,
        backend: SocketAddress,
        owner: UInt64
    ) throws(TransparentFailure) -> Claim {
        let pair = Pair(player: player, backend: backend)
        return try self.table.withLock { table throws(TransparentFailure) in
            let holder = table.holders[pair]
            if let holder, holder.owner != owner {
                throw TransparentFailure(.flowExists, IOError(code: EADDRINUSE, call: "bind"))
            }
            guard holder != nil || table.holders.count < self.limit else {
                throw TransparentFailure(.limit, IOError(code: EMFILE, call: "socket"))
            }
            let number = table.nextNumber
            table.nextNumber += 1
            table.holders[pair] = Holder(owner: owner, number: number)
            return Claim(pair: pair, number: number, isTakeOver: holder != nil)
        }
    }

    /// Gives a claim back; nothing happens if it has been taken over since.
    public func release(_ claim: Claim) {
        self.table.withLock { table in
            guard table.holders[claim.pair]?.number == claim.number else { return }
            table.holders[claim.pair] = nil
        }
    }

    /// Whether somebody else has taken the pair over since.
    public func isStale(_ claim: Claim) -> Bool {
        self.table.withLock { $0.holders[claim.pair]?.number != claim.number }
    }
}
