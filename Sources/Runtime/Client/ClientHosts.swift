import LinuxIO
import Primitives

/// The addresses of the client's own machine: who plays from there is the client itself.
struct ClientHosts: Sendable {
    private let addresses: Set<SocketAddress>

    /// `addresses` without ports.
    init(_ addresses: [SocketAddress]) { self.addresses = Set(addresses) }

    /// Where `player` is said to come from; `nil` where it is this machine.
    ///
    /// `sender` is who says so: the player, or the proxy before it, whose loopback may be another.
    func origin(_ player: SocketAddress, by sender: SocketAddress) -> SocketAddress? {
        let isOwn = player.isLoopback ? self.isOwn(sender) : self.isOwn(player)
        return isOwn ? nil : player
    }

    private func isOwn(_ address: SocketAddress) -> Bool {
        let host = SocketAddress(high: address.high, low: address.low, port: 0)
        return address.isLoopback || self.addresses.contains(host)
    }
}
