import Primitives
import Testing

@testable import Runtime

@Suite struct OwnListenersTests {
    private func address(_ text: String) throws -> SocketAddress {
        try #require(SocketAddress(text))
    }

    /// What is listened on, where somebody would send, and whether it comes back in.
    static let cases: [(String, String, Bool)] = [
        ("0.0.0.0:4600", "127.0.0.1:4600", true),
        ("0.0.0.0:4600", "192.0.2.7:4600", true),
        ("0.0.0.0:4600", "192.0.2.8:4600", false),
        ("0.0.0.0:4600", "192.0.2.7:4601", false),
        ("0.0.0.0:4600", "[2001:db8::7]:4600", false),
        ("[::]:4600", "192.0.2.7:4600", true),
        ("[::]:4600", "[2001:db8::7]:4600", true),
        ("[::]:4600", "0.0.0.0:4600", true),
        ("192.0.2.7:4600", "127.0.0.1:4600", false),
        ("192.0.2.7:4600", "192.0.2.7:4600", true),
    ]

    @Test(arguments: Self.cases)
    func knowsItself(listener: String, target: String, isOwn: Bool) throws {
        let own = OwnListeners(
            [try self.address(listener)],
            hosts: [try self.address("192.0.2.7:0"), try self.address("[2001:db8::7]:0")]
        )
        #expect(own.contains(try self.address(target)) == isOwn)
    }
}
