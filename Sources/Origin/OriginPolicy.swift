public import Primitives

/// Why a client may not say that a player has a certain address.
public enum OriginRefusal: String, CaseIterable, Sendable {
    /// 0.0.0.0/8, ::/64: the kernel replaces such a source, usually by 127.0.0.1.
    case unspecified
    /// 127.0.0.0/8 or ::1, which no player on another machine has.
    case loopback
    /// 169.254.0.0/16 or fe80::/10, which mean something on one link only.
    case linkLocal = "link-local"
    /// Bound as a source, it would be seen as 127.0.0.1 by a backend.
    case multicast
    /// 255.255.255.255, which cannot be a source (RFC 1122 §3.2.1.3).
    case broadcast
    /// Port 0, which no socket has.
    case portZero = "port-zero"
    /// One of the server's own addresses, or of a backend's.
    case ownAddress = "own-address"
    /// Private, CGNAT, ULA or reserved, and no entry of the client's is inside that range.
    case notPublic = "not-public"
    /// Public, but outside of everything the client may claim.
    case notGranted = "not-granted"
}

extension OriginRefusal {
    /// What is wrong, for the operator of the server; `peer` is the client's name.
    public func cause(peer: String) -> String {
        switch self {
        case .notPublic: "private address, not in origins of \(peer)"
        case .notGranted: "not in origins of \(peer)"
        default: self.rawValue
        }
    }

    /// What would let such players in; `nil` where nothing does.
    public func cure(_ claim: SocketAddress, peer: String) -> String? {
        switch self {
        case .notPublic:
            AddressKind.block(of: claim).map { "to allow: add \"\($0)\" to origins of \(peer)" }
        case .notGranted:
            "to allow: add \"\(claim.hostText)\", or \"\(claim.isIPv4 ? "0.0.0.0/0" : "::/0")\" for"
                + " every public address, to origins of \(peer)"
        default: nil
        }
    }
}

/// What becomes of a client's claim about a player's address.
public enum OriginVerdict: Hashable, Sendable {
    /// Show the backend this address.
    case claimed(SocketAddress)
    /// Show the backend the client's own address, with a port of the server's choice.
    case observed(SocketAddress)
    /// The client's own address is one that nobody may claim: a backend is told of no player.
    case unnamed(SocketAddress, OriginRefusal)
    /// Reset the stream or drop the flow, before any socket is bound.
    case refused(OriginRefusal)
}

/// What one client of the tunnel may claim about its players' addresses.
///
/// Addresses arrive over an authenticated channel, so the question is not who speaks but what they
/// may say. The filter for addresses that no player can have comes first and knows no exception.
public struct OriginPolicy: Sendable {
    private let grants: [AddressPrefix]?
    private let reserved: [SocketAddress]

    /// `grants`: what the client may claim; `nil`: its claims are ignored.
    ///
    /// `reserved`: addresses that belong to the server or to backends. One with port 0 rules out
    /// its whole host, any other that one port.
    public init(grants: [AddressPrefix]?, reserved: [SocketAddress]) {
        self.grants = grants
        self.reserved = reserved
    }

    /// The same client after the server's addresses or its backends have changed.
    public func with(reserved: [SocketAddress]) -> Self {
        Self(grants: self.grants, reserved: reserved)
    }

    /// `client` is the address the tunnel's packets come from.
    ///
    /// No claim is no offence: then the client itself is what the backend is shown.
    public func judge(_ claim: SocketAddress?, client: SocketAddress) -> OriginVerdict {
        guard let grants = self.grants, let claim else {
            let own = client.with(port: 0)
            if let refusal = self.bogon(own) { return .unnamed(own, refusal) }
            return .observed(own)
        }
        if let refusal = self.refusal(claim, grants) { return .refused(refusal) }
        // A scope names an interface of the client's machine, which means nothing here.
        return .claimed(
            SocketAddress(high: claim.high, low: claim.low, port: claim.port)
        )
    }

    /// The address that a player connected to, as far as the client may name it.
    ///
    /// `nil`: the backend is not shown it. That ends nothing: an entrance is often an address
    /// inside of somebody's network, which nobody has granted.
    public func destination(_ claim: SocketAddress?) -> SocketAddress? {
        guard let grants = self.grants, let claim, self.refusal(claim, grants) == nil else {
            return nil
        }
        return SocketAddress(high: claim.high, low: claim.low, port: claim.port)
    }

    private func refusal(_ claim: SocketAddress, _ grants: [AddressPrefix]) -> OriginRefusal? {
        if case .bogon(let refusal) = AddressKind.of(claim) { return refusal }
        if claim.port == 0 { return .portZero }
        if let refusal = self.bogon(claim) { return refusal }
        if case .special(let block) = AddressKind.of(claim) {
            let isGranted = grants.contains { block.contains($0) && $0.contains(claim) }
            return isGranted ? nil : .notPublic
        }
        return grants.contains { $0.contains(claim) } ? nil : .notGranted
    }

    /// Why nobody has this address, whatever is granted; its port may still have to be chosen.
    private func bogon(_ address: SocketAddress) -> OriginRefusal? {
        if case .bogon(let refusal) = AddressKind.of(address) { return refusal }
        let isReserved = self.reserved.contains { own in
            own.high == address.high && own.low == address.low
                && (own.port == 0 || own.port == address.port)
        }
        return isReserved ? .ownAddress : nil
    }
}
