import Sealing
import Session
import Synchronization

/// What each peer holds over all workers of a server.
///
/// An account lives as long as the process, so that a reload loses no count; there are as many as
/// keys have ever been configured.
final class PeerAccounts: Sendable {
    private final class Account: PeerAccount {
        private let sessions = Atomic(0)
        private let streams = Atomic(0)
        private let flows = Atomic(0)

        func take(_ kind: PeerQuota.Kind, atMost limit: Int) -> Bool {
            if self.change(kind, by: 1) <= limit { return true }
            self.giveBack(kind)
            return false
        }

        func giveBack(_ kind: PeerQuota.Kind) { _ = self.change(kind, by: -1) }

        func held(_ kind: PeerQuota.Kind) -> Int { self.change(kind, by: 0) }

        /// The count after the change.
        private func change(_ kind: PeerQuota.Kind, by delta: Int) -> Int {
            switch kind {
            case .session: self.sessions.wrappingAdd(delta, ordering: .relaxed).newValue
            case .stream: self.streams.wrappingAdd(delta, ordering: .relaxed).newValue
            case .flow: self.flows.wrappingAdd(delta, ordering: .relaxed).newValue
            }
        }
    }

    private let accounts = Mutex<[PublicKey: Account]>([:])

    /// The account of whoever has this key.
    func account(of key: PublicKey) -> any PeerAccount {
        self.accounts.withLock { accounts in
            if let account = accounts[key] { return account }
            let account = Account()
            accounts[key] = account
            return account
        }
    }
}
