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
    /// Sockets that one worker keeps open, where nobody says otherwise.
    public static let defaultLimit = 1024

    private struct Entry {
        var address: SocketAddress
        var socket: UDPSocket
        var isUsed: Bool
    }

    /// Most sockets open at a time, at least one.
    public let limit: Int
    private var places: [SocketAddress: Int] = [:]
    private var entries: [Entry] = []
    /// Second chance (Corbató, 1968): approximates "least recently used" without moving entries.
    private var hand = 0

    /// A set without sockets.
    public init(limit: Int = ReplySockets.defaultLimit) { self.limit = max(limit, 1) }

    /// How many sockets are open.
    public var count: Int { self.entries.count }

    /// The socket that sends from `address`; throws where none can be had.
    ///
    /// `place` is where it was the last time, −1 at first; the caller keeps it beside the player,
    /// so that nothing is searched for a datagram.
    @inline(__always)
    public func socket(
        from address: SocketAddress,
        place: inout Int32
    ) throws(IOError) -> UDPSocket {
        let index = Int(place)
        guard self.entries.indices.contains(index), self.entries[index].address == address else {
            place = Int32(try self.find(address))
            return self.entries[Int(place)].socket
        }
        self.entries[index].isUsed = true
        return self.entries[index].socket
    }

    private func find(_ address: SocketAddress) throws(IOError) -> Int {
        if let place = self.places[address] {
            self.entries[place].isUsed = true
            return place
        }
        let socket = try UDPSocket(replyingFrom: address)
        return self.insert(Entry(address: address, socket: socket, isUsed: true))
    }

    /// Closes all.
    public func removeAll() {
        self.places = [:]
        self.entries = []
        self.hand = 0
    }

    private func insert(_ entry: Entry) -> Int {
        guard self.entries.count >= self.limit else {
            self.places[entry.address] = self.entries.count
            self.entries.append(entry)
            return self.entries.count - 1
        }
        while self.entries[self.hand].isUsed {
            self.entries[self.hand].isUsed = false
            self.hand = (self.hand + 1) % self.entries.count
        }
        let place = self.hand
        self.places[self.entries[place].address] = nil
        self.places[entry.address] = place
        self.entries[place] = entry
        self.hand = (place + 1) % self.entries.count
        return place
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
