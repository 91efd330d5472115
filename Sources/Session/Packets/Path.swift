import Primitives

/// Where a session's packets go, and whether that address has shown that it wants them.
///
/// RFC 9000 §8.1 and §9: an address that changes under an authenticated packet gets at most three
/// times the bytes it sent until it has echoed a token, and the old one is kept to fall back to.
struct Path {
    private(set) var address: SocketAddress
    private(set) var previous: SocketAddress?
    /// The challenge that waits for its echo.
    private(set) var token: UInt64?
    private var budget = 0
    private(set) var deadline = Instant.never

    init(address: SocketAddress) { self.address = address }

    var isValidated: Bool { self.token == nil }

    /// Bytes that may go out now.
    var allowance: Int { self.isValidated ? .max : self.budget }

    mutating func spend(_ count: Int) {
        if !self.isValidated { self.budget -= count }
    }

    mutating func arrived(_ count: Int) {
        if !self.isValidated { self.budget += 3 * count }
    }

    /// An authentic packet with the highest number so far came from `address`.
    mutating func move(
        to address: SocketAddress,
        token: UInt64,
        patience: Instant.Interval,
        at now: Instant
    ) {
        if self.isValidated { self.previous = self.address }
        self.address = address
        self.token = token
        self.budget = 0
        self.deadline = now + patience
    }

    /// The echo of `token`: the address that was left, if this settles the move.
    mutating func echoed(_ token: UInt64) -> SocketAddress? {
        guard self.token == token else { return nil }
        self.token = nil
        self.deadline = .never
        defer { self.previous = nil }
        return self.previous
    }

    /// No echo in time: back to the address that worked.
    mutating func giveUp() {
        if let previous = self.previous { self.address = previous }
        self.previous = nil
        self.token = nil
        self.deadline = .never
    }
}
