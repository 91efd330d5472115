import Primitives

/// What a player's datagram says of itself; both ends run on one machine and share its clock and
/// byte order.
struct Saying {
    static let byteCount = 48
    private static let mark: UInt32 = 0x5357_524D

    var player: SocketAddress
    var number: UInt64
    var saidAt: Instant

    init(player: SocketAddress, number: UInt64, saidAt: Instant) {
        self.player = player
        self.number = number
        self.saidAt = saidAt
    }

    /// `nil` for what no player of this program said.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= Self.byteCount,
            bytes.loadUnaligned(as: UInt32.self) == Self.mark
        else { return nil }
        self.player = SocketAddress(
            high: bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self),
            low: bytes.loadUnaligned(fromByteOffset: 32, as: UInt64.self),
            port: bytes.loadUnaligned(fromByteOffset: 40, as: UInt16.self)
        )
        self.number = bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
        let time = bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
        self.saidAt = Instant(nanoseconds: time)
    }

    /// Writes it to the front of `target`, which has room for it.
    func write(to target: UnsafeMutableRawBufferPointer) {
        target.storeBytes(of: Self.mark, as: UInt32.self)
        target.storeBytes(of: self.number, toByteOffset: 8, as: UInt64.self)
        target.storeBytes(of: self.saidAt.nanoseconds, toByteOffset: 16, as: UInt64.self)
        target.storeBytes(of: self.player.high, toByteOffset: 24, as: UInt64.self)
        target.storeBytes(of: self.player.low, toByteOffset: 32, as: UInt64.self)
        target.storeBytes(of: self.player.port, toByteOffset: 40, as: UInt16.self)
    }
}
