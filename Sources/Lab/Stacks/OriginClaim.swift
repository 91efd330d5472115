import Origin
import Primitives
import Synchronization

/// What the edge says about the player in front of it, in a PROXY protocol header of version 2.
///
/// Every connection and every exchange is a player port of its own, as two connections with the
/// same four numbers cannot live at once.
struct OriginClaim: Sendable {
    /// The players' address (RFC 5737, TEST-NET-3).
    static let player = SocketAddress(ipv4: 0xCB00_714D, port: 0)
    private static let firstPort = 20_000
    private static let ports = Atomic<Int>(0)

    /// Where the header says the player connected to.
    let destination: SocketAddress

    /// The header of a new player.
    func header(_ transport: Transport) -> [UInt8] {
        let port = Self.firstPort + Self.ports.wrappingAdd(1, ordering: .relaxed).oldValue % 40_000
        let header = ProxyHeader(
            source: Self.player.with(port: UInt16(port)),
            destination: self.destination,
            transport: transport == .udp ? .datagram : .stream
        )
        var bytes = [UInt8](repeating: 0, count: header.v2ByteCount())
        let count = bytes.withUnsafeMutableBytes { header.writeV2(into: $0) }
        return Array(bytes.prefix(count))
    }
}
