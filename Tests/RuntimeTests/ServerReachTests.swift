import LinuxIO
import Primitives
import Testing

@testable import Runtime

@Suite struct ServerReachTests {
    @Test func tellsAClosedPortFromSilence() throws {
        let silent = try UDPSocket(binding: loopback, options: UDPOptions())
        let open = ServerReach(silent.localAddress)
        // Bound to learn a free port, and closed again.
        let free: SocketAddress
        do {
            free = try UDPSocket(binding: loopback, options: UDPOptions()).localAddress
        }
        let closed = ServerReach(free)
        #expect(waitFor(seconds: 2) { closed.finding() == .portClosed })
        #expect(open.finding() == .silence)
    }

    @Test func tellsAMissingRoute() {
        // IPv6's discard prefix (RFC 6666) has no route; machines without IPv6 have none at all.
        let nowhere = SocketAddress(high: 0x0100_0000_0000_0000, low: 1, port: 9)
        #expect(ServerReach(nowhere).finding() == .noRoute)
    }
}
