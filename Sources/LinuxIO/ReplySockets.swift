import CLinuxShims
import Glibc
public import Primitives

/// Sockets bound to the addresses that players sent datagrams to, so that replies come from there.
///
/// For listeners that take datagrams for addresses and ports other than their own. One thread uses
/// it. At most ``limit`` sockets are open; the one unused for longest gives way, which loses
/// nothing, because a socket holds no state and is opened again when it is needed. What arrives at
/// these sockets is never read: the packet filter's rule leads it to the listener.
public final class ReplySockets {
    public static let defaultLimit = 1024

    private struct Entry {
        var address: SocketAddress
        var socket: UDPSocket
        var isUsed: Bool
    }

    public let limit: Int
    private var places: [SocketAddress: Int] = [:]
    private var entries: [Entry] = []
    /// Second chance (Corbató, 1968): approximates "least recently used" without moving entries.
    private var hand = 0
    /// The last one asked for: replies come in trains.
    private var last: (address: SocketAddress, socket: UDPSocket)?

    public init(limit: Int = ReplySockets.defaultLimit) { self.limit = max(limit, 1) }

    public var count: Int { self.entries.count }

    /// The socket that sends from `address`; throws where none can be had.
    public func socket(from address: SocketAddress) throws(IOError) -> UDPSocket {
        if let last = self.last, last.address == address { return last.socket }
        if let place = self.places[address] {
            self.entries[place].isUsed = true
            self.last = (address, self.entries[place].socket)
            return self.entries[place].socket
        }
        let socket = try UDPSocket(replyingFrom: address)
        self.insert(Entry(address: address, socket: socket, isUsed: true))
        self.last = (address, socket)
        return socket
    }

    /// Closes all.
    public func removeAll() {
        self.places = [:]
        self.entries = []
        self.hand = 0
        self.last = nil
    }

    private func insert(_ entry: Entry) {
        guard self.entries.count >= self.limit else {
            self.places[entry.address] = self.entries.count
            return self.entries.append(entry)
        }
        while self.entries[self.hand].isUsed {
            self.entries[self.hand].isUsed = false
            self.hand = (self.hand + 1) % self.entries.count
        }
        self.places[self.entries[self.hand].address] = nil
        self.places[entry.address] = self.hand
        self.entries[self.hand] = entry
        self.hand = (self.hand + 1) % self.entries.count
    }
}

extension UDPSocket {
    /// Opens a socket that only sends, from an address that need not be this machine's.
    convenience init(replyingFrom address: SocketAddress) throws(IOError) {
        var options = UDPOptions()
        options.receiveBuffer = 0
        options.sendBuffer = 1 << 20
        let descriptor = try UDPSocket.open(address.family, options)
        do throws(IOError) {
            try TransparentSocket.allowForeignSource(descriptor, address.family)
            // The listener may be bound to the same port, and so may other workers' sockets.
            try setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1, "setsockopt SO_REUSEADDR")
            try bindSocket(descriptor, to: address)
        } catch {
            closeDescriptor(descriptor)
            throw error
        }
        self.init(adoptingBound: descriptor, address)
    }
}
