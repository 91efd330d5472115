import Primitives

/// The addresses of one backend, those first that have not failed lately.
struct AddressList {
    /// In the order of the name service.
    private(set) var all: [SocketAddress]
    private var failed: Set<SocketAddress> = []

    init(_ all: [SocketAddress]) { self.all = all }

    var isEmpty: Bool { self.all.isEmpty }

    /// The order in which to try them.
    var inOrder: [SocketAddress] {
        if self.failed.isEmpty { return self.all }
        return self.all.filter { !self.failed.contains($0) }
            + self.all.filter { self.failed.contains($0) }
    }

    func contains(_ address: SocketAddress) -> Bool { self.all.contains(address) }
    func hasFailed(_ address: SocketAddress) -> Bool { self.failed.contains(address) }

    mutating func fail(_ address: SocketAddress) {
        guard self.contains(address) else { return }
        self.failed.insert(address)
    }

    mutating func answer(_ address: SocketAddress) { self.failed.remove(address) }

    /// What is still there stays as failed as it was.
    mutating func replace(with addresses: [SocketAddress]) {
        self.all = addresses
        self.failed.formIntersection(addresses)
    }
}
