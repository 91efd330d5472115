import LinuxIO
import Primitives

/// From which of our addresses, and through which socket, a peer is answered: the ones its last
/// packet came to.
///
/// Needed where a tunnel listens on a wildcard address of a host with several, or on several
/// addresses. Strangers fill only the short memory; a peer moves to the long one when the engine
/// answers it, so that a flood of forged sources cannot push out the sessions.
struct ReturnPaths {
    struct Path: BitwiseCopyable {
        var peer: SocketAddress
        var local: SocketAddress
        /// −1: vacant.
        var socket: Int
    }

    private static let ways = 4
    private static let setCount = 1024
    private static let recentCount = 32

    private var table: [Path]
    private var recent: [Path]
    private var nextRecent = 0
    private var nextVictim = 0
    private var last: Path
    private let seed: UInt64

    init(seed: UInt64) {
        let address = SocketAddress.anyIPv4(port: 0)
        let vacant = Path(peer: address, local: address, socket: -1)
        self.table = Array(repeating: vacant, count: Self.ways * Self.setCount)
        self.recent = Array(repeating: vacant, count: Self.recentCount)
        self.last = vacant
        self.seed = seed
    }

    /// A packet from `peer` came to `local` through `socket`.
    mutating func note(_ peer: SocketAddress, to local: SocketAddress, socket: Int) {
        let isSame =
            self.last.peer == peer && self.last.local == local && self.last.socket == socket
        guard !isSame else { return }
        self.last = Path(peer: peer, local: local, socket: socket)
        if let place = self.place(of: peer) {
            self.table[place] = self.last
        } else {
            self.recent[self.nextRecent] = self.last
            self.nextRecent = (self.nextRecent + 1) % Self.recentCount
        }
    }

    /// How to answer `peer`; `nil` when nothing is remembered.
    mutating func path(to peer: SocketAddress) -> Path? {
        if let place = self.place(of: peer) { return self.table[place] }
        for back in 1...Self.recentCount {
            let index = (self.nextRecent + Self.recentCount - back) % Self.recentCount
            let path = self.recent[index]
            guard path.socket >= 0, path.peer == peer else { continue }
            self.remember(path)
            return path
        }
        return nil
    }

    private mutating func remember(_ path: Path) {
        let first = self.firstPlace(path.peer)
        for place in first..<first + Self.ways where self.table[place].socket < 0 {
            self.table[place] = path
            return
        }
        self.nextVictim = (self.nextVictim + 1) % Self.ways
        self.table[first + self.nextVictim] = path
    }

    private func place(of peer: SocketAddress) -> Int? {
        let first = self.firstPlace(peer)
        for place in first..<first + Self.ways
        where self.table[place].socket >= 0 && self.table[place].peer == peer {
            return place
        }
        return nil
    }

    private func firstPlace(_ peer: SocketAddress) -> Int {
        Int(addressHash(peer, seed: self.seed) % UInt64(Self.setCount)) * Self.ways
    }
}

/// A keyed hash of an address; the seed is secret, so nobody can choose addresses that collide.
@inline(__always)
func addressHash(_ address: SocketAddress, seed: UInt64) -> UInt64 {
    fold(
        fold(address.high ^ seed, address.low ^ 0x9E37_79B9_7F4A_7C15),
        UInt64(address.port) << 32 ^ UInt64(address.scope) ^ seed
    )
}

/// Multiplies to 128 bits and folds the halves (the step of wyhash, Wang Yi).
@inline(__always)
func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = (a ^ 0xA076_1D64_78BD_642F).multipliedFullWidth(by: b ^ 0xE703_7ED1_A0B4_28DB)
    return product.high ^ product.low
}
