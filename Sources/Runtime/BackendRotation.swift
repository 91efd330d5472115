import Primitives

/// A service's backends and whose turn it is: round robin by weight, backups when nothing else has
/// an address.
struct BackendRotation {
    struct Member {
        /// As written in the configuration.
        var name: String
        var weight: Int
        var isBackup: Bool
        /// What the name resolves to now; the first one is used.
        var addresses: [SocketAddress]
        /// The smooth weighted round robin's running credit (nginx, upstream round robin).
        var credit = 0
    }

    private(set) var members: [Member]

    init(_ members: [Member]) { self.members = members }

    /// The backend for a new stream or flow, other than `excluded`; `nil` if none has an address.
    mutating func next(excluding excluded: Int? = nil) -> Int? {
        self.next(excluded, backups: false) ?? self.next(excluded, backups: true)
    }

    private mutating func next(_ excluded: Int?, backups: Bool) -> Int? {
        var total = 0
        var best: Int?
        for index in self.members.indices {
            let member = self.members[index]
            guard index != excluded, member.isBackup == backups, !member.addresses.isEmpty else {
                continue
            }
            total += member.weight
            self.members[index].credit += member.weight
            if let held = best, self.members[held].credit >= self.members[index].credit { continue }
            best = index
        }
        if let best { self.members[best].credit -= total }
        return best
    }

    mutating func resolved(_ name: String, to addresses: [SocketAddress]) {
        for index in self.members.indices where self.members[index].name == name {
            self.members[index].addresses = addresses
        }
    }
}
