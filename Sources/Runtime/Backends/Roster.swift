import Balancing
import Configuration
import Names
import Primitives

/// One backend that players can be led to: what the configuration lists, or one of the places that
/// a `dns:` or `srv:` entry stands for.
struct BackendMember: Hashable, Sendable {
    /// As written in the configuration; of such a place its address.
    var name: String
    /// What the configuration lists.
    var source: Endpoint
    var addresses: [SocketAddress]
    var weight: Int
    /// Lower ones first.
    var tier = 0

    /// What has to be looked up again when it does not answer; `nil`: nothing.
    var lookedUp: String? { self.source.isName ? self.source.description : nil }

    /// As the probe of a Minecraft server has to call it.
    var endpoint: Endpoint {
        if case .name = self.source { return self.source }
        return self.addresses.first.map { .address($0) } ?? self.source
    }
}

/// The backends of a service as far as names are known.
enum Roster {
    /// Backups of the configuration come after everything that a name may rank.
    private static let backupTier = 1 << 16

    static func members(of service: Service, _ known: KnownNames) -> [BackendMember] {
        var members: [BackendMember] = []
        var taken = Set(service.backends.map(\.endpoint.description))
        for backend in service.backends {
            for member in Self.members(of: backend, known) {
                // What is listed by itself counts as it is listed.
                guard
                    member.name == backend.endpoint.description
                        || taken.insert(member.name).inserted
                else { continue }
                members.append(member)
            }
        }
        return members
    }

    private static func members(of backend: Backend, _ known: KnownNames) -> [BackendMember] {
        let source = backend.endpoint
        let answer = known[source.description]
        let base = backend.isBackup ? Self.backupTier : 0
        let whole = BackendMember(
            name: source.description,
            source: source,
            addresses: source.literal.map { [$0] } ?? answer?.addresses ?? [],
            weight: backend.weight,
            tier: base
        )
        // A name that leads nowhere yet is shown as itself, and gets nobody.
        guard source.isSource, let answer, !answer.places.isEmpty else { return [whole] }
        let places = answer.places.sorted { $0.rank < $1.rank }
        let priorities = Set(places.map(\.priority)).sorted()
        let weights = source.isRanked ? Self.weights(places) : []
        return places.enumerated().map { index, place in
            BackendMember(
                name: place.address.description,
                source: source,
                addresses: [place.address],
                weight: source.isRanked ? weights[index] : backend.weight,
                tier: base + (priorities.firstIndex(of: place.priority) ?? 0)
            )
        }
    }

    /// Weights of SRV records as shares of 1 to 1000: a target's share is that of all its addresses
    /// together, and no weight is next to none (RFC 2782).
    private static func weights(_ places: [NameAnswer.Place]) -> [Int] {
        var counts: [[String]: Int] = [:]
        for place in places { counts[place.server, default: 0] += 1 }
        let most = places.map(\.weight).max() ?? 0
        guard most > 0 else { return places.map { _ in 1 } }
        return places.map { place in
            let share = Int(place.weight) * 1_000 / Int(most)
            return max(1, share / (counts[place.server] ?? 1))
        }
    }
}

extension NameAnswer.Place {
    fileprivate var server: [String] {
        [self.target, String(self.address.port), String(self.priority)]
    }

    /// The same order whatever that of the answer.
    fileprivate var rank: (UInt16, UInt64, UInt64, UInt16) {
        (self.priority, self.address.high, self.address.low, self.address.port)
    }
}

extension BackendSet.Member {
    init(_ member: BackendMember) {
        self.init(name: member.name, weight: member.weight, tier: member.tier)
    }
}
