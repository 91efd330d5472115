import Primitives

/// Where a session's packets go, and whether that address has shown that it wants them.
///
/// RFC 9000 §8.1 and §9: an address that turns up under an authenticated packet gets at most three
/// times the bytes that came from it until it has echoed a token of its own, and the address that
/// was proven before is kept to fall back to.
struct Path {
    /// An address that has not echoed its token yet.
    private struct Candidate {
        let address: SocketAddress
        /// Only this address is told it, and only from here its echo counts.
        let token: UInt64
        /// Bytes that may still go there.
        var budget: Int
    }

    /// Candidates remembered; what a forgotten one had not spent is lost.
    private static let candidateLimit = 4

    /// Where packets go.
    private(set) var address: SocketAddress
    /// The last address that proved that it gets what is sent there.
    private(set) var proven: SocketAddress
    /// The newest last: it is ``address`` while that is not proven.
    private var candidates: [Candidate] = []
    /// What the proven address echoes to bring the session back.
    private var recall: UInt64?
    private(set) var deadline = Instant.never

    init(address: SocketAddress) {
        self.address = address
        self.proven = address
    }

    /// What holds between any two calls; looked at where asserts are.
    private func check() {
        assert(self.candidates.count <= Self.candidateLimit)
        assert(self.candidates.allSatisfy { $0.address != self.proven }, "proven, and asked again")
        assert(self.isValidated || self.candidates.last?.address == self.address)
        assert(self.isValidated == (self.deadline == .never), "a move without an end")
    }

    var isValidated: Bool { self.address == self.proven }

    /// Bytes that may go out now.
    var allowance: Int { self.allowance(for: self.address) }

    func allowance(for address: SocketAddress) -> Int {
        if address == self.proven { return .max }
        return self.index(of: address).map { self.candidates[$0].budget } ?? 0
    }

    mutating func spend(_ count: Int, to address: SocketAddress) {
        guard address != self.proven, let index = self.index(of: address) else { return }
        self.candidates[index].budget -= count
    }

    /// An authentic packet came from `address`.
    mutating func arrived(_ count: Int, from address: SocketAddress) {
        guard address != self.proven, let index = self.index(of: address) else { return }
        self.candidates[index].budget += 3 * count
    }

    private func index(of address: SocketAddress) -> Int? {
        self.candidates.lastIndex { $0.address == address }
    }

    /// What the two addresses are asked for.
    struct Challenge {
        /// For the new address.
        var token: UInt64
        /// For the proven one.
        var recall: UInt64
    }

    /// An authentic packet of `byteCount` bytes with the highest number so far came from `address`,
    /// which is neither the present one nor the proven one.
    ///
    /// The draws of `challenge` are only used where there is no token yet: one who moves to and fro
    /// gets nothing anew.
    mutating func move(
        to address: SocketAddress,
        byteCount: Int,
        drawing challenge: Challenge,
        patience: Instant.Interval,
        at now: Instant
    ) -> Challenge {
        let candidate =
            self.index(of: address).map { self.candidates.remove(at: $0) }
            ?? Candidate(address: address, token: challenge.token, budget: 3 * byteCount)
        if self.candidates.count == Self.candidateLimit { self.candidates.removeFirst() }
        self.candidates.append(candidate)
        self.address = address
        self.deadline = now + patience
        let recall = self.recall ?? challenge.recall
        self.recall = recall
        self.check()
        return Challenge(token: candidate.token, recall: recall)
    }

    /// The echo of `token` came from `source`: the address that was left, if this settles a move.
    mutating func echoed(_ token: UInt64, from source: SocketAddress) -> SocketAddress? {
        if source == self.proven {
            if token == self.recall { self.fallBack() }
            return nil
        }
        guard source == self.address, let index = self.index(of: source),
            self.candidates[index].token == token
        else { return nil }
        let previous = self.proven
        self.candidates.remove(at: index)
        self.proven = source
        self.recall = nil
        self.deadline = .never
        self.check()
        return previous
    }

    /// No echo in time, or news from the proven address: back to that.
    mutating func fallBack() {
        self.address = self.proven
        self.deadline = .never
        self.check()
    }
}
