public import Sealing

extension ServerConfiguration {
    /// What is allowed and yet hardly meant, one sentence each, with what would cure it.
    public var warnings: [String] { self.placeholders + self.hiddenPlayers }

    /// The same, and what only shows beside the private key.
    public func warnings(besides own: PublicKey) -> [String] {
        let mistaken = self.peers.filter { $0.publicKey == own }.map { peer in
            "public_key of the peer \(Complaint.oneLine(peer.name)) is the public key of this"
                + " file's own private_key; put in that client's, as it prints there: fairlead"
                + " pubkey KEY-FILE"
        }
        return mistaken + self.warnings
    }

    private var hiddenPlayers: [String] {
        self.services.compactMap { service in
            guard service.origin != .none else { return nil }
            let users = self.peers.filter {
                $0.mayUseEveryService || $0.services.contains(service.name)
            }
            guard !users.isEmpty, users.allSatisfy({ $0.origins == nil }) else { return nil }
            let names = users.map { "\"\($0.name)\"" }.joined(separator: ", ")
            return "service \"\(service.name)\" has origin = \"\(service.origin.rawValue)\", but"
                + " its backends will see the client instead of its players: no [[peer]] that may"
                + " use it has origins; to show players, add"
                + " origins = [\"0.0.0.0/0\", \"::/0\"] to [[peer]] \(names)"
        }
    }
}
