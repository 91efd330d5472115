public import Sealing

/// What one peer may hold at a server, over all its sessions.
public struct PeerQuota: Sendable, Hashable {
    /// What is counted.
    public enum Kind: Int, CaseIterable, Sendable { case session, stream, flow }

    /// Sessions at a time, over all engines of the process.
    public var maximumSessions = 4
    /// Streams at a time, over all sessions.
    public var maximumStreams = 4096
    /// UDP flows at a time, over all sessions.
    public var maximumFlows = 4096
    /// Bytes a second on the wire that the peer may send, its sessions together; `nil`: any.
    public var rateUp: UInt64?
    /// The same for what it is sent.
    public var rateDown: UInt64?
    /// Whether its key is good at all at the moment.
    public var isEnabled = true

    /// The defaults of `[[peer]]`, with any rate.
    public init() {}

    func limit(_ kind: Kind) -> Int {
        switch kind {
        case .session: self.maximumSessions
        case .stream: self.maximumStreams
        case .flow: self.maximumFlows
        }
    }
}

/// Counts what one peer holds, over all engines of a process.
///
/// Engines of several threads share an account where there are several; nothing of it is called per
/// packet.
public protocol PeerAccount: AnyObject, Sendable {
    /// Takes one if fewer than `limit` are held.
    func take(_ kind: PeerQuota.Kind, atMost limit: Int) -> Bool
    /// Gives one back that was taken.
    func giveBack(_ kind: PeerQuota.Kind)
    /// How many are held now.
    func held(_ kind: PeerQuota.Kind) -> Int
}

/// The accounts of the peers of one engine that has no siblings.
public final class LonePeerAccounts {
    // One thread owns the engine, and nobody else has its accounts.
    private final class Account: PeerAccount, @unchecked Sendable {
        private var counts = [Int](repeating: 0, count: PeerQuota.Kind.allCases.count)

        func take(_ kind: PeerQuota.Kind, atMost limit: Int) -> Bool {
            guard self.counts[kind.rawValue] < limit else { return false }
            self.counts[kind.rawValue] += 1
            return true
        }

        func giveBack(_ kind: PeerQuota.Kind) {
            precondition(self.counts[kind.rawValue] > 0, "given back what was not taken")
            self.counts[kind.rawValue] -= 1
        }

        func held(_ kind: PeerQuota.Kind) -> Int { self.counts[kind.rawValue] }
    }

    private var accounts: [PublicKey: Account] = [:]

    /// Accounts in which nothing is held.
    public init() {}

    /// The account of whoever has this key.
    public func account(of key: PublicKey) -> any PeerAccount {
        if let account = self.accounts[key] { return account }
        let account = Account()
        self.accounts[key] = account
        return account
    }
}

/// One thing that a peer holds; given back when this ends.
struct Holding: ~Copyable {
    private let account: any PeerAccount
    private let kind: PeerQuota.Kind

    /// `nil` when the peer holds as much as it may.
    init?(_ kind: PeerQuota.Kind, of account: any PeerAccount, under quota: PeerQuota) {
        guard account.take(kind, atMost: quota.limit(kind)) else { return nil }
        self.account = account
        self.kind = kind
    }

    deinit { self.account.giveBack(self.kind) }
}
