import LinuxIO
import Primitives

/// Notices, on the control thread, when this machine gets an address or loses one.
final class AddressWatch {
    private let changes: RouteChanges
    private var last: [SocketAddress]

    init() throws(IOError) {
        self.changes = try RouteChanges(of: .addresses)
        self.last = ownAddresses()
    }

    /// Readable at a change.
    var descriptor: Int32 { self.changes.descriptor }

    /// The addresses, if they are others than before; does next to nothing otherwise.
    func takeChange() -> [SocketAddress]? {
        guard self.changes.take() else { return nil }
        let addresses = ownAddresses()
        guard addresses != self.last else { return nil }
        self.last = addresses
        return addresses
    }
}
