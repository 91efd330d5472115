import Glibc
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

    /// No address is without a route on every machine: the errors themselves are told apart.
    @Test(arguments: [
        (ENETUNREACH, ServerReach.Finding.noRoute), (EHOSTUNREACH, .noRoute), (EPERM, .blockedHere),
        (ECONNREFUSED, .portClosed), (0, .silence), (EAGAIN, .silence),
    ])
    func tellsErrorsApart(error: Int32, finding: ServerReach.Finding) {
        #expect(ServerReach.Finding(error: error) == finding)
    }
}
