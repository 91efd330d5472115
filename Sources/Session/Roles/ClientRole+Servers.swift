import Primitives
import Sealing

// Where the server is, as names say.
extension ClientRole {
    /// Whether an answer from there is one to what has been asked.
    func isTarget(_ source: SocketAddress) -> Bool { self.targets.contains(source) }

    /// A cookie is for the machine it came from.
    func hurry(to source: SocketAddress) {
        guard let index = self.targets.firstIndex(of: source) else { return }
        self.initiator.addresses.index = index
    }

    /// The address that worked last comes first, one that has just said no last.
    ///
    /// A session that is well is renewed at its own address alone: of two initiations that continue
    /// it, a server takes the second one's keys.
    func chooseTargets(isRenewal: Bool) {
        self.targets = self.addresses
        if let session = self.session, isRenewal, !self.isInDoubt {
            self.targets = [session.leg.path.address]
        } else if let known = self.session?.leg.path.address ?? self.lastServer,
            let index = self.targets.firstIndex(of: known)
        {
            self.targets.insert(self.targets.remove(at: index), at: 0)
        }
        if let last = self.lastRefusing, let index = self.targets.firstIndex(of: last) {
            self.targets.append(self.targets.remove(at: index))
        }
        self.initiator.addresses.count = self.targets.count
        self.initiator.addresses.index = 0
    }

    /// The resolver's news: a handshake under way begins anew if its server is elsewhere now.
    func replace(servers: [[SocketAddress]]) {
        let place = { (address: SocketAddress) in servers.firstIndex { $0.contains(address) } }
        let tried = self.isElsewhere ? place(self.server) : nil
        let before = Set(self.addresses)
        self.servers = servers
        let last = max(0, servers.count - 1)
        self.sessionPlace =
            self.session.flatMap { place($0.leg.path.address) } ?? min(self.sessionPlace, last)
        self.serverPlace =
            tried ?? (self.session == nil ? min(self.serverPlace, last) : self.sessionPlace)
        if self.initiator.isActive {
            guard Set(self.addresses) != before else { return }
            self.initiator.cancel()
        } else if self.session != nil, !self.isInDoubt {
            return
        }
        self.restart(at: Instant(nanoseconds: 0))
    }
}
