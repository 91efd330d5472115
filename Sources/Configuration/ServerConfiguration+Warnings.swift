extension ServerConfiguration {
    /// What is allowed and yet hardly meant, one sentence each, with what would cure it.
    public var warnings: [String] { self.placeholders + self.hiddenPlayers }

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
