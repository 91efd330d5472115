import Primitives
import Testing

@testable import Runtime

/// Which players are the client itself.
@Suite struct ClientHostsTests {
    private let hosts = ClientHosts(["192.0.2.1", "2001:db8::1"].compactMap { Self.host($0) })

    private static func host(_ text: String) -> SocketAddress? {
        SocketAddress(host: text, port: 0)
    }

    @Test(arguments: [
        // The player, who says so, whether it is a player of its own.
        ("192.0.2.1", "192.0.2.1", false), ("127.0.0.1", "127.0.0.1", false),
        ("::1", "::1", false), ("2001:db8::1", "2001:db8::1", false),
        ("::ffff:192.0.2.1", "192.0.2.1", false),
        // A proxy names whom it likes; its loopback is its own affair.
        ("192.0.2.1", "198.51.100.7", false), ("127.0.0.1", "198.51.100.7", true),
        ("127.0.0.1", "192.0.2.1", false),
        ("198.51.100.7", "127.0.0.1", true), ("198.51.100.7", "198.51.100.7", true),
        ("2001:db8::2", "2001:db8::2", true), ("192.0.2.2", "192.0.2.2", true),
    ])
    func tellsPlayersFromTheMachineItself(player: String, sender: String, isPlayer: Bool) throws {
        let player = try #require(Self.host(player)).with(port: 7)
        let sender = try #require(Self.host(sender)).with(port: 8)
        #expect(self.hosts.origin(player, by: sender) == (isPlayer ? player : nil))
    }
}
