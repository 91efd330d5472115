import LinuxIO
import Primitives

/// The addresses at which this process hears datagrams: what is sent there comes back in.
struct OwnListeners {
    private let listeners: [SocketAddress]
    private let hosts: [SocketAddress]

    /// `hosts`: the addresses of this machine.
    init(_ listeners: [SocketAddress], hosts: [SocketAddress] = ownAddresses()) {
        self.listeners = listeners
        self.hosts = hosts
    }

    func contains(_ address: SocketAddress) -> Bool {
        self.listeners.contains { listener in
            if address.isCertainlyAt(listener) { return true }
            let hears = listener.isIPv4 == address.isIPv4 || !listener.isIPv4
            return listener.isWildcard && hears && listener.port == address.port
                && self.hosts.contains { $0.isSameHost(as: address) }
        }
    }

    /// Throws for the first of `targets` that leads back into this process.
    func refuse(_ targets: [SocketAddress], _ what: String) throws(StartFailure) {
        if let target = targets.first(where: { self.contains($0) }) {
            throw StartFailure(loop: target, what)
        }
    }
}
