import Configuration
import Glibc
import LinuxIO
import Origin
import Primitives
import Sealing
import Session

/// Decides, for every stream and flow, whether its client may say who the player is.
final class OriginGate {
    private struct Peer {
        var entry: PeerEntry
        var policy: OriginPolicy
        var key: [UInt8]
        /// The same for a key as long as the process lives.
        var number: Int32
    }

    enum Decision {
        case admitted(ShownPlayer)
        /// `cause` for the log beside the reason, `cure` where there is one.
        case refused(peer: String, cause: String, cure: String? = nil)
    }

    private var peers: [String: Peer] = [:]
    private var numbers: [PublicKey: Int32] = [:]
    private var sessions: [SessionHandle: SessionInfo] = [:]

    /// Follows a new plan; returns the numbers of clients that may now claim something else.
    ///
    /// `reserved` are addresses that no player can have.
    func adopt(_ entries: [PeerEntry], reserved: [SocketAddress]) -> Set<Int32> {
        let old = Dictionary(self.peers.values.map { ($0.entry.publicKey, $0.entry) }) { one, _ in
            one
        }
        self.peers.removeAll()
        var changed: Set<Int32> = []
        var renamed: [String: String] = [:]
        for entry in entries {
            let number = self.numbers[entry.publicKey] ?? Int32(self.numbers.count)
            self.numbers[entry.publicKey] = number
            let grants = entry.origins.map { $0.compactMap { AddressPrefix($0) } }
            self.peers[entry.name] = Peer(
                entry: entry,
                policy: OriginPolicy(grants: grants, reserved: reserved),
                key: entry.publicKey.withBytes { Array($0) },
                number: number
            )
            guard let before = old[entry.publicKey] else { continue }
            if before.origins != entry.origins { changed.insert(number) }
            if before.name != entry.name { renamed[before.name] = entry.name }
        }
        self.rename(renamed)
        return changed
    }

    /// The engine tells the name of a session's client when it comes up, and never again.
    private func rename(_ names: [String: String]) {
        guard !names.isEmpty else { return }
        for (handle, info) in self.sessions {
            guard let name = names[info.peerName] else { continue }
            self.sessions[handle]?.peerName = name
        }
    }

    func sessionChanged(_ handle: SessionHandle, _ info: SessionInfo?) {
        self.sessions[handle] = info
    }

    /// `isShown`: whether the service shows its backends who the player is.
    ///
    /// Where nobody is shown anything, nothing is claimed that could be forbidden.
    func judge(
        _ request: OpenRequest,
        from session: SessionHandle,
        isShown: Bool
    ) -> Decision {
        guard let info = self.sessions[session], let peer = self.peers[info.peerName] else {
            return .refused(peer: "-", cause: "its session has ended")
        }
        let address: SocketAddress
        // Whose claims are ignored may not name the connection or its other end either.
        var context = OpenContext()
        var destination: SocketAddress?
        var unnamed: OriginRefusal?
        let claim = isShown ? request.origin : nil
        switch peer.policy.judge(claim, client: info.address) {
        case .claimed(let claim):
            address = claim
            context = request.context
            destination = peer.policy.destination(request.destination)
        case .observed(let own): address = own
        case .unnamed(let own, let refusal): (address, unnamed) = (own, refusal)
        case .refused(let refusal):
            return .refused(
                peer: info.peerName,
                cause: refusal.cause(peer: info.peerName),
                cure: claim.flatMap { refusal.cure($0, peer: info.peerName) }
            )
        }
        return .admitted(
            ShownPlayer(
                address: address,
                destination: destination,
                clientKey: peer.key,
                peer: peer.number,
                context: context,
                unnamed: unnamed
            )
        )
    }
}

/// The addresses of this machine, port 0.
func ownAddresses() -> [SocketAddress] {
    var list: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&list) == 0 else { return [] }
    defer { freeifaddrs(list) }
    var addresses: [SocketAddress] = []
    var next = list
    while let entry = next {
        if let address = SocketAddress(entry.pointee) { addresses.append(address) }
        next = entry.pointee.ifa_next
    }
    return addresses
}

extension SocketAddress {
    /// The address of one entry of `getifaddrs`, without port and scope; `nil` if it has none.
    fileprivate init?(_ entry: ifaddrs) {
        guard let name = entry.ifa_addr else { return nil }
        var answer = addrinfo()
        answer.ai_addr = name
        switch Int32(name.pointee.sa_family) {
        case AF_INET: answer.ai_addrlen = socklen_t(MemoryLayout<sockaddr_in>.size)
        case AF_INET6: answer.ai_addrlen = socklen_t(MemoryLayout<sockaddr_in6>.size)
        default: return nil
        }
        guard let address = SocketAddress(answer) else { return nil }
        self.init(high: address.high, low: address.low, port: 0)
    }
}
